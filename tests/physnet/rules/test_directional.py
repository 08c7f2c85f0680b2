"""Estimates along random directions: their mean is the gradient, and their error falls as one over the square root.

Every estimate here is of one direction a row or a minibatch. Errors of means of K estimates are root mean squares over
independent groups of K.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from physnet.errors import InputError
from physnet.layer import PhysicalLayer
from physnet.learning import learn_minibatch
from physnet.network import Network
from physnet.rules.base import LocalRule
from physnet.rules.ffzero import FFZero
from physnet.rules.node_perturbation import NodePerturbation
from physnet.rules.spsa import SimultaneousPerturbation
from physnet.simulators.mach_zehnder import MachZehnderMesh
from tests.physnet.rules.rehearsal import CLASSES, copies, first_gradient, make_batch
from tests.physnet.rules.tunable import MixingMedium, Switched, make_layer

SMALL = 1e-4  # the bias is of second order in it: 1e-8 of the gradient, as long as third derivatives are of order 10
SLOW = 1e-6  # so that a step of plain descent tells its gradient, and changes nothing else


def estimates(
    rule: LocalRule, layer: PhysicalLayer, read: Callable[[Any, Any, Any], torch.Tensor], *, count: int
) -> torch.Tensor:
    """Return independent estimates of one gradient, one a row: every step begins where the first began."""
    network = Network([layer], features=layer.inputs)
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    start, own = copies(layer.tensors()), copies(learner.tensors())
    found = []
    with network:
        for step in range(count):
            learn_minibatch(network, rule, [learner], make_batch(step=step), place=step)
            found.append(read(learner, layer, (start, own)).clone().flatten())
            layer.load(start)
            learner.load(own)
    return torch.stack(found)


def head_of(rule: LocalRule, layer: PhysicalLayer) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the mean loss of the first minibatch from features, as the rule defines it."""
    tensors = rule.learner(layer, classes=CLASSES, seed=1).tensors()
    labels = make_batch().labels_N

    def loss(features_NF: torch.Tensor) -> torch.Tensor:
        outputs = layer.outputs(features_NF)
        if isinstance(rule, FFZero):
            cosines = functional.normalize(outputs, dim=1) @ tensors["prototypes"].T
            return functional.cross_entropy(cosines / rule.temperature, labels)
        return functional.cross_entropy(outputs @ tensors["head"], labels)

    return loss


def gradient_before(rule: LocalRule, layer: PhysicalLayer) -> torch.Tensor:
    """The gradient by weight and bias of the map before the physics, with autograd through the medium."""
    assert layer.before is not None
    weight, bias = (one.clone().requires_grad_() for one in (layer.before.weight_IO, layer.before.bias_O))
    system: Any = layer.port.system
    inputs = make_batch().features_NI
    encoded = layer.encoder(torch.addmm(bias, inputs, weight), layer.port.spec.drive)
    loss = head_of(rule, layer)(system.forward(encoded.drive, np.arange(len(inputs))))
    return torch.cat([one.flatten() for one in torch.autograd.grad(loss, [weight, bias])])


def from_adam(learner: Any, layer: PhysicalLayer, before: Any) -> torch.Tensor:
    return torch.cat([first_gradient(learner, name).flatten() for name in ("before_weight", "before_bias")])


def from_step(learner: Any, layer: PhysicalLayer, before: Any) -> torch.Tensor:
    names = ("before_weight", "before_bias")
    return torch.cat([(before[0][name] - layer.tensors()[name]).flatten() for name in names]) / SLOW


BEFORE: dict[str, tuple[LocalRule, Any]] = {
    "node_perturbation": (NodePerturbation(directions=1, size=SMALL), from_adam),
    "spsa": (SimultaneousPerturbation(directions=1, size=SMALL, learning_rate=SLOW), from_step),
    "ffzero": (FFZero(directions=1, size=SMALL, learning_rate=SLOW, loss="cross_entropy"), from_step),
}


def assert_converges(found_MD: torch.Tensor, gradient_D: torch.Tensor, *, bias: float = 0.0) -> None:
    """The mean is the gradient, and the error of means of K estimates falls as K to the power -1/2.

    Args:
        found_MD: Independent estimates.
        gradient_D: The gradient.
        bias: Largest bias of an entry.
    """
    count = len(found_MD)
    # Five standard errors: with 50 entries, wrong by chance once in 3e4 sets of directions, and these are fixed.
    error_D = found_MD.std(0) / math.sqrt(count)
    assert bool(((found_MD.mean(0) - gradient_D).abs() <= 5 * error_D + bias).all())
    sizes = [size for size in (1, 2, 4, 8, 16, 32) if size * 12 <= count]
    errors = [
        float((found_MD.reshape(count // size, size, -1).mean(1) - gradient_D).square().sum(1).mean().sqrt())
        for size in sizes
    ]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    # With 12 groups the last error is known to some 10 %, which moves the slope by 0.05.
    assert abs(slope + 0.5) <= 0.2, slope
    # More directions are of use only if they come from the whole space: the mean must also point along the gradient.
    assert float(functional.cosine_similarity(found_MD.mean(0), gradient_D, dim=0)) > 0.5


@pytest.mark.parametrize("name", BEFORE)
def test_estimates_before_the_physics_converge_to_the_gradient(name: str) -> None:
    rule, read = BEFORE[name]
    layer = make_layer(MixingMedium(), before=True, nonlinearity=rule.nonlinearity)
    assert_converges(estimates(rule, layer, read, count=384), gradient_before(rule, layer))


@pytest.mark.parametrize("law", ["spsa", "ffzero"])
def test_estimates_of_phases_inside_a_mesh_converge_to_the_gradient(law: str) -> None:
    mesh = MachZehnderMesh(drives=4, responses=4, signed=True, seed=2)
    size = 3e-3
    rule: LocalRule
    if law == "spsa":
        rule = SimultaneousPerturbation(where="inside", directions=1, inside_size=size, inside_learning_rate=SLOW)
    else:
        rule = FFZero(where="inside", directions=1, inside_size=size, inside_learning_rate=SLOW, loss="cross_entropy")
    layer = make_layer(mesh, before=True, nonlinearity=rule.nonlinearity)
    phases = [torch.from_numpy(mesh.values[name]).requires_grad_() for name in ("theta", "phi")]
    assert layer.before is not None
    drive = layer.encoder(layer.before(make_batch().features_NI), mesh.spec.drive).drive
    fields = drive.to(torch.complex128) @ mesh.transfer(*phases)[:4, :4].T
    loss = head_of(rule, layer)(fields.abs().square())
    turn = 2 * math.pi
    gradient = torch.cat([one.flatten() for one in torch.autograd.grad(loss, phases)]) * turn

    def moved(learner: Any, layer: PhysicalLayer, before: Any) -> torch.Tensor:
        parts = [before[0][f"parameter_{name}"] - layer.parameters[name] for name in ("theta", "phi")]
        # as parts of the range; a phase that went round moved by less than half a turn
        around = (torch.cat(parts) / turn + 0.5).remainder(1) - 0.5
        return around.div(SLOW)

    # 0.019 rad: third derivatives of a power by phases are of the order of the first, and with 12 of them moved at once
    # the bias is up to 0.019^2 / 2 * 12 = 0.2 % of the largest; single precision of the mesh adds 1e-7 / 3e-3.
    bias = 2.2e-3 * float(gradient.abs().max()) + 1e-4
    assert_converges(estimates(rule, layer, moved, count=192), gradient, bias=bias)


def test_estimates_of_bits_are_unbiased() -> None:
    rule = SimultaneousPerturbation(where="inside", directions=1, logit_learning_rate=SLOW)
    system = Switched()
    layer = make_layer(system, before=True)

    def moved(learner: Any, layer: PhysicalLayer, before: Any) -> torch.Tensor:
        change: torch.Tensor = before[1]["logits/switch"] - learner.tensors()["logits/switch"]
        return change / SLOW

    found = estimates(rule, layer, moved, count=192)
    # The mean loss over all sixteen settings, each with its chance, and its derivative by the logits.
    assert layer.before is not None
    drive = layer.encoder(layer.before(make_batch().features_NI), layer.port.spec.drive).drive
    logits = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64, requires_grad=True)
    mean = torch.zeros((), dtype=torch.float64)
    for setting in itertools.product([0.0, 1.0], repeat=4):
        bits = torch.tensor(setting, dtype=torch.float64)
        system.configure({"switch": np.array(setting)})
        chance = torch.where(bits > 0, torch.sigmoid(logits), torch.sigmoid(-logits)).prod()
        mean = mean + chance * head_of(rule, layer)(system.forward(drive, np.arange(len(drive))))
    [gradient] = torch.autograd.grad(mean, [logits])
    assert_converges(found, gradient)


def test_directions_and_settings_of_a_step_do_not_depend_on_what_was_before() -> None:
    layer = make_layer(MixingMedium(), before=True)
    rule, read = BEFORE["spsa"]
    first, again = (estimates(rule, layer, read, count=2) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first[0], first[1])


def test_parameters_stay_far_enough_inside_their_range_to_be_perturbed_both_ways() -> None:
    system = Switched()
    system.parameters["switch"] = type(system.parameters["switch"])(shape=(4,), low=0.0, high=2.0)
    rule = SimultaneousPerturbation(where="inside", directions=2, inside_size=0.1, inside_learning_rate=10.0)
    layer = make_layer(system, before=True)
    network = Network([layer], features=layer.inputs)
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    seen: list[float] = []
    with network:
        for step in range(20):
            learn_minibatch(network, rule, [learner], make_batch(step=step), place=step)
            seen += layer.parameters["switch"].tolist()
    assert 0.2 - 1e-12 <= min(seen) < 0.3 and 1.7 < max(seen) <= 1.8 + 1e-12


@pytest.mark.parametrize(
    ("rule", "before", "message"),
    [
        (SimultaneousPerturbation(), False, "spsa has nothing to train in layer0: no map before the physics"),
        (SimultaneousPerturbation(where="both"), False, "no map before the physics and no parameters inside mixing"),
        (FFZero(where="inside"), True, "ffzero has nothing to train in layer0: no parameters inside mixing"),
        (NodePerturbation(), False, "node_perturbation trains weights before the physics, and layer0 has none"),
    ],
)
def test_a_layer_with_nothing_to_train_is_refused(rule: LocalRule, before: bool, message: str) -> None:
    layer = make_layer(MixingMedium(), before=before, nonlinearity=rule.nonlinearity)
    with pytest.raises(InputError, match=message):
        rule.learner(layer, classes=CLASSES, seed=0)


def test_bits_are_for_a_rule_that_draws_them() -> None:
    layer = make_layer(Switched(), before=True, nonlinearity="none")
    with pytest.raises(InputError, match=r"switch of mixing is binary. Use the rule spsa"):
        FFZero(where="inside").learner(layer, classes=CLASSES, seed=0)
