"""A simulated Red Pitaya with the commands of its SCPI server: generator and digitiser in one.

Axis letters: S generator channels; C digitiser channels; T samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from physnet.errors import PhysnetError

from ..keyed import keyed_normal
from .codes import Refusal
from .commands import Answer
from .device import ScpiDevice
from .faults import FaultKind, FaultPlan
from .messages import Message
from .red_pitaya_commands import COMMANDS
from .red_pitaya_digitiser import Codes, Digitiser, sample
from .red_pitaya_generator import BUFFER, Output, play_together
from .rig import Rig, Trace
from .server import ServerOptions

CHANNELS = 2
LINE = ServerOptions(terminator=b"\r\n")
"""How its port behaves: answers end with CR LF."""
_NOISE = 66  # stream of keyed_normal


class SimulatedRedPitaya(ScpiDevice):
    """A STEMlab 125-14: two outputs of +-1 V, two inputs of +-1 V or +-20 V, 14 bits and 125 MHz both ways.

    A waveform in memory is passed at 16384 points times the frequency; each point is held until the next. Whether the
    ring is full follows the clock. An output that plays on is followed until the ring would be full; when an output is
    switched off, or fired again, nothing is heard any more of what was played before.

    It waits for `NOW`, for output 1 (`AWG_PE`; nothing tells of output 2) and for its external trigger input; levels of
    inputs are accepted and never trigger. A trigger without a start, or after the ring has stopped, is nothing to it.

    Args:
        rig: The cables between outputs and inputs; its channels are 1 and 2 on both sides.
        noise: Of an input in LV, one sample at 125 MHz, standard deviation in V; 20 times as much in HV. Averaging over
            a decimation divides it by the root of that.
        seed: Of the noise.
        faults: Triggers that do not reach the digitiser (`missed_trigger`); None for none.
        now: Clock in s.

    Source:
        Red Pitaya documentation, list of supported SCPI commands (OS 2.05); its server, library and logic on GitHub,
        `scpi-server/src`, `rp-api/api/src`, `red_pitaya_scope.v`. What these do not show is left out.
    """

    IDENTITY: ClassVar = "REDPITAYA,INSTR2024,SIMULATED,01-16"
    SUFFIXES: ClassVar = {"SOUR": CHANNELS, "OUTPUT": CHANNELS}
    NO_ERROR: ClassVar = '0,"No error"'
    NUMBER_FORMAT: ClassVar = "g"
    COMMANDS = COMMANDS

    def __init__(
        self,
        rig: Rig,
        *,
        noise: float = 0.0,
        seed: int = 0,
        faults: FaultPlan | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._rig, self._noise, self._seed, self._faults, self._now = rig, noise, seed, faults, now
        self.outputs = [Output() for _ in range(CHANNELS)]
        """Channels of the generator."""
        self.digitiser = Digitiser()
        """Of both inputs."""
        self.triggers = 0
        """Triggers that came while it waited for one."""
        self._capture = 0
        self._ring: Codes | None = None
        self._trace: Trace | None = None
        self._began = 0.0  # when what is played now did
        self._over = 0.0  # when it is over
        self._cut = math.inf  # when it was cut
        rig.connect(self)

    def execute(self, message: Message) -> list[Answer]:
        """Carry out a message: every one sees the same time."""
        with self.lock:
            self.time = self._now()
            return super().execute(message)

    def pulse(self) -> None:
        """Take a rising edge at the external trigger input."""
        with self.lock:
            self.time = self._now()
            self.fire([output.trigger == "EXT_PE" for output in self.outputs])
            self.event("EXT_PE")

    def fire(self, channels: Sequence[bool]) -> None:
        """Start what some channels play.

        Raises:
            Refusal: The medium can't tell what becomes of it.
        """
        if not any(channels):
            return
        window = (self.digitiser.after + 1) / self.digitiser.rate
        burst = play_together(self.outputs, channels, duration=window)
        for channel, volts_T in burst.volts.items():
            if channels[channel - 1] and self.outputs[channel - 1].enabled:
                self._rig.note("source", "burst", channel=channel, peak=float(np.abs(volts_T).max()))
        self._began, self._cut = self.time, math.inf
        self._over = self.time + max(map(len, burst.volts.values())) / burst.sample_rate
        try:
            self._rig.play(burst)
        except PhysnetError as error:
            raise Refusal(-240, str(error)[:80]) from error
        if channels[0]:
            self.event("AWG_PE")

    def hear(self, trace: Trace) -> None:
        """Take in what its own outputs became at its inputs."""
        self._trace = trace

    def event(self, source: str) -> None:
        """Trigger the digitiser, if it waits for this."""
        if not self.digitiser.armed or self.digitiser.source != source:
            return
        number, self.triggers = self.triggers, self.triggers + 1
        if self._faults and self._faults.draw(number, among=(FaultKind.MISSED_TRIGGER,)):
            return
        self.digitiser.trigger(self.time)
        self._capture += 1
        self._ring = None

    def enable(self, channels: Sequence[int], on: bool) -> None:
        """Switch outputs on, at rest, or off: what they play ends there."""
        for channel in channels:
            self.outputs[channel].enabled = on
            self._rig.note("source", "on" if on else "off", channel=channel + 1)
        if not on and self.time < min(self._over, self._cut):
            self._cut = self.time
            self._rig.note("source", "cut")

    def reset_generator(self) -> None:
        """Switch the outputs off and forget how they were set up."""
        self.enable(range(CHANNELS), False)
        self.outputs = [Output() for _ in range(CHANNELS)]

    def reset_digitiser(self) -> None:
        """Stop, and forget how it was set up."""
        self.digitiser = Digitiser(high=self.digitiser.high)
        self._ring = None

    def ring(self) -> Codes:
        """Return the codes in the ring, by place, shape `(channels, 16384)`."""
        if self._ring is not None:
            return self._ring
        digitiser = self.digitiser
        rate, trigger = digitiser.rate, self.time if digitiser.triggered is None else digitiser.triggered
        offset_T = np.arange(digitiser.after + 1 - BUFFER, digitiser.after + 1)
        volts_CT = np.zeros((CHANNELS, BUFFER))
        if self._trace is not None:
            width = 1 / rate if digitiser.averaging else 0.0
            time_T = trigger - self._began + offset_T / rate
            for channel in range(CHANNELS):
                volts_CT[channel] = sample(self._trace, channel + 1, time_T, width=width)
            volts_CT[:, self._began + time_T > self._cut] = 0.0
        codes_CT = digitiser.convert(volts_CT + self._draw_noise())
        place_T = (digitiser.trigger_position + offset_T) % BUFFER
        ring_CT = np.empty_like(codes_CT)
        ring_CT[:, place_T] = codes_CT
        if digitiser.filled(self.time):
            self._ring = ring_CT
        return ring_CT

    def _draw_noise(self) -> NDArray[np.float64]:
        if not self._noise:
            return np.zeros((CHANNELS, BUFFER))
        digitiser, number = self.digitiser, np.array([self._capture], np.int64)
        width = self._noise / math.sqrt(digitiser.decimation if digitiser.averaging else 1)
        scale_C = np.array([width * digitiser.full_scale(channel) for channel in range(CHANNELS)])
        normal_X = keyed_normal(self._seed, number, CHANNELS * BUFFER, stream=_NOISE)[0].numpy()
        return np.asarray(normal_X.reshape(CHANNELS, BUFFER) * scale_C[:, None])
