"""Dark and reference rows: among the others, charged, told, and no part of what is learnt.

Axis letters: D drive channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch

from physnet import data
from physnet.cli import main
from physnet.contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec
from physnet.controls.ports import ControlPort
from physnet.encoders import Absolute
from physnet.errors import InputError, MeasurementError, SpecError
from physnet.exchange import Exchange
from physnet.forecast import count_passes
from physnet.layer import PhysicalLayer
from physnet.network import Network
from physnet.passes import Purpose, as_placed, fields_of, pass_numbers, presented_for, purpose_of
from physnet.port import Port
from physnet.raw import open_raw
from physnet.raw.sampling import sampled
from physnet.records import StepRecord
from physnet.rules.mono_forward import MonoForward
from physnet.session import open_run
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions

WIDTH = 8
OPTIONS = TrainingOptions(epochs=2, batch_size=32)
_SPLITS = data.split(data.load("digits"), seed=0, train_limit=120, test_limit=40)


class Medium:
    """A random matrix with a modulus, noise keyed by the pass, and an offset and a gain that the test sets."""

    def __init__(self, channels: int = 64, *, repeatable: bool = False, **drive: Any) -> None:
        self._matrix = np.random.default_rng(3).normal(size=(channels, 12)) / 8
        self.offset, self.gain = 0.0, 1.0
        self.broken: Purpose | None = None
        self._noise = 0.0 if repeatable else 0.01
        self.spec = SystemSpec(
            name="medium",
            kind="simulated",
            drive=DriveSpec(shape=(channels,), **drive),
            response=ResponseSpec(shape=(12,), unit="V"),
            reproducible=True,
            repeatable=repeatable,
        )

    def measure(self, drive: Any, passes: Passes) -> Reading:
        rows = [np.abs(self.gain * row_D @ self._matrix) + self.offset for row_D in drive]
        noise = [np.random.default_rng(int(number)).normal(scale=self._noise, size=12) for number in passes]
        broken = purpose_of(passes) == (-1 if self.broken is None else self.broken)
        return Reading(response=np.stack(rows) + np.stack(noise), valid=~broken)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Events:
    """A callback's part that keeps lines and steps."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[StepRecord] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: ""

    def on_event(self, trainer: Trainer, level: str, message: str) -> None:
        self.lines.append(message)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.steps.append(record)


def trainer_of(
    options: TrainingOptions = OPTIONS, *, layers: int = 2, callbacks: Sequence[Any] = (), **placed: Any
) -> Trainer:
    made, inputs = [], 64
    for number in range(layers):
        port = Port(Medium(inputs), seed=number, **placed)
        made.append(
            PhysicalLayer(port=port, inputs=inputs, width=WIDTH, encoder=Absolute(), seed=number, name=f"l{number}")
        )
        inputs = WIDTH
    network = Network(made, features=64)
    return Trainer(network, MonoForward(), _SPLITS, classes=10, options=options, seed=5, callbacks=callbacks)


def run(trainer: Trainer) -> Any:
    with trainer.network:
        return trainer.run()


def shown(port: Port, rows: int = 20, **place: int) -> Exchange:
    """Present rows of training, and return what the system saw of it."""
    seen: list[Exchange] = []
    port.on_exchange = seen.append
    drive = np.random.default_rng(0).random((rows, 64))
    reading = port.measure(drive, pass_numbers(Purpose.TRAIN, rows=rows, **place))
    assert len(reading) == rows and len(reading.flags if reading.flags is not None else ()) == rows
    (exchange,) = seen
    return exchange


def test_placed_rows_stand_at_random_places_among_the_others() -> None:
    port = Port(Medium(), seed=2, dark_rows=2, reference_rows=3)
    places, drives = list[int](), list[Any]()
    for step in range(40):
        exchange = shown(port, step=step)
        purpose = purpose_of(exchange.passes)
        assert [np.count_nonzero(purpose == one) for one in (Purpose.DARK, Purpose.REFERENCE)] == [2, 3]
        assert not np.asarray(exchange.drive)[purpose == Purpose.DARK].any()
        order = np.argsort(exchange.passes)
        references = np.asarray(exchange.drive)[order][np.sort(purpose) == Purpose.REFERENCE]
        drives.append(references)
        np.testing.assert_array_equal(references, drives[0])  # the same each time
        assert len(np.unique(references, axis=0)) == 3
        places += np.flatnonzero(purpose > Purpose.TEST).tolist()
    # 200 rows on 25 places: 8 each on average, with a deviation of 2.8. None is empty by chance with 1 - 25 exp(-8).
    counts = np.bincount(places, minlength=25)
    assert counts.min() > 0 and counts.max() < 8 + 5 * 2.8
    assert (port.count.passes, port.count.asked, port.count.dark, port.count.reference) == (1000, 800, 80, 120)


def test_nobody_learns_from_them_and_all_are_charged() -> None:
    plain, watched = trainer_of(), trainer_of(dark_rows=2, reference_rows=1)
    expected, found = run(plain), run(watched)
    assert found.weights_sha256 == expected.weights_sha256  # noise is keyed by the pass: nothing else may differ
    assert found.test_accuracy == expected.test_accuracy
    for purpose in ("standardise", "train", "validate", "test"):
        assert found.passes[purpose] == expected.passes[purpose]
    # Per layer: the standardisation, the steps, two validations and the test are one presentation each.
    presentations = 2 * (1 + found.steps + 2 + 1)
    assert (found.passes["dark"], found.passes["reference"]) == (2 * presentations, presentations)
    assert found.physical_passes == expected.physical_passes + 3 * presentations == watched.network.count.passes


@pytest.mark.parametrize("schedule", ["simultaneous", "pipelined", "greedy"])
def test_the_forecast_and_the_budget_know_of_them(schedule: Any) -> None:
    options = dataclasses.replace(OPTIONS, schedule=schedule)
    trainer = trainer_of(options, dark_rows=2, reference_rows=1)
    forecast = count_passes(trainer, {port: f"{n}" for n, port in enumerate(trainer.network.ports)})
    result = run(trainer)
    assert dict(forecast.purposes) == {name: count for name, count in result.passes.items() if count}
    assert forecast.total == result.physical_passes
    for budget in (600, 700, 701, 800):
        limited = run(trainer_of(dataclasses.replace(options, budget_passes=budget), dark_rows=2, reference_rows=1))
        in_budget = limited.physical_passes - limited.passes["test"]
        # The test that ends every run is no part of the budget: its presentations are one for each layer that learnt.
        in_budget -= 3 * sum(np.isfinite(limited.layer_accuracy))
        assert in_budget <= budget


def test_a_pipeline_ends_at_the_step_of_the_plain_schedule_when_a_budget_is_used_up() -> None:
    for budget in (620, 760, 800):
        options = dataclasses.replace(OPTIONS, budget_passes=budget)
        plain = run(trainer_of(options, layers=3, dark_rows=2))
        piped = run(trainer_of(dataclasses.replace(options, schedule="pipelined"), layers=3, dark_rows=2))
        assert (piped.steps, piped.passes) == (plain.steps, plain.passes)


def test_what_drifts_is_told_after_each_epoch_and_after_a_resumed_run_too() -> None:
    events = Events()
    trainer = trainer_of(layers=1, callbacks=[events], dark_rows=3, reference_rows=2)
    medium: Any = trainer.network.ports[0].system
    with trainer.network:
        while trainer.epochs_done < 1:
            trainer.step()
        medium.offset, medium.gain = 0.5, 1.1
        snapshot = trainer.snapshot()
        while trainer.epochs_done < 2:
            trainer.step()
    first, second = [line for line in events.lines if "dark rows" in line]
    # Standardisation, the steps of the epoch and its validation: so many presentations of 3 and of 2 rows.
    shows = 1 + trainer.steps_per_epoch + 1
    assert (
        first.startswith(f"medium: {3 * shows} dark rows, ") and f"{2 * shows} reference rows, changed by 0 %" in first
    )
    assert "changed by 0 V" in first
    # The offset is 0.5 V to 2 %: noise of 0.01 V over some 18 rows and 12 channels is far less.
    changed = float(second.split("changed by ")[1].split(" V")[0])
    assert changed == pytest.approx(0.5, rel=0.02)
    resumed = trainer_of(layers=1, callbacks=[after := Events()], dark_rows=3, reference_rows=2)
    system: Any = resumed.network.ports[0].system
    system.offset, system.gain = 0.5, 1.1
    resumed.restore(snapshot)
    with resumed.network:
        while resumed.epochs_done < 2:
            resumed.step()
    assert [line for line in after.lines if "dark rows" in line] == [second]


@pytest.mark.parametrize("references", [1, 4])
def test_a_run_that_goes_on_with_other_references_begins_anew_with_them(references: int) -> None:
    trainer = trainer_of(layers=1, dark_rows=3, reference_rows=2, callbacks=[Events()])
    with trainer.network:
        while trainer.epochs_done < 1:
            trainer.step()
        snapshot = trainer.snapshot()
    resumed = trainer_of(layers=1, callbacks=[after := Events()], dark_rows=3, reference_rows=references)
    resumed.restore(snapshot)
    with resumed.network:
        while resumed.epochs_done < 2:
            resumed.step()
    (line,) = [line for line in after.lines if "dark rows" in line]
    assert "reference rows, changed by 0 %" in line and "changed by 0 V" not in line


def test_a_gain_shows_in_the_references_alone() -> None:
    port = Port(Medium(repeatable=True), dark_rows=1, reference_rows=4)
    shown(port)
    assert "changed by 0 %" in port.placed.tell()
    port.system.gain = 1.05  # type: ignore[attr-defined]
    shown(port, step=1)
    assert port.placed.tell() == "medium: 1 dark rows, 0 V on average, changed by 0 V; 4 reference rows, changed by 5 %"
    assert port.placed.tell() == ""


def test_a_presentation_of_few_rows_gets_as_many_dark_ones() -> None:
    exchange = shown(Port(Medium(), dark_rows=5, reference_rows=5), rows=2)
    assert np.bincount(purpose_of(exchange.passes), minlength=10)[8:].tolist() == [2, 2]
    assert len(np.unique(exchange.passes)) == 6


def test_numbers_are_no_others_and_tell_what_the_rows_stand_among() -> None:
    own = [
        pass_numbers(purpose, epoch=3, step=7, layer=layer, first_row=first, rows=4)
        for purpose in (Purpose.STANDARDISE, Purpose.TRAIN, Purpose.VALIDATE, Purpose.TEST)
        for layer in (0, 15)
        for first in (0, 4)
    ]
    placed = [as_placed(passes, purpose) for passes in own for purpose in (Purpose.DARK, Purpose.REFERENCE)]
    every = np.concatenate([*own, *placed])
    assert len(np.unique(every)) == len(every) and every.min() >= 0
    for passes, moved in zip(own, placed[::2], strict=True):
        np.testing.assert_array_equal(presented_for(moved), purpose_of(passes))
        np.testing.assert_array_equal(fields_of(moved)["step"], 7)


def test_none_are_placed_among_calibrations_sentinels_predictions_and_controls() -> None:
    port = Port(Medium(), dark_rows=2, reference_rows=2)
    for purpose in (Purpose.CALIBRATE, Purpose.SENTINEL, Purpose.PREDICT):
        port.measure(np.zeros((5, 64)), pass_numbers(purpose, rows=5))
    assert port.count.passes == port.count.asked == 15
    control = ControlPort(port, Medium())
    control.measure(np.zeros((5, 64)), pass_numbers(Purpose.TRAIN, rows=5))
    assert control.count.passes == 5


def test_a_placed_row_that_never_comes_is_a_fault_with_all_that_was_asked_for() -> None:
    medium = Medium()
    port = Port(medium, dark_rows=1, retries=1)
    medium.broken = Purpose.DARK
    with pytest.raises(MeasurementError, match="1 of 6 rows") as caught:
        port.measure(np.ones((5, 64)), pass_numbers(Purpose.TRAIN, rows=5))
    reading = caught.value.reading
    assert reading is not None and len(reading) == 5 and reading.valid is not None and reading.valid.all()


def test_where_a_cache_answers_for_all_rows_none_are_placed() -> None:
    port = Port(Medium(repeatable=True), dark_rows=2, reference_rows=1, cache_megabytes=1.0)
    drive = np.random.default_rng(0).random((6, 64))
    for step in range(2):
        port.measure(drive, pass_numbers(Purpose.TRAIN, step=step, rows=6))
    assert (port.count.cache_hits, port.count.passes, port.count.dark) == (6, 9, 2)
    port.measure(np.vstack([drive, drive / 2]), pass_numbers(Purpose.TRAIN, step=2, rows=12))
    assert (port.count.cache_hits, port.count.asked, port.count.dark) == (12, 12, 4)


def test_raw_data_keep_every_placed_row() -> None:
    numbers = pass_numbers(Purpose.TRAIN, rows=1000)
    assert sampled(as_placed(numbers, Purpose.REFERENCE), share=0.01, seed=1).all()
    assert not sampled(numbers, share=0.01, seed=1).all()


def test_an_experiment_asks_for_them_and_its_session_marks_them(tmp_path: Path) -> None:
    (tmp_path / "watched.toml").write_text(
        """\
data = { name = "digits", train_limit = 100, test_limit = 40 }
rule.name = "mono_forward"
training = { epochs = 2, batch_size = 40 }
session = { dark_rows = 2, reference_rows = 1, raw = 0.1 }
layers = [{ system = "lower", width = 10 }]
systems.lower = { type = "scattering", responses = 20, impairments = { noise = 0.02 } }
""",
        encoding="utf-8",
    )
    assert main(["train", str(tmp_path / "watched.toml"), "--output", str(tmp_path / "runs")]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    session = open_run(folder)
    assert session.result is not None
    passes, steps = session.result.passes, len(session.steps["step"])
    presentations = 1 + steps + 2 + 1
    assert (passes["dark"], passes["reference"]) == (2 * presentations, presentations)
    assert session.result.physical_passes == sum(passes.values())
    told = [event.message for event in session.events if "reference rows" in event.message]
    assert len(told) == 2 and told[0].startswith("lower: ")
    rows = open_raw(folder).system().arrays()
    kept = np.bincount(rows.meta["purpose"], minlength=10)
    assert kept[Purpose.DARK] == 2 * presentations and kept[Purpose.REFERENCE] == presentations
    assert 0 < kept[Purpose.TRAIN] < passes["train"]


@pytest.mark.parametrize(
    ("drive", "wrong"),
    [({"low": 0.5, "high": 1.0}, "must be 0.5 to 1"), ({"domain": "phase", "high": 6.0}, "no phase is dark")],
)
def test_a_drive_that_cant_be_switched_off_has_no_dark_rows(drive: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InputError, match=rf"dark_rows must be 0 for medium.*{wrong}"):
        Port(Medium(**drive), dark_rows=1)
    Port(Medium(**drive), reference_rows=1)


@pytest.mark.parametrize("name", ["dark_rows", "reference_rows"])
@pytest.mark.parametrize("rows", [-1, 65])
def test_a_number_of_rows_out_of_its_range_is_refused(name: str, rows: int) -> None:
    options: dict[str, Any] = {name: rows}
    with pytest.raises(InputError, match=f"{name} must be 0 to 64, got {rows}"):
        Port(Medium(), **options)


def test_a_network_deeper_than_numbers_can_tell_is_refused() -> None:
    with pytest.raises(SpecError, match="at most 16 layers, got 17"):
        trainer_of(layers=17, dark_rows=1)


def test_systems_in_torch_get_theirs_in_torch() -> None:
    class Wave(Medium):
        def __init__(self) -> None:
            super().__init__()
            self.spec = dataclasses.replace(self.spec, array="torch")

        def measure(self, drive: Any, passes: Passes) -> Reading:
            assert isinstance(drive, torch.Tensor)
            return super().measure(drive.numpy(), passes)

    exchange = shown(Port(Wave(), dark_rows=1, reference_rows=1))
    assert isinstance(exchange.drive, torch.Tensor) and len(exchange.drive) == 22
