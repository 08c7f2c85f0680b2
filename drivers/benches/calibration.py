"""What a bench of tones finds out about itself when it is opened: delay, decay, and how the pilot arrives.

Rows with every pilot tone on and a strong drive take turns with rows of silence, and with a probe where the delay is
asked for. They are no passes of a network, and are told in the bench's identity.

Axis letters: N rows; C channels of the detector; T samples; K pilot tones.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, MeasurementError

from .alignment import find_delay
from .burst import BurstPlayer, Records
from .chirp import Chirp
from .codec import ToneCodec
from .decay import Decay, fit_decay
from .pilot import PilotCalibration, calibrate_pilot
from .sections import CalibrationSection
from .waveform_limits import WaveformLimits

_ON, _OFF, _PROBE = range(3)
_NOISY = 3.0  # times the noise: what is left after a guard may be as much, for it can't be told from it


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What was found.

    Args:
        delay: From a waveform at the source to its arrival at the detector in s.
        guard: Silence after a drive in s.
        decay: How the medium rings; None where the guard was given.
        pilot: How each pilot tone is read; None without a pilot.
        noise_C: Root mean square of silence in V.
        level_C: Root mean square of a strong drive in V.
        rows: Rows that were played.
        moment: POSIX time in s.
    """

    delay: float
    guard: float
    decay: Decay | None
    pilot: PilotCalibration | None
    noise_C: NDArray[np.float64]
    level_C: NDArray[np.float64]
    rows: int
    moment: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a session."""
        pilot = self.pilot
        return {
            "delay": self.delay,
            "guard": self.guard,
            "decay_time": None if self.decay is None else self.decay.time,
            "noise": self.noise_C.tolist(),
            "level": self.level_C.tolist(),
            "pilot_margin": None if pilot is None else pilot.nominal_margin,
            "pilot_row_error": None if pilot is None else pilot.row_error,
            "rows": self.rows,
            "time": self.moment,
        }


class Calibrator:
    """Plays and evaluates the rows of a calibration.

    Args:
        section: What is asked for.
        codec: Whose rows end in the longest guard.
        player: Plays its rows, and records them to their end.
        limits: What the device bears.
        max_sum: Highest sum of the drives of a row; None for no limit.
    """

    def __init__(
        self,
        section: CalibrationSection,
        *,
        codec: ToneCodec,
        player: BurstPlayer,
        limits: WaveformLimits,
        max_sum: float | None,
    ) -> None:
        self._section, self._codec, self._player, self._limits = section, codec, player, limits
        drives = codec.options.drives
        self._strong = 1.0 if max_sum is None else min(1.0, max_sum / drives)

    def run(self) -> Calibration:
        """Play the rows, and find out what there is to find out.

        Raises:
            InputError: Something clipped, the pilot is too weak, or the medium rings for longer than it may: the bench
                is not as its file says.
            MeasurementError: A trigger was missed.
            TransportError: A line failed.
        """
        kinds = [_ON, _OFF, *([_PROBE] if self._section.delay == "measured" else [])] * self._section.rows
        played = [self._play(kinds[first : first + self._player.rows]) for first in self._firsts(len(kinds))]
        try:
            return self._evaluated(kinds, played)
        except MeasurementError as error:
            raise InputError(f"the bench must be as its file says, and its calibration says: {error}") from error

    def _evaluated(self, kinds: list[int], played: list[Records]) -> Calibration:
        section, codec = self._section, self._codec
        volts_NCT = np.concatenate([records.volts_NCT for records in played])
        clipped_N = np.concatenate([records.clipped_N for records in played])
        kind_N, one = np.array(kinds), played[0]
        if clipped_N.any():
            raise MeasurementError(
                "the detector must not clip when the drive is strongest, and did in "
                f"{int(clipped_N.sum())} of {len(kinds)} rows. Raise detector.full_scale, or lower codec.amplitude."
            )
        delay = section.delay if section.delay != "measured" else self._delay(volts_NCT[kind_N == _PROBE], one)
        on_NCT, off_NCT = (volts_NCT[kind_N == kind] for kind in (_ON, _OFF))
        decay, guard = self._guard(on_NCT, off_NCT, one, delay)
        pilot = None
        if codec.pilot_tones:
            where = {"sample_rate": one.sample_rate, "start": one.start, "delay": delay}
            on_NCK, off_NCK = (codec.pilot_levels(volts, **where) for volts in (on_NCT, off_NCT))
            pilot = calibrate_pilot(on_NCK, off_NCK, tones=codec.pilot_tones)
        first, last = self._place(codec.layout.window.first, one, delay), self._place(self._end, one, delay)
        return Calibration(
            delay=delay,
            guard=guard,
            decay=decay,
            pilot=pilot,
            noise_C=off_NCT.std(axis=(0, 2)),
            level_C=np.sqrt(np.mean(on_NCT[:, :, first:last] ** 2, axis=(0, 2))),
            rows=len(kinds),
            moment=time.time(),
        )

    @property
    def _end(self) -> int:
        """Sample of the source at which the drive of a row is over."""
        return self._codec.layout.drive + self._codec.layout.drive_samples

    def _firsts(self, rows: int) -> range:
        return range(0, rows, self._player.rows)

    def _play(self, kinds: list[int]) -> Records:
        kind_N = np.array(kinds)
        on_N = kind_N == _ON
        drive_ND = np.where(on_N[:, None], self._strong, 0.0) * np.ones(self._codec.options.drives)
        words_N = np.where(on_N, self._codec.all_on, 0) if self._codec.pilot_tones else None
        waveform_NCT = self._codec.encode(drive_ND, words_N)
        if _PROBE in kinds:
            probe_T = self._chirp().samples(self._codec.options.sample_rate)
            waveform_NCT[kind_N == _PROBE, :, : len(probe_T)] = probe_T
        self._limits.check(waveform_NCT, self._codec.options.sample_rate)
        records = self._player.play(waveform_NCT)
        if records.counted != records.expected or len(records.volts_NCT) != len(kinds):
            raise MeasurementError(
                f"{records.expected} triggers were given and {records.counted} counted while the bench was calibrated. "
                "Check the trigger cable, and the trigger level of the detector."
            )
        return records

    def _chirp(self) -> Chirp:
        """A probe over the band of all tones, as long as fits into a row with the longest delay."""
        options, row = self._codec.options, self._codec.layout.duration
        tones = (*options.tones, *self._codec.pilot_tones)
        duration = min(0.5 * row, 0.9 * row - self._section.longest_delay)
        low, high = min(tones) / 1.2, min(1.2 * max(tones), 0.45 * options.sample_rate)
        high = max(high, low + 10 / duration)
        return Chirp(low=low, high=high, duration=duration, amplitude=options.amplitude)

    def _delay(self, volts_NCT: NDArray[np.float64], one: Records) -> float:
        """Return the first arrival at whichever channel hears the probe first."""
        probe_T = self._chirp().samples(one.sample_rate)
        latest = self._section.longest_delay
        mean_CT = volts_NCT.mean(0)
        found = [find_delay(r_T, probe_T, sample_rate=one.sample_rate, latest=latest) for r_T in mean_CT]
        return max(0.0, min(delay.seconds for delay in found) + one.start)

    def _guard(
        self, on_NCT: NDArray[np.float64], off_NCT: NDArray[np.float64], one: Records, delay: float
    ) -> tuple[Decay | None, float]:
        """Return how the medium rings and the guard that follows, or the guard that was given, if it is enough."""
        options, rate = self._codec.options, one.sample_rate
        first = self._place(self._end + math.ceil(options.ramp * options.sample_rate), one, delay)
        # All rows are alike: their mean has less noise. An offset of the detector is in the silence, too.
        silence_CT = off_NCT.mean(0)
        offset_C = silence_CT.mean(1)
        noise_C = silence_CT.std(1)
        mean_CT = on_NCT.mean(0) - offset_C[:, None]
        if options.guard != "measured":
            self._check_guard(mean_CT, first + math.ceil(options.guard * rate), noise_C, one.resolution_C)
            return None, options.guard
        decays = [
            fit_decay(rest_T[None, first:], sample_rate=rate, noise=float(noise), level=options.guard_level)
            for rest_T, noise in zip(mean_CT, noise_C, strict=True)
        ]
        longest = max(decays, key=lambda decay: decay.guard)
        if not longest.guard <= self._section.longest_guard:
            raise MeasurementError(
                f"the medium must be silent within calibration.longest_guard = {self._section.longest_guard:g} s, and "
                f"needs {longest.guard:.3g} s to fall to {options.guard_level:g}. Raise it, or guard_level."
            )
        return longest, longest.guard

    def _check_guard(
        self,
        mean_CT: NDArray[np.float64],
        first: int,
        noise_C: NDArray[np.float64],
        resolution_C: NDArray[np.float64],
    ) -> None:
        """Refuse a guard after which more is left than may be, or than can be told from noise and rounding."""
        options = self._codec.options
        left_CT = mean_CT[:, first : first + math.ceil(options.slot * options.sample_rate)]
        if not left_CT.shape[1]:
            return  # the guard reaches beyond what was recorded
        level_C, left_C = (np.sqrt(np.mean(part_CT**2, axis=1)) for part_CT in (mean_CT, left_CT))
        allowed_C = options.guard_level * level_C + _NOISY * np.hypot(noise_C, resolution_C / math.sqrt(12))
        if not bool((left_C <= allowed_C).all()):
            channel = int(np.argmax(left_C / allowed_C))
            raise MeasurementError(
                f"a guard of {options.guard:g} s must leave at most {allowed_C[channel]:.3g} V of a row, and leaves "
                f"{left_C[channel]:.3g} V in channel {channel} of the detector. Make it longer, or set guard = "
                "'measured'."
            )

    def _place(self, sample: int, one: Records, delay: float) -> int:
        """Return the sample of a record at which a sample of the source arrives."""
        seconds = sample / self._codec.options.sample_rate + delay - one.start
        return max(0, math.ceil(seconds * one.sample_rate - 1e-6))
