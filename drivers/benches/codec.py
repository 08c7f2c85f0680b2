"""Drives to waveforms of a source, and records of a detector to responses.

Axis letters: N rows; D drives; C channels, of the source or of the detector; T samples; K pilot tones; R responses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import DriveError, SpecError

from .demodulation import check_detector_rate, cut, energies, lock_in
from .row_layout import Window, lay_out
from .tone_basis import drive_parts, pilot_parts
from .tone_options import ToneOptions

_UNITS = {"lock_in": "V", "amplitude": "V", "phase": "rad", "energy": "V2 s"}


class ToneCodec:
    """Each drive is the amplitude of one tone of one channel in one slot.

    Tones keep their phase from the start of the drive: they are coherent, and what still rings in the medium
    interferes with the next slot. Before the drive, a pilot slot carries the nonce of the row in tones that are on or
    off. Every row ends at exactly 0 V, after a guard.

    Args:
        options: What a row is made of, and what is made of the response.
        channels: Of the source.
        step: A row has a multiple of this many samples.
        guard: Silence after the pilot and at the end of a row in s, in the place of the options'. Needed where they say
            `measured`.

    Raises:
        SpecError: The options don't fit each other or the channels.
    """

    def __init__(self, options: ToneOptions, *, channels: int = 1, step: int = 1, guard: float | None = None) -> None:
        if channels < 1 or step < 1:
            raise SpecError(f"a codec must have channels and a step of 1 or more, got {channels} and {step}.")
        silence = options.guard if guard is None else guard
        if silence == "measured":
            raise SpecError(
                "guard must be a time in s before a codec is made, got 'measured'. Measure the decay first."
            )
        if not 0 <= silence < float("inf"):
            raise SpecError(f"guard must be >= 0 s and finite, got {silence} s.")
        self.options = options
        self.channels = channels
        self.layout = lay_out(options, channels=channels, step=step, guard=silence)
        self.drive_parts = drive_parts(options, self.layout, channels)
        self.pilot_parts = pilot_parts(options, self.layout, channels)

    @property
    def low(self) -> float:
        """Lowest drive."""
        return -1.0 if self.options.signed else 0.0

    @property
    def pilot_tones(self) -> tuple[float, ...]:
        """Frequencies of the bits of the nonce in Hz; empty without a pilot."""
        window = self.layout.pilot_window
        return () if window is None else window.tones

    @property
    def all_on(self) -> int:
        """The word with every pilot tone on. It is for calibration, as is 0: no row of a run carries either."""
        return (1 << len(self.pilot_tones)) - 1

    @property
    def each(self) -> int:
        """Responses of one channel of the detector."""
        return self.options.slices if self.options.response == "energy" else len(self.options.tones)

    @property
    def unit(self) -> str:
        """Of a response, as UDUNITS writes it."""
        return _UNITS[self.options.response]

    @property
    def dtype(self) -> str:
        """NumPy name of the type of a response."""
        return "complex128" if self.options.response == "lock_in" else "float64"

    def encode(self, drive_ND: NDArray[np.float64], words_N: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the waveforms of rows.

        Args:
            drive_ND: Drives from `low` to 1, shape `(n, drives)`.
            words_N: Nonce of each row: bit `k` switches pilot tone `k` on. None where there is no pilot.

        Returns:
            Shape `(n, channels, samples)`, in V. The last sample of each row is 0.

        Raises:
            DriveError: A drive is out of its range or not finite, or a word has bits without a tone. Nothing was made.
        """
        self._check(drive_ND, words_N)
        waveform_NCT = np.zeros((len(drive_ND), self.channels, self.layout.samples))
        for part in self.drive_parts:
            waveform_NCT[:, part.channel, part.first : part.last] += drive_ND[:, part.inputs] @ part.basis_JL
        if words_N is not None:
            for part in self.pilot_parts:
                bits_NJ = (words_N[:, None] >> part.inputs & 1).astype(np.float64)
                waveform_NCT[:, part.channel, part.first : part.last] += bits_NJ @ part.basis_JL
        return waveform_NCT

    def check_detector(self, sample_rate: float) -> None:
        """Refuse a rate of the detector that the windows don't fit: best is the source's, or a whole multiple of it.

        Raises:
            SpecError: A window would not have whole samples or slices, or a tone is too high.
        """
        check_detector_rate(self.layout.window, sample_rate, slices=self.options.slices)
        if self.layout.pilot_window is not None:
            check_detector_rate(self.layout.pilot_window, sample_rate)

    def span(self, delay: float = 0.0) -> tuple[float, float]:
        """Return from when to when a record must reach, in s from the beginning of its row.

        Args:
            delay: From a waveform at the source to its arrival at the detector in s.

        Raises:
            SpecError: The window would not be over when the next row begins.
        """
        end = self.layout.window.start + self.layout.window.duration + delay
        if not end <= self.layout.duration:
            raise SpecError(
                f"delay must leave the window within its row of {self.layout.duration:.6g} s, it would end at "
                f"{end:.6g} s with {delay:.6g} s. Make guard longer, or check the delay."
            )
        begin = self.layout.window if self.layout.pilot_window is None else self.layout.pilot_window
        return begin.start + delay, end

    def decode(
        self, volts_NCT: NDArray[np.float64], *, sample_rate: float, start: float = 0.0, delay: float = 0.0
    ) -> NDArray[Any]:
        """Return the responses of rows; those of one channel of the detector are neighbours.

        Args:
            volts_NCT: Records, one a row, in V: channels of the detector.
            sample_rate: Of the detector, in Hz.
            start: Time of the first sample after the beginning of the row in s; negative when it was taken before.
            delay: From a waveform at the source to its arrival at the detector in s.

        Returns:
            Shape `(n, channels * each)`, in `unit`.

        Raises:
            ResponseError: The records don't reach far enough, or are not finite.
            SpecError: The rate does not fit the window.
        """
        slices = self.options.slices
        window = self.layout.window
        piece, first = cut(volts_NCT, window, sample_rate=sample_rate, start=start, delay=delay, slices=slices)
        rows = len(volts_NCT)
        if self.options.response == "energy":
            return energies(piece, slices=slices, sample_rate=sample_rate).reshape(rows, -1)
        level = lock_in(piece, first, tones=window.tones, sample_rate=sample_rate).reshape(rows, -1)
        if self.options.response == "lock_in":
            return level
        return np.abs(level) if self.options.response == "amplitude" else np.angle(level)

    def pilot_levels(
        self, volts_NCT: NDArray[np.float64], *, sample_rate: float, start: float = 0.0, delay: float = 0.0
    ) -> NDArray[np.complex128]:
        """Return the complex amplitude of each pilot tone, shape `(n, channels, pilot tones)`, in V.

        Args and raises as `decode`.

        Raises:
            SpecError: Also when there is no pilot.
        """
        window: Window | None = self.layout.pilot_window
        if window is None:
            raise SpecError("identity must be 'pilot' for a pilot to be read, got 'none'.")
        piece, first = cut(volts_NCT, window, sample_rate=sample_rate, start=start, delay=delay)
        return lock_in(piece, first, tones=window.tones, sample_rate=sample_rate)

    def _check(self, drive_ND: NDArray[np.float64], words_N: NDArray[np.int64] | None) -> None:
        if drive_ND.ndim != 2 or drive_ND.shape[1] != self.options.drives:
            raise DriveError(f"a drive must have shape (n, {self.options.drives}), got {drive_ND.shape}.")
        wrong_ND = ~((drive_ND >= self.low) & (drive_ND <= 1))
        if wrong_ND.any():
            row, drive = np.argwhere(wrong_ND)[0]
            raise DriveError(
                f"a drive must be {self.low:g} to 1, got {drive_ND[row, drive]:g} in row {row}, drive {drive}."
            )
        bits = len(self.pilot_tones)
        if (words_N is None) == bool(bits):
            raise DriveError(f"words must be given just where there is a pilot, got {words_N} with {bits} pilot tones.")
        if words_N is None:
            return
        if words_N.shape != (len(drive_ND),) or words_N.dtype.kind not in "iu":
            raise DriveError(f"words must be one integer a row, {len(drive_ND)}, got {words_N.dtype}{words_N.shape}.")
        if not bool(((words_N >= 0) & (words_N <= self.all_on)).all()):
            raise DriveError(f"a word must be 0 to {self.all_on}, one bit a pilot tone, got {words_N}.")
