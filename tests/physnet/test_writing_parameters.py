"""Parameters inside the physics: who writes them when, and that no perturbed setting outlives its step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec
from physnet.encoders import Split
from physnet.errors import DriveError, FaultError, InputError, MeasurementError, Stopped
from physnet.layer import DigitalMap, PhysicalLayer, Presented
from physnet.learning import learn_minibatch
from physnet.network import Network
from physnet.port import Port
from physnet.rules.base import Batch, Learned, LearnSteps, Placement, Present, Write, Written
from physnet.rules.gradient import SinglePass
from physnet.trainer import Trainer
from physnet.training_options import Schedule, TrainingOptions
from tests.physnet.rules.rehearsal import CLASSES, INPUTS, blobs, make_batch


class Gains:
    """Answers a drive times its gains, and keeps what was written and with what each row was measured."""

    def __init__(self, name: str = "gains") -> None:
        self.parameters = {"gain": DriveSpec(shape=(2 * INPUTS,), low=-2.0, high=2.0)}
        self.values: dict[str, NDArray[Any]] = {"gain": np.full(2 * INPUTS, 0.5)}
        self.spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=DriveSpec(shape=(2 * INPUTS,)),
            response=ResponseSpec(shape=(2 * INPUTS,)),
        )
        self.writes: list[float] = []
        self.measured: list[float] = []
        self.fails_at = -1

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        self.values |= values
        self.writes.append(float(self.values["gain"][0]))
        return len(self.writes)

    def measure(self, drive: Any, passes: Passes) -> Reading:
        self.measured.append(float(self.values["gain"][0]))
        if len(self.measured) - 1 == self.fails_at:
            raise MeasurementError("the detector is gone")
        return Reading(response=drive * self.values["gain"])

    def __enter__(self) -> Gains:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def make_layer(system: Gains | None = None, *, port: Port | None = None, number: int = 0) -> PhysicalLayer:
    return PhysicalLayer(
        port=port or Port(system or Gains(), dtype=torch.float64, retries=0),
        inputs=INPUTS,
        width=INPUTS,
        encoder=Split(),
        seed=number,
        name=f"layer{number}",
    )


@dataclass(frozen=True)
class Kicks(SinglePass):
    """Tries other gains, and settles on one of its own: says at which point of a step it fails."""

    tries: tuple[float, ...] = (0.6, 0.4)
    settle: float = 0.7
    seen: list[bool] = field(default_factory=list)
    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.INSIDE})
    nonlinearity: ClassVar[Any] = "none"
    readout: ClassVar[Any] = "last"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> KicksLearner:
        return KicksLearner(self, layer)


class KicksLearner:
    def __init__(self, rule: Kicks, layer: PhysicalLayer) -> None:
        self._rule, self._layer = rule, layer
        layer.tune()

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        first = yield Present(inputs_NI=inputs_NI)
        assert isinstance(first, Presented)
        for gain in self._rule.tries:
            answer = yield Write(values={"gain": torch.full((2 * INPUTS,), gain, dtype=torch.float64)})
            assert isinstance(answer, Written)
            self._rule.seen.append(answer.changed)
            yield Present(inputs_NI=inputs_NI)
            yield Present(inputs_NI=inputs_NI[:1])  # the setting stands until the next request
        self._layer.parameters["gain"].fill_(self._rule.settle)
        return Learned(features_NF=first.features_NF, metrics={"loss": 0.0, "batch_accuracy": 0.0})

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        return outputs_NO[:, :CLASSES]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Nothing of its own."""


def step(system: Gains, rule: Kicks) -> PhysicalLayer:
    layer = make_layer(system)
    network = Network([layer], features=INPUTS)
    learner = rule.learner(layer, classes=CLASSES, seed=0)
    with network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    return layer


def test_a_perturbed_setting_stands_until_the_next_request_and_ends_with_the_step() -> None:
    system, rule = Gains(), Kicks()
    layer = step(system, rule)
    assert system.measured == [0.5, 0.6, 0.6, 0.4, 0.4]
    # its own before the first row, two tries, and what it settled on
    assert system.writes == [0.5, 0.6, 0.4, 0.7] and rule.seen == [True, True]
    assert layer.port.count.parameter_writes == 4
    assert float(layer.tensors()["parameter_gain"][0]) == 0.7


def test_a_setting_that_is_written_already_costs_nothing() -> None:
    system, rule = Gains(), Kicks(tries=(0.5, 0.7), settle=0.7)
    step(system, rule)
    assert system.writes == [0.5, 0.7] and rule.seen == [False, True]


@pytest.mark.parametrize("fails_at", [0, 1, 3])
def test_no_perturbed_setting_outlives_a_step_that_breaks(fails_at: int) -> None:
    system = Gains()
    system.fails_at = fails_at
    with pytest.raises(MeasurementError, match="the detector is gone"):
        step(system, Kicks())
    assert float(system.values["gain"][0]) == 0.5


def test_no_perturbed_setting_outlives_a_stop() -> None:
    system = Gains()
    layer = make_layer(system)
    rule = Kicks()
    learner = rule.learner(layer, classes=CLASSES, seed=0)

    def stop() -> None:
        if len(system.measured) == 2:
            raise Stopped(2)

    layer.port.interrupted = stop
    with Network([layer], features=INPUTS) as network, pytest.raises(Stopped):
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    assert system.measured == [0.5, 0.6] and system.writes == [0.5, 0.6, 0.5]


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_no_perturbed_setting_outlives_a_run_that_breaks_in_any_schedule(schedule: Schedule) -> None:
    systems = [Gains(), Gains()]
    network = Network([make_layer(one, number=number) for number, one in enumerate(systems)], features=INPUTS)
    options = TrainingOptions(schedule=schedule, epochs=2, batch_size=40)
    trainer = Trainer(network, Kicks(), blobs(), classes=CLASSES, options=options)
    with network:
        trainer.prepare()
        systems[0].fails_at = len(systems[0].measured) + 1  # the first row that a perturbed setting answers
        with pytest.raises(FaultError):
            trainer.run()
    assert systems[0].measured[-1] != 0.5
    assert [float(one.values["gain"][0]) for one in systems] == [0.5, 0.5]


def test_a_setting_out_of_its_bounds_is_refused_and_the_layers_own_is_there_afterwards() -> None:
    system = Gains()
    with pytest.raises(DriveError, match=r"gain of gains must be -2 to 2 1, got 3 in channel 0"):
        step(system, Kicks(tries=(0.6, 3.0)))
    assert float(system.values["gain"][0]) == 0.5 and system.writes == [0.5, 0.6, 0.5]


def test_a_layer_writes_only_what_it_tunes() -> None:
    layer = make_layer()
    with pytest.raises(InputError, match="written to layer0 must be among those it tunes, none, got gain"):
        layer.write_parameters({"gain": torch.zeros(2 * INPUTS)})
    assert not layer.write_parameters() and "parameter_gain" not in layer.tensors()
    layer.present(torch.ones(2, INPUTS, dtype=torch.float64), np.arange(2))
    assert layer.port.count.parameter_writes == 0


def test_whatever_is_presented_is_measured_with_the_layers_own_parameters() -> None:
    system = Gains()
    layer = make_layer(system)
    rows = torch.ones(2, INPUTS, dtype=torch.float64)
    assert float(layer.tune()["gain"][0]) == 0.5
    layer.tune()["gain"].fill_(9.0)
    assert float(layer.port.values["gain"][0]) == 0.5  # a copy: where training began stays known
    layer.tune()["gain"].fill_(0.5)
    with layer.port:
        layer.present(rows, np.arange(2))
        layer.load({**layer.tensors(), "parameter_gain": torch.full((2 * INPUTS,), 1.5, dtype=torch.float64)})
        layer.present(rows, np.arange(2))
        layer.present(rows, np.arange(2))
    with layer.port:  # a system that was left may have forgotten
        layer.present(rows, np.arange(2))
    assert system.measured == [0.5, 1.5, 1.5, 1.5] and system.writes == [0.5, 1.5, 1.5]


def test_a_system_that_serves_two_layers_is_not_trained_inside() -> None:
    port = Port(Gains(), dtype=torch.float64)
    network = Network([make_layer(port=port, number=number) for number in range(2)], features=INPUTS)
    with pytest.raises(InputError, match=r"must serve one layer, got layer0, layer1"):
        Trainer(network, Kicks(), blobs(), classes=CLASSES)


def test_a_rule_that_finds_nothing_to_train_is_refused() -> None:
    layer = make_layer()
    layer.before = DigitalMap.make("random", INPUTS, INPUTS, seed=0)
    layer.port.parameters = {}
    with pytest.raises(InputError, match="and no layer has any"):
        Trainer(Network([layer], features=INPUTS), Kicks(), blobs(), classes=CLASSES)


def test_the_parameters_are_written_before_the_first_row_of_a_run_and_for_every_evaluation() -> None:
    system = Gains()
    with Network([make_layer(system)], features=INPUTS) as network:
        trainer = Trainer(network, Kicks(tries=(0.6,), settle=0.9), blobs(), classes=CLASSES)
        trainer.prepare()
        assert system.writes == [0.5] and set(system.measured) == {0.5}
        record = trainer.step()
        # the tried setting, and the one that it settled on
        assert record.count.parameter_writes == 2 and system.writes == [0.5, 0.6, 0.9]
        system.measured.clear()
        trainer.evaluate("test")
        assert set(system.measured) == {0.9} and system.writes == [0.5, 0.6, 0.9]
