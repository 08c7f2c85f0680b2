"""One burst: both sides armed and confirmed, one trigger, counted on both sides, and cut into rows.

Axis letters: N rows; C channels of the source or of the detector; T samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, SpecError

from ..roles import Capture, Detector, DetectorSetup, Source, SourceSetup
from ..transport import Deadline

_SLACK = 1e-6  # samples: rounding in a time that should be one of a sample


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """What was recorded in a burst, in the order in which it came.

    Args:
        volts_NCT: One record for each trigger that was counted, from its row's beginning on.
        clipped_N: Records with a sample at the end of the converter's range.
        sample_rate: Of the detector in Hz.
        start: Time of the first sample after the beginning of its row in s.
        counted: Triggers that the detector counted.
        expected: Triggers that the source gave.
        resolution_C: V of one code of the detector.
    """

    volts_NCT: NDArray[np.float64]
    clipped_N: NDArray[np.bool_]
    sample_rate: float
    start: float
    counted: int
    expected: int
    resolution_C: NDArray[np.float64]


class BurstPlayer:
    """Plays bursts of rows and records them.

    Where the source marks each row and the detector has segments, every row is a segment of its own; elsewhere one
    record holds the burst, and is cut at the rows' beginnings.

    Args:
        source: What plays.
        detector: What records.
        source_setup: How the source is set up.
        channels: Channels of the detector.
        full_scale: Of each in V.
        coupling: Of its inputs.
        sample_rate: Of the detector in Hz.
        row_samples: Samples of a row of the source.
        rows: Most rows of a burst.
        listen: How long each row is recorded from its beginning, in s.
        margin: How much longer than its burst a capture may take, in s.

    Raises:
        SpecError: Not one row fits, or the detector's samples don't fit the rows.
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        *,
        source_setup: SourceSetup,
        channels: tuple[int, ...],
        full_scale: tuple[float, ...],
        coupling: str,
        sample_rate: float,
        row_samples: int,
        rows: int,
        listen: float,
        margin: float,
    ) -> None:
        self._source, self._detector = source, detector
        self._source_setup, self._margin = source_setup, margin
        self._row = row_samples / source_setup.sample_rate
        self._row_samples = row_samples
        self.segmented = source.capabilities.marks == "row" and detector.recording.segments > 1
        points = math.ceil(listen * sample_rate - _SLACK)
        if not self.segmented:
            step = self._row * sample_rate
            if abs(step - round(step)) > _SLACK:
                raise SpecError(
                    f"a row of {self._row:.6g} s must be a whole number of samples of the detector, got {step:.6g} at "
                    f"{sample_rate:g} Hz. Use the source's rate, or a multiple of it."
                )
            points += round(step) * (rows - 1)
        self.detector_setup = DetectorSetup(
            channels=channels,
            sample_rate=sample_rate,
            points=points,
            segments=rows if self.segmented else 1,
            full_scale=full_scale,
            coupling="AC" if coupling == "AC" else "DC",
        )
        self.rows = rows
        self.sample_rate = sample_rate

    def setup(self) -> None:
        """Set both sides up, outputs off; see `setup_source` and `setup_detector`."""
        self.setup_source()
        self.setup_detector()

    def setup_source(self) -> None:
        """Set up what plays, outputs off.

        Raises:
            InputError: It made something else of it than asked for.
            TransportError: Its line failed.
        """
        wanted, got = self._source_setup, self._source.setup(self._source_setup)
        if not _near(got.sample_rate, wanted.sample_rate) or got.channels != wanted.channels:
            raise InputError(f"the source must be set up as {wanted}, and says {got}. Choose what it can do.")

    def setup_detector(self) -> None:
        """Set up what listens.

        Raises:
            InputError: It made something else of it than asked for.
            TransportError: Its line failed.
        """
        asked, made = self.detector_setup, self._detector.setup(self.detector_setup)
        if not _near(made.sample_rate, asked.sample_rate):
            raise InputError(
                f"the detector must sample at {asked.sample_rate:.10g} Hz, and does at {made.sample_rate:.10g} Hz. "
                "Set detector.sample_rate to a rate that it has for this length of record, or chunk.rows for another "
                "length."
            )
        if made.points < asked.points or made.segments < asked.segments:
            raise InputError(
                f"the detector must record {asked.segments} times {asked.points} samples, and has room for "
                f"{made.segments} times {made.points}. Lower chunk.rows, or its sample rate."
            )

    def play(self, waveform_NCT: NDArray[np.float64]) -> Records:
        """Play rows one after the other, at one trigger, and return what was recorded.

        Raises:
            DriveError: The source can't play them; not a byte was sent.
            TransportError: A line failed.
        """
        rows = len(waveform_NCT)
        segments = rows if self.segmented else 1
        self._source.load(waveform_NCT)
        self._detector.arm(segments)
        self._source.arm()
        self._source.fire()
        deadline = Deadline.after(rows * self._row + self._margin)
        counted = self._detector.wait(deadline)
        self._source.finish(Deadline.after(rows * self._row + self._margin))
        if not counted:
            # Nothing to read. The next burst arms anew.
            return self._nothing(segments)
        capture = self._detector.fetch()
        self._detector.check_errors()
        return self._whole(capture, segments) if self.segmented else self._cut(capture, rows)

    def _nothing(self, expected: int) -> Records:
        empty_NCT = np.zeros((0, len(self.detector_setup.channels), 0))
        return Records(
            volts_NCT=empty_NCT,
            clipped_N=np.zeros(0, np.bool_),
            sample_rate=self.sample_rate,
            start=0.0,
            counted=0,
            expected=expected,
            resolution_C=np.zeros(len(self.detector_setup.channels)),
        )

    def _whole(self, capture: Capture, expected: int) -> Records:
        return Records(
            volts_NCT=capture.volts(),
            clipped_N=capture.clipped(),
            sample_rate=capture.sample_rate,
            start=capture.start,
            counted=capture.counted,
            expected=expected,
            resolution_C=capture.scale_C,
        )

    def _cut(self, capture: Capture, rows: int) -> Records:
        """Cut one record at the rows' beginnings, which are whole samples apart."""
        step = round(self._row * capture.sample_rate)
        # The first sample at or after the trigger: what came before it belongs to no row.
        first = max(0, math.ceil(-capture.start * capture.sample_rate - _SLACK))
        length = self.detector_setup.points - step * (self.rows - 1)
        codes_CT = capture.codes_NCT[0]
        held = min(length, codes_CT.shape[1] - first - step * (rows - 1))
        codes_NCT = np.stack([codes_CT[:, first + row * step : first + row * step + held] for row in range(rows)])
        flat_NX = codes_NCT.reshape(rows, -1)
        return Records(
            volts_NCT=codes_NCT * capture.scale_C[None, :, None] + capture.offset_C[None, :, None],
            clipped_N=np.asarray(((flat_NX <= capture.lowest) | (flat_NX >= capture.highest)).any(1)),
            sample_rate=capture.sample_rate,
            start=capture.start + first / capture.sample_rate,
            counted=capture.counted,
            expected=1,
            resolution_C=capture.scale_C,
        )


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
