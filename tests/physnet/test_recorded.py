"""Recorded drive-response pairs as a system."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.contracts import PhysicalSystem
from physnet.errors import DataError, DriveError, MeasurementError
from physnet.port import Port
from physnet.recorded import RecordedSystem
from physnet.testing import SystemConformance

DRIVES, RESPONSES, PAIRS = 3, 4, 60


def pairs(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    drive = random.uniform(-0.5, 2.0, (PAIRS, DRIVES)).astype(np.float32).astype(np.float64)
    return drive, np.abs(drive @ random.standard_normal((DRIVES, RESPONSES)))


def write(folder: Path, kind: str) -> Path:
    drive, response = pairs()
    path = folder / f"pairs.{kind}"
    if kind == "npz":
        np.savez(path, drive=drive, response=response)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["drive"], file["response"] = drive, response
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            names = [f"drive_{n}" for n in range(DRIVES)] + ["comment"] + [f"response_{n}" for n in range(RESPONSES)]
            table.writerow(names)
            table.writerows([*d, "note", *r] for d, r in zip(drive, response, strict=True))
    return path


@pytest.mark.parametrize("kind", ["npz", "h5", "csv"])
def test_a_recorded_drive_is_answered_with_its_response(tmp_path: Path, kind: str) -> None:
    drive, response = pairs()
    system = RecordedSystem(path=write(tmp_path, kind))
    order = np.random.default_rng(1).permutation(PAIRS)
    reading = Port(system).measure(drive[order], np.arange(PAIRS))
    # read and handed up in single precision: two roundings of numbers below 10
    assert np.abs(np.asarray(reading.response) - response[order]).max() <= 10 * 2.0**-23
    assert system.spec.kind == "replay"


def test_a_drive_that_was_not_recorded_is_refused_and_says_how_far_off_it_is(tmp_path: Path) -> None:
    drive, _ = pairs()
    system = RecordedSystem(path=write(tmp_path, "npz"))
    asked = np.vstack([drive[:2], drive[:1] + 0.01, drive[2:3]])
    with pytest.raises(MeasurementError, match=r"row 2 was not recorded.*set neighbours") as refused:
        system.measure(asked, np.arange(4))
    assert refused.value.reading is not None and len(refused.value.reading) == 2


def test_the_range_is_that_of_the_bench_and_one_for_all_channels(tmp_path: Path) -> None:
    path = write(tmp_path, "npz")
    drive, _ = pairs()
    spec = RecordedSystem(path=path).spec.drive
    assert (spec.low, spec.high) == (drive.min(), drive.max())
    spec = RecordedSystem(path=path, drive_range=(-1.0, 3.0)).spec.drive
    assert (spec.low, spec.high) == (-1.0, 3.0)
    with pytest.raises(DataError, match="must hold every drive"):
        RecordedSystem(path=path, drive_range=(0.0, 1.0))


def test_nothing_outside_the_recorded_range_is_answered(tmp_path: Path) -> None:
    drive, _ = pairs()
    system = RecordedSystem(path=write(tmp_path, "npz"), neighbours=4)
    with pytest.raises(DriveError, match="nothing was sent"):
        Port(system).measure(drive.max(0, keepdims=True) + 0.1, np.arange(1))


def test_interpolation_is_exact_on_recorded_drives_and_between_the_neighbours_elsewhere(tmp_path: Path) -> None:
    drive, response = pairs()
    system = RecordedSystem(path=write(tmp_path, "npz"), neighbours=3)
    exact = np.asarray(system.measure(drive, np.arange(PAIRS)).response)
    assert np.abs(exact - response).max() <= 10 * 2.0**-23
    between = (drive[:1] + drive[1:2]) / 2
    answer = np.asarray(system.measure(between, np.arange(1)).response)
    assert np.all(answer >= response.min(0)) and np.all(answer <= response.max(0))
    assert system.spec.identity["interpolated_from"] == 3


def test_rows_recorded_for_one_drive_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "repeats.npz"
    np.savez(path, drive=[[0.0], [1.0], [1.0]], response=[[1.0], [2.0], [4.0]])
    answer = np.asarray(RecordedSystem(path=path).measure(np.array([[1.0], [0.0]]), np.arange(2)).response)
    assert answer.tolist() == [[3.0], [1.0]]


def test_pairs_that_do_not_pair_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    np.savez(path, drive=np.zeros((3, 2)), response=np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"3 drives.*4 responses"):
        RecordedSystem(path=path)
    with pytest.raises(DataError, match="begin with 'voltage'"):
        RecordedSystem(path=write(tmp_path, "csv"), drive="voltage")


class TestConformance(SystemConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._path = write(tmp_path, "npz")

    def make_system(self) -> PhysicalSystem:
        return RecordedSystem(path=self._path, neighbours=4)
