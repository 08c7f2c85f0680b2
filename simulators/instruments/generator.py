"""A simulated arbitrary waveform generator of the Keysight 33500B series.

Axis letters: T samples.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from physnet.errors import SpecError

from .arb_memory import BUILT_IN, FULL, ArbMemory, Codes
from .codes import Refusal
from .commands import Call
from .device import ScpiDevice
from .generator_commands import COMMANDS
from .medium import Volts
from .rig import Burst, Rig

CHANNELS = {"33511B": 1, "33512B": 2, "33521B": 1, "33522B": 2}
IMPEDANCE = 50.0
"""Of an output in Ohm."""
_PEAK = 10.0  # V into an open line
_SMALLEST = 1e-3  # V, half of the smallest amplitude into an open line
_LONGEST = 1 << 24  # samples of a burst
_ROUNDED = 5e-4  # of an amplitude, which has four digits
_WAITING = 32  # bit of the operation status register

Scaling = Literal["waveform", "converter"]


class Generator(ScpiDevice):
    """A 33500B in front of a rig: bursts of arbitrary waveforms at a bus trigger are played, all else is set and noted.

    Amplitude: what is set is the peak-to-peak voltage of the waveform itself, so that its volts per code depend on how
    much of the converter's range its points span; the largest amplitude is less where they span less. The manual says
    so of the built-in waveforms, and users saw it of theirs. `scaling = "converter"` counts from -32767 to 32767.

    All channels with a bus trigger start at one `*TRG`. What is continuous (no burst mode) is noted in the rig's log
    with its peak, but not sent through the medium. The output rests at 0 V between bursts.

    Args:
        rig: What it is connected to.
        role: Its name in the rig's log.
        model: Decides how many channels it has.
        load: What each channel is connected to, in Ohm, from channel 1 on; infinite for an open line. It need not be
            what it was told.
        points: Of the waveform memory of a channel.
        pace: Share of a burst's duration that it takes: 0, as fast as it can be computed; 1, as on a bench.
        scaling: What an amplitude is that of.

    Raises:
        SpecError: An argument is out of its range.

    Source:
        Agilent 33500 Series Operating and Service Guide (2012): BURSt p. 177, DATA p. 191, FUNCtion p. 215, OUTPut
        p. 264, TRIGger p. 318; amplitude of arbitrary waveforms p. 192 and community.keysight.com/thread/22573;
        a sequence can't be burst as seen on a 33600A, another model; ranges that follow from the load as in the
        33120A's manual, p. 151.
    """

    COMMANDS = COMMANDS
    SUFFIXES: ClassVar[dict[str, int]] = {"SOUR": 2, "OUTP": 2, "TRIG": 2}

    def __init__(
        self,
        rig: Rig,
        *,
        role: str = "source",
        model: str = "33522B",
        load: Sequence[float] = (50.0, 50.0),
        points: int = 1_000_000,
        pace: float = 0.0,
        scaling: Scaling = "waveform",
    ) -> None:
        if model not in CHANNELS:
            raise SpecError(f"model of a generator must be one of {', '.join(CHANNELS)}, got {model!r}.")
        if not load or not all(resistance > 0 for resistance in load):
            raise SpecError(f"load of a generator must be > 0 Ohm per channel, got {tuple(load)}.")
        if not (0 <= pace < math.inf and points >= 8) or scaling not in ("waveform", "converter"):
            raise SpecError(
                f"a generator must have pace >= 0, points >= 8 and scaling 'waveform' or 'converter', got {pace}, "
                f"{points} and {scaling!r}."
            )
        self.channels = tuple(range(1, CHANNELS[model] + 1))
        super().__init__(suffixes={name: len(self.channels) for name in self.SUFFIXES})
        self.IDENTITY = f"Agilent Technologies,{model},SIMULATED,5.00-1.19-2.00-58-00"  # type: ignore[misc]
        self.memory = {channel: ArbMemory(points) for channel in self.channels}
        self._rig, self._role, self._pace, self._scaling = rig, role, pace, scaling
        self._load = [*load, *[load[-1]] * len(self.channels)]  # the last one is that of all further channels
        self._held: dict[int, float] = {}  # volts of full scale of channels whose range is held
        self._player: threading.Thread | None = None
        self._ended = threading.Event()
        self._playing = False
        self._began = 0.0
        self._cut_at: dict[int, float] = {}

    def share(self, channel: int) -> float:
        """Return how much of an open output's voltage the load that it was told leaves."""
        load = float(self.value("load", channel))
        return 1.0 if load == math.inf else load / (load + IMPEDANCE)

    def span(self, channel: int) -> float:
        """Return what an amplitude spans, in units of half the converter's range."""
        if self.value("function", channel) != "ARB" or self._scaling == "converter":
            return 2.0
        codes_T = self.codes(channel)
        return max(float(np.ptp(codes_T.astype(np.int32))), 1.0) / FULL

    def codes(self, channel: int) -> Codes:
        """Return the waveform that is selected."""
        return self.memory[channel].waveform(str(self.value("arbitrary", channel)))

    def full_scale(self, channel: int) -> float:
        """Return the voltage of the largest code into the load that it was told, in V."""
        return float(self.value("amplitude", channel)) / self.span(channel)

    def largest_amplitude(self, channel: int) -> float:
        """Return the largest amplitude in V: full scale at most the largest voltage, or that of a held range."""
        full = min(_PEAK * self.share(channel), self._held.get(channel, math.inf) * (1 + _ROUNDED))
        return full * self.span(channel)

    def smallest_amplitude(self, channel: int) -> float:
        """Return the smallest amplitude in V."""
        return 2 * _SMALLEST * self.share(channel)

    def largest_offset(self, channel: int) -> float:
        """Return the largest offset that the amplitude leaves room for, in V."""
        return max(0.0, _PEAK * self.share(channel) - self.full_scale(channel))

    def hold_range(self, channel: int, hold: bool) -> None:
        """Hold the output range, or let it follow the amplitude."""
        if hold:
            self._held[channel] = self.full_scale(channel)
        else:
            self._held.pop(channel, None)

    def is_armed(self, channel: int) -> bool:
        """Whether a channel waits for a bus trigger."""
        burst = self.value("burst", channel) and self.value("burst_mode", channel) == "TRIG"
        return bool(burst and self.value("trigger", channel) == "BUS" and self.value("function", channel) == "ARB")

    def busy(self) -> bool:
        """Whether a burst is being played."""
        return self._playing

    def condition(self) -> int:
        """Return the operation condition register."""
        return _WAITING * (not self._playing and any(self.is_armed(channel) for channel in self.channels))

    def on_trigger(self) -> None:
        """Start a burst on all channels that wait for one.

        Raises:
            Refusal: None waits.
        """
        armed = [channel for channel in self.channels if self.is_armed(channel)]
        if not armed or self._playing:
            raise Refusal(-211)
        burst = self._burst(armed)
        for channel, volts_T in burst.volts.items():
            self._rig.note(self._role, "burst", channel=channel, peak=float(np.abs(volts_T).max()))
        self._playing, self._began, self._cut_at = True, time.monotonic(), {}
        self._ended.clear()
        if self._player is not None:
            self._player.join()  # it has ended: nothing plays
        self._player = threading.Thread(target=self._play, args=(burst,), name=f"burst of {self._role}")
        self._player.start()

    def abort(self) -> None:
        """End a burst at once."""
        if self._playing:
            for channel in self.channels:
                self._cut(channel)
            self._ended.set()

    def on_reset(self) -> None:
        """Forget held ranges and end a burst; outputs are off. Waveforms stay in memory."""
        self.abort()
        self._held.clear()
        for channel in self.channels:
            self._rig.note(self._role, "off", channel=channel)

    def on_setting(self, name: str, numbers: tuple[int, ...]) -> None:
        """Note what an output does, and end its burst when it is switched off."""
        channel = numbers[0] if numbers else 0
        if name == "output":
            if not self.value("output", channel):
                self._cut(channel)
                self._rig.note(self._role, "off", channel=channel)
                return
        elif name == "burst" and not self.value("burst", channel):
            self._cut(channel)
        if name in ("output", "burst", "function", "amplitude", "offset") and self.value("output", channel):
            self._rig.note(self._role, "on", channel=channel, peak=self._level(channel))

    def close(self) -> None:
        """End a burst and all waiting."""
        with self.lock:
            self.abort()
        super().close()
        if self._player is not None:
            self._player.join()

    def _level(self, channel: int) -> float:
        """Return the largest voltage at the load while no burst is played: of a continuous waveform, or 0 V."""
        if self.value("burst", channel):
            return 0.0
        offset = abs(float(self.value("offset", channel)))
        return (self.full_scale(channel) + offset) * self._delivered(channel)

    def _delivered(self, channel: int) -> float:
        """Return the voltage at the load that is there, per volt into the load that it was told."""
        load = self._load[channel - 1]
        return (1.0 if load == math.inf else load / (load + IMPEDANCE)) / self.share(channel)

    def _burst(self, armed: Sequence[int]) -> Burst:
        rates = {float(self.value("sample_rate", channel)) for channel in armed}
        lengths = {len(self.codes(channel)) * int(self.value("cycles", channel)) for channel in armed}
        if len(rates) > 1 or len(lengths) > 1:
            raise Refusal(-221, "simulated channels must play as many samples at the same rate")
        (rate,), (length,) = rates, lengths
        if length > _LONGEST:
            raise Refusal(-225, f"a simulated burst must be <= {_LONGEST} samples")
        volts = {channel: self._volts(channel) for channel in armed}
        rises, falls = self._sync(length, armed)
        return Burst(volts=volts, sample_rate=rate, rises=rises, falls=falls)

    def _volts(self, channel: int) -> Volts:
        """Return what a channel plays, in V at its load; nothing where its output is off."""
        codes_T = np.tile(self.codes(channel), int(self.value("cycles", channel))).astype(np.float64)
        if not self.value("output", channel):
            return np.zeros(len(codes_T))
        full = self.full_scale(channel)
        if channel in self._held:  # a held range has codes of its own
            codes_T = np.round(codes_T * full / self._held[channel])
            full = self._held[channel]
        sign = -1.0 if self.value("polarity", channel) == "INV" else 1.0
        volts_T = sign * codes_T * full / FULL + float(self.value("offset", channel))
        return np.asarray(volts_T * self._delivered(channel))

    def _sync(self, length: int, armed: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return where the Sync output rises and falls."""
        source = int(str(self.value("sync_source"))[2:])
        if not self.value("sync") or source not in armed:
            return [], []
        cycle = len(self.codes(source))
        starts, ends = [0], [length]
        if self.value("sync_mode", source) != "NORM":
            starts = list(range(0, length, cycle))
            point = int(self.value("marker", source)) if self.value("sync_mode", source) == "MARK" else cycle // 2
            ends = [start + min(max(point, 1), cycle - 1) for start in starts]
        return (starts, ends) if self.value("sync_polarity", source) == "NORM" else (ends, starts)

    def _cut(self, channel: int) -> None:
        """Remember when the burst of a channel ended early."""
        if self._playing and channel not in self._cut_at:
            self._cut_at[channel] = time.monotonic() - self._began
            self._rig.note(self._role, "cut", channel=channel)

    def _play(self, burst: Burst) -> None:
        """Play a burst in a thread of its own, up to where it was cut."""
        try:
            length = max(len(volts_T) for volts_T in burst.volts.values())
            self._ended.wait(self._pace * length / burst.sample_rate)
            with self.lock:
                cuts = dict(self._cut_at)
            for channel, moment in cuts.items():
                if channel in burst.volts:
                    passed = int(moment / self._pace * burst.sample_rate) if self._pace else 0
                    burst.volts[channel][passed:] = 0.0
            self._rig.play(burst)
        except Exception as error:
            self.blame(error)
        finally:
            with self.lock:
                self._playing = False
                self.changed()

    def selected(self, channel: int, call: Call) -> None:
        """Select a waveform by its name.

        Raises:
            Refusal: There is none, or it is a sequence and burst mode is on.
        """
        name = call.string().rsplit("\\", 1)[-1].removesuffix(".arb").removesuffix(".ARB").upper()
        self.memory[channel].waveform(name)
        if self.value("burst", channel) and self.memory[channel].is_sequence(name):
            raise Refusal(-221, "not able to burst this function")
        self.keep("arbitrary", (channel,), name)
        if self.value("function", channel) == "ARB":
            self.fit_amplitude(channel)

    def fit_amplitude(self, channel: int) -> None:
        """Lower amplitude and offset to what the function leaves room for, and say so."""
        largest = self.largest_amplitude(channel)
        if self.value("amplitude", channel) > largest:
            self.keep("amplitude", (channel,), largest)
            self.report(Refusal(-221, "amplitude changed due to function"))

    def forget(self, channel: int) -> None:
        """Clear the waveform memory of a channel; the built-in waveform is selected."""
        self.memory[channel].clear()
        self.keep("arbitrary", (channel,), BUILT_IN)
