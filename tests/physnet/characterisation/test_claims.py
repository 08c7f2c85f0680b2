"""What is claimed, how often wrongly, and what is kept of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

import physnet
from physnet.characterisation import ALPHA, DEFAULT, FEWEST, Characterisation, characterise, load, save, storage
from physnet.characterisation.figure import write_figure
from physnet.characterisation.plan import make_plan
from physnet.characterisation.statistics import power
from physnet.contracts import Passes, PhysicalSystem, Reading
from physnet.errors import InputError, MeasurementError, SessionError, Stopped
from physnet.session.contents import HASH, hashed
from physnet.session.safety import Source
from physnet.simulators.impairments import Impaired

DRIVES, RESPONSES = 8, 6
MATRIX = np.random.default_rng(1).normal(size=(DRIVES, RESPONSES))
NOTHING = ("mixing", "mixing_pairs", "even_part", "shape_change", "degree_change", "compression", "memory", "drift")
Array = NDArray[Any]


def noisy(seed: int) -> PhysicalSystem:
    system = physnet.system(
        lambda drive: drive @ MATRIX,
        drives=DRIVES,
        responses=RESPONSES,
        drive_range=(-1.0, 1.0),
        drive_unit="V",
        response_unit="mV",
        name="clean $ bench",
    )
    return Impaired(system, noise=0.05, seed=seed)


@pytest.fixture(scope="module")
def found() -> Characterisation:
    with noisy(0) as system:
        return characterise(system, passes=FEWEST)


def test_a_clean_noisy_system_gives_no_more_false_claims_than_stated() -> None:
    claims = []
    for seed in range(20):
        with noisy(seed) as system:
            one = characterise(system, passes=FEWEST, seed=seed)
        claims += [(seed, name) for name in (*NOTHING, "gain_drift", "wander") if one[name].resolved]
        # Bonferroni over directions: one in 370 for all of them together.
        claims += [(seed, "rank")] if one["rank"].value > min(DRIVES, RESPONSES) else []
        claims += [(seed, "degree")] if abs(one["degree"].value - 1) > 5 * one["degree"].error else []
    # 20 x 11 claims at 0.27 % each: 0.6 false ones are expected, and more than 4 happen once in 2500 times (Poisson).
    assert len(claims) <= 4, claims


def test_the_null_distribution_of_a_power_is_that_of_its_noise() -> None:
    random = np.random.default_rng(0)
    p = [power(random.standard_normal((12, 2, 5)), random).p for _ in range(300)]
    # Uniform p: below 0.05 in 15 of 300 with a deviation of 3.8; four of them. Below ALPHA: 0.8 expected.
    assert 0 <= np.count_nonzero(np.array(p) < 0.05) <= 15 + 4 * 3.8
    assert np.count_nonzero(np.array(p) < ALPHA) <= 5
    shifted = random.standard_normal((12, 2, 5)) + 1.0
    estimate = power(np.array([random.standard_normal((12, 2, 5)) + 1.0 for _ in range(50)]).reshape(600, 2, 5), random)
    # The mean of <n1 + 1, n2 + 1> is 5, its variance 5 + 2 * 5 = 15: over 600 contrasts a deviation of 0.16; five.
    assert estimate.value == pytest.approx(5, abs=5 * 0.16)
    assert power(shifted, random).p < ALPHA


def test_an_unresolved_quantity_names_its_limit_instead_of_a_value(found: Characterisation) -> None:
    for name in NOTHING:
        assert str(found[name]).startswith("not resolved, below")
    for name, quantity in found.quantities.items():
        assert quantity.about, name
        assert quantity.unit, name


@pytest.mark.parametrize("passes", [FEWEST, 1234, DEFAULT])
def test_the_play_list_has_the_length_asked_for_and_every_row_one_place(passes: int) -> None:
    plan = make_plan(noisy(0).spec, passes=passes, seed=3)
    tables = (plan.couples, plan.homogeneity, plan.groups, plan.pairs, plan.parity, plan.memory, *plan.sentinels)
    assert sorted(np.concatenate([table.ravel() for table in tables])) == list(range(passes))
    assert len(plan.drive_PD) == passes
    # Sentinels stand all through: no gap longer than three of the mean.
    places = np.sort(np.concatenate(plan.sentinels))
    assert np.diff(np.concatenate([[0], places, [passes]])).max() < 3 * passes / len(places) + 4
    # The order of the memory blocks is kept: each probe follows its own predecessor.
    assert np.all(plan.memory[:, :, 1] == plan.memory[:, :, 0] + 1)
    assert np.all(plan.memory[:, :, 3] == plan.memory[:, :, 2] + 1)
    assert np.array_equal(plan.drive_PD, make_plan(noisy(0).spec, passes=passes, seed=3).drive_PD)
    assert not np.array_equal(plan.drive_PD, make_plan(noisy(0).spec, passes=passes, seed=4).drive_PD)


def test_the_same_seed_gives_the_same_numbers(found: Characterisation) -> None:
    with noisy(0) as system:
        again = characterise(system, passes=FEWEST)
    # Written out: NaN is not equal to itself.
    assert {name: repr(q) for name, q in again.quantities.items()} == {
        name: repr(q) for name, q in found.quantities.items()
    }


@pytest.mark.parametrize("passes", [0, FEWEST - 1, 1 << 21])
def test_too_few_or_too_many_passes_are_refused_before_anything_is_driven(passes: int) -> None:
    with noisy(0) as system, pytest.raises(InputError, match="passes of a characterisation"):
        characterise(system, passes=passes)


def test_a_characterisation_survives_the_disk_with_its_units(found: Characterisation, tmp_path: Path) -> None:
    path = save(found, tmp_path / "new")
    assert path.name == "characterisation-clean-bench.h5"
    back = load(path)
    with pytest.raises(SessionError, match="belongs to another run"):
        load(save(found, tmp_path / "run", run="a" * 32), run="b" * 32)
    for run in ("", "a" * 32):
        assert repr(load(tmp_path / "run" / path.name, run=run)) == repr(back)
    assert repr(load(path, run="b" * 32)) == repr(back)  # it names no run
    assert repr(back.quantities) == repr(dict(found.quantities))
    assert back["noise"].unit == "mV"
    assert back.traces.keys() == found.traces.keys()
    for name, trace in found.traces.items():
        np.testing.assert_array_equal(back.traces[name].values, trace.values)
        assert back.traces[name].unit == trace.unit
    for field in dataclasses.fields(found):
        if field.name not in ("quantities", "traces", "system"):
            assert getattr(back, field.name) == getattr(found, field.name), field.name
    assert back.system["identity"]["impairments"]["noise"] == 0.05
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert back.summary() == found.summary()


def test_an_earlier_characterisation_is_never_overwritten(found: Characterisation, tmp_path: Path) -> None:
    first, second = save(found, tmp_path), save(found, tmp_path)
    assert first != second
    assert first.exists() and second.exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"nothing")
    with pytest.raises(SessionError, match="can't be read as a characterisation"):
        load(tmp_path / "x.h5")
    (tmp_path / "file").touch()
    with pytest.raises(SessionError, match="can't be written"):
        save(_empty(), tmp_path / "file")


def _empty() -> Characterisation:
    return Characterisation(
        name="x",
        kind="simulated",
        system={},
        seed=0,
        created="",
        seconds=0.0,
        count=physnet.Port(noisy(0)).count,
        plan={},
        quantities={},
        traces={},
        notes=(),
        sentences=(),
    )


def test_the_figure_is_drawn_from_the_file_alone(found: Characterisation, tmp_path: Path) -> None:
    path = write_figure(load(save(found, tmp_path)), tmp_path / "figure.png")
    height, width = matplotlib.image.imread(path).shape[:2]
    assert width > 1000 and height > 800


def test_a_stop_request_comes_between_blocks() -> None:
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped(2)

    with noisy(0) as system, pytest.raises(Stopped):
        characterise(system, passes=FEWEST, interrupted=stop)
    assert len(calls) == 3


class Flaky:
    """Answers, but every fortieth row is lost and must be played again."""

    def __init__(self, *, dead: bool = False) -> None:
        self._inner, self._rows, self._dead = noisy(0), 0, dead
        self.spec = self._inner.spec

    def measure(self, drive: Array, passes: Passes) -> Reading:
        reading = self._inner.measure(drive, passes)
        place = self._rows + np.arange(len(drive))
        self._rows += len(drive)
        return dataclasses.replace(reading, valid=(place % 40 != 7) & (not self._dead))

    def __enter__(self) -> Flaky:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def test_rows_that_were_measured_again_are_counted_and_left_out_of_the_memory() -> None:
    with Flaky() as system:
        one = characterise(system, passes=FEWEST)
    assert one.count.retries > FEWEST // 50
    assert one.count.passes == FEWEST + one.count.retries
    assert not one["memory"].resolved
    kept = one.traces["memory_trace"].values.shape[1]
    assert 3 <= kept < make_plan(system.spec, passes=FEWEST).memory.shape[1]


def test_a_system_that_gives_nothing_is_a_fault() -> None:
    with Flaky(dead=True) as system, pytest.raises(MeasurementError, match="no usable response"):
        characterise(system, passes=FEWEST)


def test_a_characterisation_of_schema_2_names_no_run_and_is_read(found: Characterisation, tmp_path: Path) -> None:
    path = save(found, tmp_path, run="a" * 32)
    expected = repr(load(path))
    with h5py.File(path, "r+") as file:
        del file["entry"].attrs["run"]
    with pytest.raises(SessionError, match="can't be read"):
        load(path)
    with h5py.File(path, "r+") as file:
        file.attrs["physnet_characterisation"] = 2
    with pytest.raises(SessionError, match="does not match its hash"):
        load(path)  # the run was part of it
    with h5py.File(path, "r+") as file:
        file["entry"].attrs[HASH] = hashed(storage._values(Source(file)))
    assert repr(load(path, run="b" * 32)) == expected
