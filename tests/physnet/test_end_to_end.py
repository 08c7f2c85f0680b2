"""Backpropagation through a network: its gradient against autograd of a chain written by hand, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from physnet.contracts import Differentiable, DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.encoders import Levels, Split
from physnet.end_to_end import EndToEnd, check_gradients, multiply_adds, simulator_of
from physnet.errors import InputError
from physnet.function_system import system
from physnet.layer import DigitalMap, PhysicalLayer
from physnet.network import Network
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium
from physnet.standardisation import fit_standardisation
from physnet.twins import TwinSystem
from physnet.twins.gather import twins_of
from tests.physnet.rules.rehearsal import assert_same

FEATURES, WIDTH, RESPONSES, CLASSES, SAMPLES = 5, 6, 8, 3, 40


class Box(PhysicalSystem, Differentiable):
    """`tanh(drive A)`, or `drive A`, with noise that a model of it does not know."""

    def __init__(self, number: int, drives: int, *, noise: float = 0.0, linear: bool = False) -> None:
        self.matrix = torch.from_numpy(np.random.default_rng(number).standard_normal((drives, RESPONSES)))
        self._noise, self._linear = noise, linear
        self._spec = SystemSpec(
            name=f"box{number}",
            drive=DriveSpec(shape=(drives,), dtype="float64", low=0.0, high=1.0),
            response=ResponseSpec(shape=(RESPONSES,), dtype="float64"),
            kind="simulated",
            array="torch",
            repeatable=True,
            reproducible=True,
        )

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        with torch.no_grad():
            noise = torch.from_numpy(np.sin(passes[:, None] * np.arange(1, RESPONSES + 1.0)))
            return Reading(response=self.forward(drive, passes) + self._noise * noise)

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        value = drive @ self.matrix
        return value if self._linear else torch.tanh(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def make_network(*, before: bool = False, **options: Any) -> Network:
    """Two layers, the upper one with a skip; both standardise to other numbers than 0 and 1."""
    layers, inputs = [], FEATURES
    for number in range(2):
        made = DigitalMap.make("random", inputs, 7, seed=number) if before else None
        drives = 2 * (7 if before else inputs)
        layer = PhysicalLayer(
            port=Port(Box(number, drives, **options), dtype=torch.float64),
            inputs=inputs,
            width=WIDTH,
            encoder=Split(),
            seed=number,
            skip=number == 1,
            before=made,
            nonlinearity="relu",
            name=f"layer{number}",
        )
        layer.mean_R.fill_(0.1)
        layer.scale_R.fill_(0.7)
        layers.append(layer)
        inputs = WIDTH
    return Network(layers, features=FEATURES)


def models_of(network: Network) -> dict[Port, Differentiable]:
    return {port: simulator_of(port.system) for port in network.ports}


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, FEATURES, generator=random, dtype=torch.float64), torch.arange(SAMPLES) % CLASSES


def gradients(network: Network, models: Mapping[Port, Differentiable]) -> tuple[float, dict[str, torch.Tensor]]:
    with network:
        return EndToEnd(network, models, classes=CLASSES, seed=0).gradient(*samples(), epoch=0, step=0)


@pytest.mark.parametrize("before", [False, True])
def test_the_gradient_is_that_of_a_chain_written_by_hand(before: bool) -> None:
    network = make_network(before=before)
    subject = EndToEnd(network, models_of(network), classes=CLASSES, seed=0)
    own = {name: tensor.clone().requires_grad_() for name, tensor in subject.trained.items()}
    x, labels = samples()
    sent = x
    for number, layer in enumerate(network):
        name, box = layer.name, layer.port.system
        assert isinstance(box, Box)
        driven = sent @ own[f"{name}/before_weight"] + own[f"{name}/before_bias"] if before else sent
        scaled = driven / driven.abs().max(1, keepdim=True).values
        response = torch.tanh(torch.cat([scaled.clamp(min=0), (-scaled).clamp(min=0)], 1) @ box.matrix)
        features = (response - 0.1) / 0.7
        features = torch.cat([features, sent], 1) if number == 1 else features
        sent = torch.relu(features @ own[f"{name}/weight"] + own[f"{name}/bias"])
    loss = functional.cross_entropy(sent @ own["head"] + own["head_bias"], labels)
    torch.autograd.backward(loss)
    with network:
        value, found = subject.gradient(x, labels, epoch=0, step=0)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    assert set(found) == set(own) and len(own) == (10 if before else 6)
    for name, tensor in own.items():
        assert tensor.grad is not None
        assert_same(found[name], tensor.grad)
    assert not any(tensor.requires_grad for tensor in subject.trained.values())
    assert network.count.passes == 2 * SAMPLES


def test_what_goes_on_is_what_was_measured() -> None:
    quiet, noisy = make_network(), make_network(noise=0.3)
    (still, _), (loss, found) = (gradients(network, models_of(network)) for network in (quiet, noisy))
    assert loss != still
    # The same loss from the values alone, which pass nothing but the port.
    x, labels = samples()
    sent = x
    with noisy:
        subject = EndToEnd(noisy, models_of(noisy), classes=CLASSES, seed=0)
        for number, layer in enumerate(noisy):
            passes = pass_numbers(Purpose.TRAIN, layer=number, rows=SAMPLES)
            sent = layer.outputs(layer.present(sent, passes).features_NF)
    scores = sent @ subject.trained["head"]
    assert loss == pytest.approx(float(functional.cross_entropy(scores, labels)), rel=1e-12)
    assert bool(found["layer0/weight"].any())


def test_physics_aware_is_backpropagation_where_the_twin_is_exact() -> None:
    one, other = make_network(noise=0.1), make_network(noise=0.1)
    copies: dict[Port, Differentiable] = {port: Box(n, port.spec.drive.channels) for n, port in enumerate(other.ports)}
    (loss, own), (same, found) = gradients(one, models_of(one)), gradients(other, copies)
    assert same == loss
    assert all(torch.equal(found[name], gradient) for name, gradient in own.items())


def test_a_twin_fitted_to_a_linear_system_has_its_gradient() -> None:
    network = make_network(linear=True)
    before = {name: tensor.clone() for name, tensor in network.tensors().items()}
    rows = torch.randn(200, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with network:
        fit_standardisation(network, rows)
        standardised = {name: tensor.clone() for name, tensor in network.tensors().items()}
        passes = network.count.passes
        twins = twins_of(network, rows, seed=0)
        assert network.count.passes - passes == 2 * 200  # every row once in every layer
    assert all(torch.equal(tensor, standardised[name]) for name, tensor in network.tensors().items())
    assert torch.equal(before["layer1/weight"], standardised["layer1/weight"])
    assert all(port.on_exchange is None for port in network.ports)
    assert {twin.model.kind for twin in twins.values()} == {"linear"}
    loss, own = gradients(network, models_of(network))
    same, found = gradients(network, {port: TwinSystem.of(twin) for port, twin in twins.items()})
    # The values are measured either way. The twin's numbers are float32, 1e-7 each, and its fit is regularised; a sum
    # over 40 rows and a few dozen channels leaves a thousandth with room to spare.
    assert same == loss
    for name, gradient in own.items():
        assert_same(found[name], gradient, tolerance=1e-3)


def test_work_is_what_torch_counts() -> None:
    for before in (False, True):
        network = make_network(before=before)
        # The boxes' own products, which are the system's, and once more the model's.
        boxes = [layer.port.spec.drive.channels * RESPONSES for layer in network]
        with network:
            subject = EndToEnd(network, models_of(network), classes=CLASSES, seed=0)
            with FlopCounterMode(display=False) as counter:
                subject.gradient(*samples(), epoch=0, step=0)
            learnt = counter.get_total_flops() // 2
            with FlopCounterMode(display=False) as counter:
                subject.answers(samples()[0], purpose=Purpose.TEST, epoch=0, batch=16)
            answered = counter.get_total_flops() // 2
        inference, training = multiply_adds(network, boxes, classes=CLASSES, answering=True)
        assert learnt == SAMPLES * training
        assert answered == SAMPLES * (inference + sum(boxes))


def test_only_impairments_that_leave_a_gradient_as_it_is_are_seen_through() -> None:
    medium = ScatteringMedium(drives=6, responses=8, seed=0)
    assert simulator_of(medium) is medium
    noisy = Impaired(medium, noise=0.1, dac_bits=8, adc_bits=8, full_scale="auto")
    assert simulator_of(noisy) is medium and simulator_of(Impaired(noisy, photoelectrons=1e4)) is medium
    for options in ({"crosstalk": 0.1}, {"dead": 0.2}, {"memory": 0.5}):
        with pytest.raises(InputError, match=next(iter(options))):
            simulator_of(Impaired(Impaired(medium, **options), noise=0.1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must not depend on earlier rows or on time"):
        simulator_of(Impaired(medium, gain_drift=Drift(rate=1e-3)))
    bench = system(lambda drive: drive, drives=4, responses=4, kind="measured")
    for one in (bench, Impaired(bench, noise=0.1)):
        with pytest.raises(InputError, match="a measured system"):
            simulator_of(one)


def test_networks_that_pass_no_gradient_are_refused() -> None:
    def stack(names: Sequence[str]) -> Network:
        layers, inputs = [], 4
        for name in names:
            box = system(lambda drive: drive[:, :4], drives=8, responses=4, name=name)
            encoder = Levels() if name == "binary" else Split()
            layers.append(PhysicalLayer(port=Port(box), inputs=inputs, width=4, encoder=encoder, seed=0, name=name))
        return Network(layers, features=4)

    check_gradients(stack(["binary", "real"]))  # nothing is trained below the lowest
    with pytest.raises(InputError, match="binary must have a continuous drive"):
        check_gradients(stack(["real", "binary"]))
    refed = stack(["real"])
    refed.refed = True
    with pytest.raises(InputError, match="must be a chain"):
        check_gradients(refed)
