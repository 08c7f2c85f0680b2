"""FFzero: its loss, what it presents and writes, and that it trains. Its estimates are compared with gradients in
`test_directional`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from physnet.errors import InputError
from physnet.learning import learn_minibatch
from physnet.network import Network
from physnet.rules.ffzero import FFZero
from physnet.simulators.mach_zehnder import MachZehnderMesh
from tests.physnet.rules.rehearsal import CLASSES, SAMPLES, make_batch
from tests.physnet.rules.trained import assert_a_resumed_run_is_the_same_to_the_bit, trained
from tests.physnet.rules.tunable import MixingMedium, make_layer


def make_mesh(seed: int = 0) -> MachZehnderMesh:
    return MachZehnderMesh(drives=6, responses=4, signed=True, seed=seed)


@pytest.mark.parametrize("loss", ["hinge", "cross_entropy"])
def test_its_loss_is_that_of_fixed_prototypes_as_the_layer_was(loss: str) -> None:
    rule = FFZero(loss=loss, after="fixed")  # type: ignore[arg-type]
    layer, batch = make_layer(MixingMedium(), before=True, nonlinearity="none"), make_batch()
    learner = rule.learner(layer, classes=CLASSES, seed=0)
    prototypes = learner.tensors()["prototypes"].clone()
    with Network([layer], features=layer.inputs) as network:
        features = layer.present(batch.features_NI, torch.arange(SAMPLES).numpy()).features_NF
        metrics = learn_minibatch(network, rule, [learner], batch, place=0)
    cosines = functional.normalize(layer.outputs(features), dim=1) @ prototypes.T
    true = cosines.gather(1, batch.labels_N[:, None])
    hinge = (0.3 + cosines - true).clamp_min(0).sum(1).mean() - 0.3  # the true class's own term is the margin
    expected = hinge if loss == "hinge" else functional.cross_entropy(cosines / 0.1, batch.labels_N)
    assert metrics["loss"][0] == pytest.approx(float(expected), rel=1e-12)
    assert torch.equal(learner.tensors()["prototypes"], prototypes)


def test_with_everything_fixed_behind_it_trains_the_map_before_alone() -> None:
    layer = make_layer(MixingMedium(), before=True, nonlinearity="none")
    rule = FFZero(after="fixed", directions=2)
    learner = rule.learner(layer, classes=CLASSES, seed=0)
    before = {name: tensor.clone() for name, tensor in layer.tensors().items()}
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    changed = {name for name, tensor in layer.tensors().items() if not torch.equal(tensor, before[name])}
    assert changed == {"before_weight", "before_bias"}
    assert layer.port.count.passes == 5 * SAMPLES and layer.port.count.parameter_writes == 0


def test_writes_are_two_a_direction_and_one_more() -> None:
    layer = make_layer(make_mesh(), before=False, nonlinearity="none")
    rule = FFZero(where="inside", directions=2)
    learner = rule.learner(layer, classes=CLASSES, seed=0)
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    assert layer.port.count.parameter_writes == 6  # the first of them before the first row


@pytest.mark.parametrize("after", ["exact", "fixed"])
def test_it_learns_what_the_frozen_layer_can_not(after: str) -> None:
    rates = (1.0, 1e-12)
    rules = [FFZero(after=after, learning_rate=rate, after_learning_rate=1e-2) for rate in rates]  # type: ignore[arg-type]
    learnt, control = (trained(one, MixingMedium(2), seed=0, epochs=20).test_accuracy for one in rules)
    # Of 240 test samples: a standard error of the difference of at most 4.6 points; two of them.
    assert learnt > control + 0.09, (learnt, control)


def test_a_resumed_run_is_the_same_to_the_bit() -> None:
    assert_a_resumed_run_is_the_same_to_the_bit(FFZero(where="both", inside_learning_rate=0.1), make_mesh)


def test_a_layer_narrower_than_its_classes_has_no_simplex() -> None:
    layer = make_layer(MixingMedium(), before=True, nonlinearity="none")
    with pytest.raises(InputError, match="a simplex needs 2 to 8 classes in layer0, got 9"):
        FFZero().learner(layer, classes=9, seed=0)
