"""Sentinel rows: a few fixed drives that every system answers again and again, to tell whether it is still the same.

Axis letters: N sentinel rows, R response values.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .allowed_drives import random_drives
from .conversion import real_rows
from .network import Network
from .passes import Purpose, pass_numbers
from .records import SentinelRecord, Tensors
from .seeding import derive_seed


class Sentinels:
    """Looks at systems with the same drives each time.

    The drives are random over each channel's range, from the run's seed: they need not resemble any data.

    Args:
        network: The network.
        rows: Drives per system; 0 for none.
        seed: The run's seed.
    """

    def __init__(self, network: Network, *, rows: int, seed: int) -> None:
        self._network = network
        self.rows = rows
        self._drives = [
            random_drives(port.spec, rows=rows, seed=derive_seed(seed, "sentinels", number)) if rows else None
            for number, port in enumerate(network.ports)
        ]
        self._first: dict[int, NDArray[np.float64]] = {}
        self._last: dict[int, NDArray[np.float64]] = {}

    def look(self, *, epoch: int, step: int, look: int = 0) -> list[SentinelRecord]:
        """Measure the sentinels of every system.

        Args:
            epoch: Epochs done.
            step: Steps done.
            look: Number of the look after that epoch; with the epoch it keys the pass numbers.

        Returns:
            One record per system; none when there are no sentinels.

        Raises:
            DriveError, ResponseError, MeasurementError: See `Port.measure`.
        """
        records = []
        for number, (port, drive) in enumerate(zip(self._network.ports, self._drives, strict=True)):
            if drive is None:
                continue
            passes = pass_numbers(Purpose.SENTINEL, epoch=epoch, step=look, layer=number, rows=self.rows)
            answer_NR = real_rows(port.measure(drive, passes).response)
            first_NR = self._first.setdefault(number, answer_NR)
            last_NR = self._last.get(number)
            records.append(
                SentinelRecord(
                    epoch=epoch,
                    step=step,
                    system=number,
                    time=time.time(),
                    difference=float("nan") if last_NR is None else change(answer_NR, last_NR),
                    drift=change(answer_NR, first_NR),
                )
            )
            self._last[number] = answer_NR
        return records

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the first and the last answers, for a checkpoint."""
        first = {f"sentinel/{number}/first": answer for number, answer in self._first.items()}
        return first | {f"sentinel/{number}/last": answer for number, answer in self._last.items()}

    def restore(self, arrays: Tensors) -> None:
        """Take back what `arrays` returned, perhaps among others."""
        for number in range(len(self._drives)):
            for name, answers in (("first", self._first), ("last", self._last)):
                key = f"sentinel/{number}/{name}"
                if key in arrays:
                    answers[number] = np.asarray(arrays[key], np.float64)

    def changed(self, records: Sequence[SentinelRecord], tolerance: float) -> list[str]:
        """Return a sentence for every system that answered otherwise than at the look before.

        Args:
            records: From `look`.
            tolerance: Largest change that counts as none.
        """
        names = [port.spec.name for port in self._network.ports]
        return [
            f"{names[record.system]} must answer its sentinels as before, within {tolerance:.3g} of their spread, got "
            f"a change of {record.difference:.3g}."
            for record in records
            if not record.difference <= tolerance
        ]


def change(now_NR: NDArray[np.float64], then_NR: NDArray[np.float64]) -> float:
    """Return the root mean square change as a fraction of how much the rows differed from each other.

    NaN where they did not differ, or are not of one shape.
    """
    if now_NR.shape != then_NR.shape:
        return float("nan")
    spread = float(np.sqrt(np.mean(np.square(then_NR - then_NR.mean(0)))))
    return float(np.sqrt(np.mean(np.square(now_NR - then_NR)))) / spread if spread > 0 else float("nan")
