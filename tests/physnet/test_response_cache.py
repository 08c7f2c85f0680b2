"""Responses that are given again instead of measured again, through a port and in a run.

Axis letters: D drive channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch

from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.contracts import DriveSpec, Flag, Passes, Reading, ResponseSpec, SystemSpec
from physnet.errors import ExperimentError, InputError
from physnet.experiment import Experiment, load_experiment
from physnet.forecast import count_passes
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.records import RunResult
from physnet.response_cache import ResponseCache
from physnet.trainer import Trainer

_ROW = 8 * 4 + 200  # bytes that a response of 8 float32 takes in a cache


class Counting:
    """Squares what it gets, repeats itself, and keeps what it was driven with; a drive of 1 is flagged as clipped."""

    def __init__(self, *, repeatable: bool = True) -> None:
        self.rows: list[np.ndarray[Any, Any]] = []
        self.gain = 1.0
        self.spec = SystemSpec(
            name="square",
            kind="simulated",
            drive=DriveSpec(shape=(8,)),
            response=ResponseSpec(shape=(8,)),
            repeatable=repeatable,
            reproducible=True,
        )

    @property
    def parameters(self) -> dict[str, DriveSpec]:
        return {"gain": DriveSpec(shape=(1,), low=0.0, high=2.0)}

    @property
    def values(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"gain": np.array([self.gain])}

    def configure(self, values: dict[str, np.ndarray[Any, Any]]) -> int:
        self.gain = float(values["gain"][0])
        return 1

    def measure(self, drive: Any, passes: Passes) -> Reading:
        self.rows += list(drive)
        flags = np.where(drive[:, 0] == 1, Flag.CLIPPED, 0).astype(np.uint8)
        return Reading(response=self.gain * drive**2, flags=flags)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


def rows(count: int, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 8, generator=torch.Generator().manual_seed(seed))


def numbers(count: int, *, step: int = 0, purpose: Purpose = Purpose.TRAIN) -> Passes:
    return pass_numbers(purpose, step=step, rows=count)


def test_a_row_that_is_known_is_not_measured_again() -> None:
    system = Counting()
    with Port(system, cache_megabytes=1.0) as port:
        first = port.measure(rows(6), numbers(6))
        mixed = torch.cat([rows(6)[[4, 1]], rows(3, seed=1), rows(6)[[0]]])
        second = port.measure(mixed, numbers(6, step=1))
    expected = torch.as_tensor(first.response)
    found = torch.as_tensor(second.response)
    assert torch.equal(found[[0, 1, 5]], expected[[4, 1, 0]])
    assert torch.equal(found, mixed**2)
    assert len(system.rows) == 9
    assert (port.count.passes, port.count.cache_hits) == (9, 3)
    assert second.valid is not None
    assert second.valid.all()


def test_flags_come_with_a_response_that_is_known() -> None:
    drive = rows(3)
    drive[1, 0] = 1.0
    with Port(Counting(), cache_megabytes=1.0) as port:
        port.measure(drive, numbers(3))
        again = port.measure(drive, numbers(3, step=1))
    assert again.flags is not None
    assert again.flags.tolist() == [0, int(Flag.CLIPPED), 0]


@pytest.mark.parametrize("purpose", [Purpose.CALIBRATE, Purpose.SENTINEL])
def test_a_calibration_and_a_sentinel_are_measured(purpose: Purpose) -> None:
    system = Counting()
    with Port(system, cache_megabytes=1.0) as port:
        port.measure(rows(4), numbers(4))
        port.measure(rows(4), numbers(4, purpose=purpose))
    assert len(system.rows) == 8
    assert port.count.cache_hits == 0


def test_written_parameters_forget_what_is_known() -> None:
    system = Counting()
    with Port(system, cache_megabytes=1.0) as port:
        port.measure(rows(4), numbers(4))
        port.configure({"gain": np.array([2.0])})
        found = torch.as_tensor(port.measure(rows(4), numbers(4, step=1)).response)
    assert torch.equal(found, 2 * rows(4) ** 2)
    assert port.count.cache_hits == 0


def test_a_port_that_is_opened_again_begins_with_nothing() -> None:
    port = Port(Counting(), cache_megabytes=1.0)
    for step in range(2):
        with port:
            port.measure(rows(4), numbers(4, step=step))
    assert (port.count.passes, port.count.cache_hits) == (8, 0)


@pytest.fixture
def _many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)  # with one, rows are written in their order, and a place given twice goes unnoticed
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_many_threads")
def test_memory_is_bounded_and_a_scan_still_finds_some() -> None:
    system = Counting()
    room = 50
    with Port(system, cache_megabytes=room * _ROW / 1e6) as port:
        order = np.random.default_rng(1)
        for step in range(20):
            some = rows(100)[torch.from_numpy(order.permutation(100))]
            found = torch.as_tensor(port.measure(some, numbers(100, step=step)).response)
            assert torch.equal(found, some**2)
        assert port.cache is not None
        assert len(port.cache) == port.cache.capacity == room
        # 100 drives over and over with room for 50: least recently used would find none of them, ever. A place taken
        # by chance leaves a row there until it comes again with (1 - 1/50)^k for the k new rows meanwhile, k < 100.
        assert port.count.cache_hits > 19 * 100 * (1 - 1 / room) ** 100
        assert port.count.passes + port.count.cache_hits == 2000
    assert len(system.rows) == port.count.passes


def test_one_drive_twice_in_a_call_takes_one_place() -> None:
    with Port(Counting(), cache_megabytes=1.0) as port:
        port.measure(rows(2)[[0, 1, 0]], numbers(3))
        assert port.cache is not None
        assert len(port.cache) == 2


def test_a_cache_too_small_for_a_row_keeps_nothing() -> None:
    with Port(Counting(), cache_megabytes=1e-6) as port:
        port.measure(rows(4), numbers(4))
        port.measure(rows(4), numbers(4, step=1))
    assert port.count.cache_hits == 0


def test_different_drives_have_different_keys_whatever_their_type() -> None:
    kept = ResponseCache(
        ResponseSpec(shape=(8,)), dtype=torch.float32, device=torch.device("cpu"), megabytes=1.0, seed=0
    )
    drives = np.random.default_rng(0).random((64, 8))
    assert len(set(kept.keys(drives))) == 64
    assert kept.keys(torch.from_numpy(drives)) == kept.keys(drives)
    assert kept.keys(np.asfortranarray(drives)) == kept.keys(drives)
    # The smallest change there is makes another drive.
    assert kept.keys(np.nextafter(drives, 2.0))[0] != kept.keys(drives)[0]


@pytest.mark.parametrize(("megabytes", "repeatable"), [(1.0, False), (-1.0, True), (float("nan"), True)])
def test_a_cache_that_can_not_be_is_refused(megabytes: float, repeatable: bool) -> None:
    with pytest.raises(InputError, match="cache_megabytes must be"):
        Port(Counting(repeatable=repeatable), cache_megabytes=megabytes)


def experiment(**changes: str) -> Experiment:
    """Return two noiseless media that train on few digits, layer by layer."""
    values = {
        "data.train_limit": "200",
        "data.test_limit": "60",
        "training.epochs": "3",
        "training.schedule": '"greedy"',
        "systems.lower.responses": "30",
        "systems.upper.responses": "30",
        "layers.0.width": "30",
        "layers.1.width": "30",
        **changes,
    }
    return load_experiment(
        Path(__file__).with_name("two_media.toml"), overrides=[f"{key}={value}" for key, value in values.items()]
    )


def run(found: Experiment) -> tuple[RunResult, Trainer]:
    samples, rule = load_samples(found), build_rule(found)
    trainer = Trainer(
        build_network(found, samples.frame, rule), rule, samples.splits, classes=10, options=training_options(found)
    )
    with trainer.network:
        return trainer.run(), trainer


def test_layer_by_layer_the_layers_below_are_measured_once() -> None:
    plain, _ = run(experiment())
    cached, trainer = run(experiment(**{"training.cache_megabytes": "50"}))
    # The media compute each row by itself, to the bit, whatever comes with it.
    assert cached.weights_sha256 == plain.weights_sha256
    assert cached.test_accuracy == plain.test_accuracy
    count = trainer.network.count
    assert count.passes == cached.physical_passes
    assert count.passes + count.cache_hits == plain.physical_passes
    lower = trainer.network.layers[0].port.count
    samples = len(trainer.data.train.y) + len(trainer.data.validation.y) + len(trainer.data.test.y)
    # In no phase is any sample new to the lower medium again.
    assert lower.passes <= samples


def test_the_forecast_is_then_the_most() -> None:
    found = experiment(**{"training.cache_megabytes": "50"})
    samples, rule = load_samples(found), build_rule(found)
    network = build_network(found, samples.frame, rule)
    trainer = Trainer(network, rule, samples.splits, classes=10, options=training_options(found))
    forecast = count_passes(trainer, {port: port.spec.name for port in network.ports})
    plain, _ = run(experiment())
    assert forecast.total == plain.physical_passes
    assert "cache" in forecast.limited
    assert all(port.cache is not None for port in network.ports)


def test_a_noisy_system_has_no_cache() -> None:
    both = {"systems.lower.impairments.noise": "0.02", "training.cache_megabytes": "50"}
    _, trainer = run(experiment(**both))
    assert [port.cache is None for port in trainer.network.ports] == [True, False]
    with pytest.raises(ExperimentError, match=r"cache_megabytes must be 0: of the systems lower, upper none repeats"):
        run(experiment(**both, **{"systems.upper.impairments.noise": "0.02"}))
