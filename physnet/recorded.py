"""Drive-response pairs that were recorded before, as a system.

Axis letters: N rows asked for, M rows recorded, D drive channels, R response channels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec
from .data import load_features
from .errors import DataError, MeasurementError
from .neighbours import Neighbours, blended, same


class RecordedSystem:
    """Answers a drive with the response that was recorded for it.

    For pairs that exist already: a CSV, NPZ or HDF5 file with one row per pass. A drive that was not recorded is
    refused; with `neighbours`, it is answered by the mean of the responses to the nearest recorded drives, weighted by
    the inverse square of their distance. That is interpolation, not a measurement: the spec says so, and what it is
    worth depends on how densely the drives were sampled. Several rows recorded for one drive are averaged.

    The response carries no noise of its own: repeating a row repeats its number.

    Args:
        path: The file. In an experiment, a relative path starts from the experiment's folder.
        drive: Where the drives are: an array of shape `(m, drives)` in an NPZ or HDF5 file, or, in a CSV file, the
            prefix of the columns' names.
        response: The same for the responses, `(m, responses)`.
        neighbours: Recorded drives to interpolate from; 0 refuses what was not recorded.
        drive_range: Lowest and highest drive of the bench, for all channels; the extremes of the recording when None.
        drive_unit: Unit of the drives.
        response_unit: Unit of the responses.
        name: Name in sessions and messages.

    Raises:
        DataError: The file is missing, damaged, or does not hold as many responses as drives.
    """

    def __init__(
        self,
        *,
        path: Path,
        drive: str = "drive",
        response: str = "response",
        neighbours: Annotated[int, Field(ge=0, le=64)] = 0,
        drive_range: tuple[float, float] | None = None,
        drive_unit: str = "1",
        response_unit: str = "1",
        name: str = "recorded",
    ) -> None:
        path = Path(path)
        drive_MD, response_MR = _read(path, drive), _read(path, response)
        if len(drive_MD) != len(response_MR):
            raise DataError(
                f"{path} must hold one response per drive, got {len(drive_MD)} drives in '{drive}' and "
                f"{len(response_MR)} responses in '{response}'. Record them together, or name other arrays."
            )
        # One range for all channels: an encoder must map to what the bench was driven with, not to each extreme.
        lowest, highest = drive_range or (float(drive_MD.min()), float(drive_MD.max()))
        if not lowest <= drive_MD.min() <= drive_MD.max() <= highest or lowest == highest:
            raise DataError(
                f"drive_range must hold every drive in {path} and not be empty, got {lowest:g} to {highest:g} for "
                f"drives from {drive_MD.min():g} to {drive_MD.max():g}. Give the range that the bench was driven with."
            )
        self._lowest, self._span = lowest, highest - lowest
        scaled_MD, pair_M = np.unique(self._scaled(drive_MD).round(6), axis=0, return_inverse=True)
        count_M = np.bincount(pair_M.ravel(), minlength=len(scaled_MD))
        self._response_MR = np.zeros((len(scaled_MD), response_MR.shape[1]))
        np.add.at(self._response_MR, pair_M.ravel(), response_MR)
        self._response_MR /= count_M[:, None]
        self._recorded = Neighbours(scaled_MD)
        self._neighbours = min(neighbours, len(scaled_MD))
        self._spec = SystemSpec(
            name=name,
            kind="replay",
            drive=DriveSpec(
                shape=(drive_MD.shape[1],),
                low=lowest,
                high=highest,
                unit=drive_unit,
                axes=("drive",),
            ),
            response=ResponseSpec(shape=(response_MR.shape[1],), unit=response_unit, axes=("response",)),
            nonlinearity=frozenset({"medium"}),
            repeatable=True,
            reproducible=True,
            identity={"path": str(path), "pairs": len(scaled_MD), "interpolated_from": self._neighbours},
        )

    @property
    def spec(self) -> SystemSpec:
        """The system's description of itself."""
        return self._spec

    def measure(self, drive: NDArray[np.float64], passes: Passes) -> Reading:
        """Look up drives, shape `(n, drives)`.

        Raises:
            MeasurementError: A drive was not recorded, and nothing is interpolated. It carries the rows before it.
        """
        started = time.time()
        # One more would cost time alone: the nearest tells whether the drive was recorded.
        distance_NK, index_NK = self._recorded.find(self._scaled(drive), max(1, self._neighbours))
        same_N = same(distance_NK, drive.shape[1])
        response_NR = self._response_MR[index_NK[:, 0]]
        if not self._neighbours and not same_N.all():
            row = int(np.argmin(same_N))
            raise MeasurementError(
                f"{self._spec.name}: the drive of row {row} was not recorded; the nearest of {len(self._response_MR)} "
                f"differs by {distance_NK[row, 0]:.3g} of the range. Record it, or set neighbours to interpolate.",
                reading=Reading(response=response_NR[:row], started=started, stopped=time.time()),
            )
        if not same_N.all():
            response_NR[~same_N] = blended(distance_NK[~same_N], self._response_MR[index_NK[~same_N]])
        return Reading(response=response_NR, started=started, stopped=time.time())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _scaled(self, drive: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (drive - self._lowest) / self._span
        return scaled


def _read(path: Path, name: str) -> NDArray[np.float64]:
    """Read an array, or the columns of a CSV file that begin with a name."""
    if path.suffix.lower() != ".csv":
        return load_features(path, key=name)[0].astype(np.float64)
    columns = [column for column in _header(path) if column.startswith(name)]
    if not columns:
        raise DataError(f"{path} must have columns that begin with '{name}', got none. Its columns: {_header(path)}.")
    return load_features(path, features=columns)[0].astype(np.float64)


def _header(path: Path) -> Sequence[str]:
    from .data.csv_files import csv_header

    return csv_header(path)
