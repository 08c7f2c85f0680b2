"""Simultaneous perturbation: what it presents and writes, that it trains phases and bits, and that runs can be resumed.
Its estimates are compared with gradients in `test_directional`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.contracts import Passes, Reading
from physnet.data import Splits, Subset
from physnet.encoders import Levels
from physnet.layer import PhysicalLayer
from physnet.learning import learn_minibatch
from physnet.network import Network
from physnet.passes import Purpose, purpose_of
from physnet.port import Port
from physnet.rules.spsa import SimultaneousPerturbation
from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.simulators.programmable_cavity import ProgrammableCavity
from physnet.standing import Kept
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions
from tests.physnet.rules.rehearsal import CLASSES, SAMPLES, blobs, make_batch
from tests.physnet.rules.trained import assert_a_resumed_run_is_the_same_to_the_bit, make_trainer, trained
from tests.physnet.rules.tunable import MixingMedium, Switched, make_layer


def make_mesh(seed: int = 0) -> MachZehnderMesh:
    """Six waveguides of which two are read: the phases decide what of the inputs is seen at all."""
    return MachZehnderMesh(drives=6, responses=2, signed=True, seed=seed)


def test_weights_before_the_physics_need_one_presentation_and_no_write() -> None:
    rule = SimultaneousPerturbation(where="before", directions=3)
    layer = make_layer(Switched(), before=True)
    learner = rule.learner(layer, classes=CLASSES, seed=0)
    exchanges: list[Any] = []
    layer.port.on_exchange = exchanges.append
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    assert [len(one.passes) for one in exchanges] == [7 * SAMPLES]
    assert layer.port.count.parameter_writes == 0 and not layer.parameters


@pytest.mark.parametrize("where", ["inside", "both"])
def test_a_step_inside_writes_twice_a_direction_and_once_more(where: Any) -> None:
    rule = SimultaneousPerturbation(where=where, directions=3)
    trainer = make_trainer(rule, make_mesh(), blobs(), epochs=1, batch_size=40)
    with trainer.network as network:
        trainer.prepare()
        assert network.count.parameter_writes == 1  # before the first row of the standardisation
        for _ in range(2):
            record = trainer.step()
            assert (record.count.parameter_writes, record.count.passes) == (7, 7 * 40)
        trainer.evaluate("test")
        assert network.count.parameter_writes == 15


def test_one_direction_of_both_changes_both() -> None:
    rule = SimultaneousPerturbation(where="both", directions=1)
    layer = make_layer(make_mesh(), before=True)
    learner = rule.learner(layer, classes=CLASSES, seed=0)
    before = {name: tensor.clone() for name, tensor in layer.tensors().items()}
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    changed = {name for name, tensor in layer.tensors().items() if not torch.equal(tensor, before[name])}
    assert changed == {"weight", "bias", "before_weight", "before_bias", "parameter_theta", "parameter_phi"}


def test_the_phases_of_a_mesh_learn_what_random_phases_do_not_show() -> None:
    options: dict[str, Any] = {"where": "inside", "directions": 4, "after_learning_rate": 1e-2}
    rule = SimultaneousPerturbation(inside_learning_rate=1e-2, **options)
    frozen = SimultaneousPerturbation(inside_learning_rate=1e-12, **options)
    learnt, control = (trained(one, make_mesh(2), seed=2, epochs=12).test_accuracy for one in (rule, frozen))
    # Of 240 test samples: a standard error of the difference of at most 4.6 points; two of them.
    assert learnt > control + 0.09, (learnt, control)


def make_cavity(seed: int) -> ProgrammableCavity:
    """Eight driven and eight trainable one-bit elements, one response."""
    return ProgrammableCavity(
        drives=8, responses=1, trainable=8, frequencies=(2.45e9,), response="modulus", transmitters=1, scatterers=6,
        size=(0.6, 0.5), resonances=(12.25e9, 3.0e9), seed=seed,
    )  # fmt: skip


def taught(seed: int) -> Splits:
    """All patterns but two, in two classes: does the same cavity, with bits not told, answer above its median?"""
    random = np.random.default_rng(seed)
    patterns = ((np.arange(1, 255)[:, None] >> np.arange(8)) & 1).astype(float)
    random.shuffle(patterns)
    teacher = make_cavity(seed)
    teacher.configure({"elements": random.integers(0, 2, 8).astype(float)})
    response = np.asarray(teacher.measure(patterns, np.arange(254)).response)[:, 0]
    labels = (response > np.median(response)).astype(np.int64)
    parts = {"train": slice(0, 160), "validation": slice(0, 0), "test": slice(0, 254)}
    rows = np.arange(254)
    return Splits(
        **{
            name: Subset(x=patterns[one].astype(np.float32), y=labels[one], index=rows[one])
            for name, one in parts.items()
        }
    )


def test_the_bits_of_a_metasurface_learn_what_it_does_not_show_when_they_are_off() -> None:
    found = []
    for rate in (100.0, 1e-12):
        rule = SimultaneousPerturbation(
            where="inside", directions=4, logit_learning_rate=rate, after_learning_rate=2e-2
        )
        layer = PhysicalLayer(
            port=Port(make_cavity(2), dtype=torch.float64),
            inputs=8,
            width=8,
            encoder=Levels(bits=1),
            seed=2,
            nonlinearity="relu",
        )
        network = Network([layer], features=8)
        options = TrainingOptions(epochs=60, batch_size=80)
        with network:
            trainer = Trainer(network, rule, taught(2), classes=2, options=options, seed=2)
            found.append(trainer.run().test_accuracy)
        assert set(layer.parameters["elements"].tolist()) <= {0.0, 1.0}
    # Of 254 patterns, those it was taught among them: a standard error of the difference of 3.4 points at 87 and 75 %.
    assert found[0] > found[1] + 0.07, found


def test_the_test_at_the_end_runs_with_the_parameters_of_the_best_weights() -> None:
    class Watched(MachZehnderMesh):
        tested: tuple[np.ndarray[Any, Any], ...] = ()

        def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
            if int(purpose_of(passes)[0]) == Purpose.TEST:
                self.tested += (self.values["theta"],)
            return super().measure(drive, passes)

    mesh = Watched(drives=6, responses=2, signed=True)
    rule = SimultaneousPerturbation(where="inside", inside_learning_rate=0.1)
    trainer = make_trainer(rule, mesh, blobs(), epochs=3, batch_size=40)
    with trainer.network:
        while trainer.epochs_done < 1:
            trainer.step()
        # Nothing will beat it: the weights of the first epoch are those that are kept.
        trainer.standing.best = Kept(accuracy=1.0, epoch=0, tensors=trainer.tensors())
        kept = trainer.tensors()["layer0/parameter_theta"]
        result = trainer.run()
    assert result.kept_epoch == 0 and mesh.tested
    assert all(np.array_equal(one, kept) for one in mesh.tested)


@pytest.mark.parametrize("where", ["before", "inside", "both"])
def test_a_resumed_run_on_a_mesh_is_the_same_to_the_bit(where: Any) -> None:
    rule = SimultaneousPerturbation(where=where, directions=1, inside_learning_rate=0.1)
    assert_a_resumed_run_is_the_same_to_the_bit(rule, make_mesh)


def test_a_resumed_run_with_bits_is_the_same_to_the_bit() -> None:
    rule = SimultaneousPerturbation(where="inside", directions=2, logit_learning_rate=300.0)
    assert_a_resumed_run_is_the_same_to_the_bit(rule, lambda: Switched(drives=6))


@pytest.mark.parametrize("schedule", ["pipelined", "greedy"])
def test_two_meshes_learn_in_every_schedule(schedule: Any) -> None:
    rule = SimultaneousPerturbation(where="inside", directions=1, inside_learning_rate=0.1)
    found = []
    for kind in ("simultaneous", schedule):
        layers = [make_layer(make_mesh(number), before=False) for number in range(2)]
        layers[0].width, layers[1].name = 6, "layer1"
        layers[0].weight_FO, layers[0].bias_O = layers[0].weight_FO[:, :6].clone(), layers[0].bias_O[:6].clone()
        options = TrainingOptions(epochs=2, batch_size=40, schedule=kind)
        starts = [layer.port.values["theta"] for layer in layers]
        with Network(layers, features=6) as network:
            trainer = Trainer(network, rule, blobs(), classes=CLASSES, options=options)
            result = trainer.run()
        for layer, start in zip(layers, starts, strict=True):
            assert not np.array_equal(layer.parameters["theta"].numpy(), start)
            assert np.array_equal(layer.parameters["theta"].numpy(), layer.port.written["theta"])
        found.append((result.weights_sha256, network.count.parameter_writes))
    assert schedule == "greedy" or found[0] == found[1]


def test_it_can_be_told_that_nothing_is_inside() -> None:
    layer = make_layer(MixingMedium(), before=True)
    learner = SimultaneousPerturbation(where="both").learner(layer, classes=CLASSES, seed=0)
    assert not layer.parameters and not any(name.startswith("logits") for name in learner.tensors())
