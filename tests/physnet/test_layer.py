from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import physnet
from physnet.encoders import Absolute, Affine, Encoder, Norm, Split
from physnet.errors import SpecError
from physnet.layer import NONLINEARITIES, DigitalMap, Nonlinearity, PhysicalLayer, activate
from physnet.port import Port


def same(drive: Any) -> Any:
    return drive


def port(function: Any = same, *, drives: int = 3, responses: Any = 3, **options: Any) -> Port:
    system = physnet.system(
        function, drives=drives, responses=responses, **{"drive_range": (-1, 1), "name": "bench", **options}
    )
    return Port(system)


def layer(way: Port | None = None, **options: Any) -> PhysicalLayer:
    given: dict[str, Any] = {"port": way or port(), "inputs": 3, "width": 2, "encoder": Affine(low=-1), "seed": 0}
    return PhysicalLayer(**{**given, **options})


INPUTS = torch.tensor([[0.5, -0.25, 1.0], [0.0, 0.75, -1.0]])


def test_features_are_the_standardised_response_then_the_skip() -> None:
    subject = layer(skip=True)
    subject.mean_R.copy_(torch.tensor([1.0, 2.0, 3.0]))
    subject.scale_R.copy_(torch.tensor([1.0, 2.0, 4.0]))
    presented = subject.present(INPUTS, np.arange(2))
    expected = (INPUTS - torch.tensor([1.0, 2.0, 3.0])) / torch.tensor([1.0, 2.0, 4.0])
    assert torch.equal(presented.features_NF, torch.cat([expected, INPUTS], dim=1))
    assert torch.equal(torch.as_tensor(presented.reading.response), INPUTS)
    assert torch.equal(subject.features_of(presented.reading, INPUTS), presented.features_NF)
    assert subject.features == 6
    assert subject.weight_FO.shape == (6, 2)


def test_without_a_skip_the_features_are_the_response_alone() -> None:
    assert torch.equal(layer().present(INPUTS, np.arange(2)).features_NF, INPUTS)


def test_a_complex_response_becomes_real_and_imaginary_parts() -> None:
    subject = layer(port(lambda drive: drive * (2 + 1j), response_dtype="complex128"))
    features = subject.present(INPUTS, np.arange(2)).features_NF
    assert subject.features == 6
    # Real and imaginary part of channel 0, then of channel 1, and so on.
    assert torch.equal(features, torch.stack([2 * INPUTS, INPUTS], dim=2).flatten(1))


def test_an_image_is_flattened_row_by_row() -> None:
    subject = layer(port(lambda drive: np.stack([drive, -drive], axis=1), responses=(2, 3)))
    features = subject.present(INPUTS, np.arange(2)).features_NF
    assert torch.equal(features, torch.cat([INPUTS, -INPUTS], dim=1))


def test_a_digital_map_comes_before_the_encoder() -> None:
    before = DigitalMap(weight_IO=torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.0, 0.0]]), bias_O=torch.tensor([0.0, 0.25]))
    subject = layer(port(drives=2, responses=2), before=before, skip=True)
    features = subject.present(INPUTS, np.arange(2)).features_NF
    mapped = torch.stack([INPUTS[:, 0], INPUTS[:, 1] / 2 + 0.25], dim=1)
    assert torch.equal(features, torch.cat([mapped, INPUTS], dim=1))


def test_a_nudge_is_added_after_the_digital_map_and_before_the_encoder() -> None:
    seen: list[torch.Tensor] = []

    class Spy(Affine):
        def __call__(self, values: torch.Tensor, spec: Any) -> Any:
            seen.append(values)
            return super().__call__(values, spec)

    before = DigitalMap.make("repeat", 3, 3, seed=0)
    nudge = torch.tensor([[0.25, 0.0, -0.5], [0.0, 0.125, 0.0]])
    subject = layer(before=before, encoder=Spy(low=-1))
    features = subject.present(INPUTS, np.arange(2), nudge=nudge).features_NF
    assert torch.equal(seen[0], INPUTS + nudge)
    assert torch.equal(features, INPUTS + nudge)


def test_a_repeating_map_fills_all_outputs_with_the_inputs_in_turn() -> None:
    repeat = DigitalMap.make("repeat", 3, 7, seed=0)
    assert torch.equal(repeat(INPUTS), INPUTS[:, [0, 1, 2, 0, 1, 2, 0]])


def test_a_random_map_depends_on_its_seed_and_keeps_the_variance() -> None:
    first, again, other = (DigitalMap.make("random", 400, 50, seed=seed).weight_IO for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    # 20 000 normal numbers: the relative standard error of their variance is sqrt(2 / 20000) = 0.01.
    assert abs(float(first.var()) * 400 - 1) < 5 * 0.01


def test_clipped_values_are_reported_and_counted_at_the_port() -> None:
    subject = layer(encoder=Affine(low=-0.5, high=0.5, clip=True))
    assert subject.present(INPUTS, np.arange(2)).clipped == 3
    subject.present(INPUTS, np.arange(2))
    assert subject.port.count.clipped_drive == 6


def test_standardised_responses_have_mean_zero_and_deviation_one() -> None:
    rows = torch.rand(500, 3, generator=torch.Generator().manual_seed(0))
    subject = layer(port(lambda drive: drive * np.array([1.0, 100.0, 0.01]) + np.array([0.0, 5.0, -3.0])))
    presented = subject.present(rows, np.arange(500))
    assert subject.fit_standardisation(presented.reading) == 0
    features = subject.features_of(presented.reading, rows)
    # Channel 2 is 3 in 0.01: its float32 responses are rounded by 3 * 2^-24 each, its mean by as much, 6e-5 of the
    # deviation of 0.003; the sums add less.
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(0, correction=0), 1, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e3])
def test_a_dead_channel_is_counted_and_contributes_zero(value: float) -> None:
    def function(drive: Any) -> Any:
        return np.where(np.arange(3) == 1, value, drive)

    subject = layer(port(function))
    rows = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    presented = subject.present(rows, np.arange(300))
    assert subject.fit_standardisation(presented.reading) == 1
    assert subject.scale_R[1] == 1
    features = subject.features_of(presented.reading, rows)
    # The mean of 300 equal numbers may be off by their rounding: 2^-24 for each doubling of the sum, 9 of them.
    np.testing.assert_allclose(features[:, 1], 0, atol=9 * value * 2.0**-24)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e3])
def test_channels_that_are_all_dead_are_not_blown_up(value: float) -> None:
    subject = layer(port(lambda drive: np.full((len(drive), 3), value)))
    rows = torch.rand(300, 3)
    assert subject.fit_standardisation(subject.present(rows, np.arange(300)).reading) == 3
    assert subject.scale_R.tolist() == [1, 1, 1]


def test_a_layer_that_does_not_standardise_only_counts_the_dead() -> None:
    subject = layer(port(lambda drive: drive * np.array([1, 0, 1])), standardise=False)
    assert subject.fit_standardisation(subject.present(INPUTS, np.arange(2)).reading) == 1
    assert subject.mean_R.tolist() == [0, 0, 0]
    assert subject.scale_R.tolist() == [1, 1, 1]


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_outputs_are_the_nonlinearity_of_weight_and_bias(nonlinearity: Nonlinearity) -> None:
    subject = layer(nonlinearity=nonlinearity, width=4)
    subject.bias_O.copy_(torch.tensor([0.0, 1.0, -1.0, 0.5]))
    expectations: dict[str, Callable[[Any], Any]] = {
        "none": lambda z: z,
        "relu": lambda z: np.maximum(z, 0),
        "gelu": lambda z: z * 0.5 * (1 + np.vectorize(math.erf)(z / np.sqrt(2))),
        "silu": lambda z: z / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "abs": np.abs,
    }
    expected = expectations[nonlinearity]((INPUTS @ subject.weight_FO + subject.bias_O).double().numpy())
    # A sum of four float32 products and one function of it: some ten roundings of 2^-24 of numbers of order one.
    np.testing.assert_allclose(subject.outputs(INPUTS), expected, rtol=0, atol=4 * 10 * 2.0**-24)
    assert torch.equal(activate(torch.zeros(1), nonlinearity), torch.zeros(1))


def test_initial_weights_depend_on_the_seed_and_keep_the_variance() -> None:
    wide = port(drives=400, responses=400)
    first, again, other = (layer(wide, inputs=400, width=50, seed=seed).weight_FO for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    # As for the random map: 20 000 numbers, relative standard error 0.01.
    assert abs(float(first.var()) * 400 - 1) < 5 * 0.01
    assert not first.requires_grad


def test_saved_tensors_come_back_in_place() -> None:
    before = DigitalMap.make("random", 3, 3, seed=0)
    source, target = layer(before=before), layer(seed=5, before=DigitalMap.make("random", 3, 3, seed=9))
    assert set(source.tensors()) == {"weight", "bias", "mean", "scale", "before_weight", "before_bias"}
    assert set(layer().tensors()) == {"weight", "bias", "mean", "scale"}
    source.mean_R.fill_(3)
    held = target.weight_FO
    target.load({name: tensor.clone() for name, tensor in source.tensors().items()})
    assert target.weight_FO is held
    for name, tensor in source.tensors().items():
        assert torch.equal(target.tensors()[name], tensor)


def test_a_port_in_double_precision_makes_a_layer_in_double_precision() -> None:
    system = physnet.system(same, drives=3, responses=3)
    subject = layer(Port(system, dtype=torch.float64), encoder=Absolute())
    assert {tensor.dtype for tensor in subject.tensors().values()} == {torch.float64}


def test_a_channel_mismatch_is_refused_and_the_message_names_the_way_out() -> None:
    with pytest.raises(SpecError) as caught:
        layer(encoder=Split(), name="layer1")
    for part in ("layer1", "'split' makes 6 drive channels of 3 numbers", "bench has 3", "before = 'random'"):
        assert part in str(caught.value)


def test_the_encoder_is_asked_whether_it_can_drive_the_system() -> None:
    encoder: Encoder = Norm()
    with pytest.raises(SpecError, match="needs a drive range with both signs"):
        layer(port(drive_range=(0, 1)), encoder=encoder)
