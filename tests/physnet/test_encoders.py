from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, ResponseSpec, SystemSpec
from physnet.drives import check_drive, fit_drive
from physnet.encoders import ENCODERS, Absolute, Affine, Bias, Encoder, Levels, Norm, Split, default_encoder
from physnet.errors import DriveError, InputError, SpecError

BOUNDED: list[Encoder] = [
    Split(),
    Absolute(),
    Absolute(scale="l2"),
    Bias(),
    Norm(),
    Norm(scale="l2"),
    Levels(bits=1),
    Levels(bits=3),
    Affine(low=-1, high=1, clip=True),
]
RANGES: dict[str, dict[str, Any]] = {
    "unipolar": {"low": 0, "high": 1},
    "bipolar": {"low": -1, "high": 1},
    "offset": {"low": 0.2, "high": 0.7},
    "lopsided": {"low": -0.1, "high": 0.7, "dtype": "float32"},
    "phase": {"low": 0, "high": float(np.pi), "domain": "phase", "unit": "rad"},
    "binary": {"low": 0, "high": 1, "domain": "binary"},
}
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
BATCHES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=FINITE)


def drive_spec(encoder: Encoder, inputs: int, **given_range: Any) -> DriveSpec:
    return DriveSpec(shape=(encoder.channels(inputs),), **given_range)


def takes(encoder: Encoder, spec: DriveSpec) -> bool:
    try:
        encoder.check(spec)
    except SpecError:
        return False
    return True


@pytest.mark.parametrize("encoder", BOUNDED, ids=repr)
@pytest.mark.parametrize("given_range", RANGES.values(), ids=RANGES)
@given(values=BATCHES)
@example(values=np.zeros((2, 3), np.float32))
@example(values=np.full((2, 3), 1e-30, np.float32))
@example(values=np.full((2, 3), -1e30, np.float32))
@example(values=np.array([[1e30, -1e-30, 0], [1e-45, -3.4e38, 3.4e38]], np.float32))
@settings(deadline=None, max_examples=25)
def test_whatever_a_layer_emits_the_drive_is_finite_and_in_range(
    values: NDArray[np.float32], encoder: Encoder, given_range: dict[str, Any]
) -> None:
    spec = drive_spec(encoder, values.shape[1], **given_range)
    if not takes(encoder, spec):
        return
    encoded = encoder(torch.from_numpy(values), spec)
    assert encoded.drive.shape == (len(values), spec.channels)
    assert bool(torch.isfinite(encoded.drive).all())
    system = SystemSpec(name="bench", kind="simulated", drive=spec, response=ResponseSpec(shape=(1,)))
    check_drive(system, encoded.drive)
    sent = fit_drive(spec, encoded.drive).to(torch.float64).numpy()
    # What the port cuts off is rounding of the limits in float32: half a unit in the last place of values up to pi.
    np.testing.assert_allclose(encoded.drive.numpy(), sent, rtol=0, atol=2.0**-22)


@given(values=BATCHES, power=st.integers(-20, 20))
@settings(deadline=None)
def test_the_scale_of_a_sample_is_lost_and_nothing_else_with_it(values: NDArray[np.float32], power: int) -> None:
    # A power of two is exact in binary, so even the last bit must agree as long as nothing gets too large or small.
    rows = torch.from_numpy(np.where(np.abs(values) < 1e-10, 0, np.clip(values, -1e10, 1e10)))
    for encoder in BOUNDED[:-1]:
        spec = drive_spec(encoder, rows.shape[1], low=-1, high=1)
        assert torch.equal(encoder(rows, spec).drive, encoder(rows * 2.0**power, spec).drive), encoder


@given(values=BATCHES)
@settings(deadline=None)
def test_each_sample_is_encoded_by_itself(values: NDArray[np.float32]) -> None:
    rows = torch.from_numpy(values)
    for encoder in BOUNDED:
        spec = drive_spec(encoder, rows.shape[1], low=-1, high=1)
        alone = torch.cat([encoder(row[None], spec).drive for row in rows])
        # Division and clamping are element by element; a norm over at most 5 numbers may be added in another order: a
        # few roundings of 2^-24.
        torch.testing.assert_close(alone, encoder(rows, spec).drive, rtol=0, atol=4 * 2.0**-24)


@pytest.mark.parametrize(("encoder", "factor"), [(Split(), 2), (Levels(bits=5), 5), (Levels(), 2)])
def test_some_encoders_make_several_channels_of_a_number(encoder: Encoder, factor: int) -> None:
    assert encoder.channels(7) == 7 * factor


@pytest.mark.parametrize("encoder", [Absolute(), Bias(), Norm(), Affine()])
def test_the_others_make_one(encoder: Encoder) -> None:
    assert encoder.channels(7) == 7


def test_split_keeps_the_sign_on_channels_of_its_own() -> None:
    encoded = Split()(torch.tensor([[2.0, -1.0, 0.0], [-4.0, 4.0, 1.0]]), DriveSpec(shape=(6,), high=2))
    assert encoded.drive.tolist() == [[2, 0, 0, 0, 1, 0], [0, 2, 0.5, 2, 0, 0]]


@given(values=BATCHES)
@settings(deadline=None)
def test_no_sign_is_lost_by_split_or_bias(values: NDArray[np.float32]) -> None:
    # Numbers 1e6 times smaller than the largest of the sample vanish beside a bias, in float32.
    largest = np.abs(values).max(axis=1, keepdims=True)
    rows = torch.from_numpy(np.where((np.abs(values) < 1e-6 * largest) | (np.abs(values) < 1e-20), 0, values))
    inputs = rows.shape[1]
    split = Split()(rows, DriveSpec(shape=(2 * inputs,))).drive
    assert torch.equal(torch.sign(split[:, :inputs] - split[:, inputs:]), torch.sign(rows))
    bias = Bias()(rows, DriveSpec(shape=(inputs,), low=-1, high=1)).drive
    assert torch.equal(torch.sign(bias), torch.sign(rows))


def test_absolute_values_are_scaled_by_the_largest_or_by_the_norm() -> None:
    rows = torch.tensor([[3.0, -4.0]])
    spec = DriveSpec(shape=(2,))
    assert Absolute()(rows, spec).drive.tolist() == [[0.75, 1.0]]
    # 3/5 and 4/5 by way of the largest: three roundings of 2^-24.
    torch.testing.assert_close(
        Absolute(scale="l2")(rows, spec).drive, torch.tensor([[0.6, 0.8]]), rtol=3 * 2.0**-24, atol=0
    )


@pytest.mark.parametrize("size", [1e-29, 1.0, 1e37])
def test_the_norm_holds_the_energy_of_a_drive_constant(size: float) -> None:
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * size
    drive = Norm(scale="l2")(rows, DriveSpec(shape=(50,), low=-1, high=1)).drive
    # A float32 sum of 50 squares: 50 roundings of 2^-24.
    torch.testing.assert_close(drive.square().sum(1), torch.ones(6), rtol=50 * 2.0**-24, atol=0)


def test_unipolar_encoders_rest_at_zero_or_else_at_the_lowest_drive() -> None:
    zeros = torch.zeros(1, 2)
    for low, high, rest in ((0, 1, 0.0), (-1, 1, 0.0), (0.25, 0.75, 0.25), (-2, -1, -2.0)):
        assert Absolute()(zeros, DriveSpec(shape=(2,), low=low, high=high)).drive.tolist() == [[rest, rest]]


def test_bias_is_centred_in_the_range() -> None:
    drive = Bias()(torch.tensor([[-2.0, 0.0, 1.0, 2.0]]), DriveSpec(shape=(4,), low=1, high=5)).drive
    assert drive.tolist() == [[1, 3, 4, 5]]


def test_norm_fits_the_nearer_limit() -> None:
    drive = Norm()(torch.tensor([[-1.0, 1.0]]), DriveSpec(shape=(2,), low=-0.5, high=2)).drive
    assert drive.tolist() == [[-0.5, 0.5]]


def test_every_channel_is_scaled_to_its_own_range() -> None:
    spec = DriveSpec(shape=(2,), low=(0.0, 2.0), high=(1.0, 4.0))
    assert Absolute()(torch.tensor([[1.0, 1.0]]), spec).drive.tolist() == [[1, 4]]
    assert Affine()(torch.tensor([[0.5, 0.5]]), spec).drive.tolist() == [[0.5, 3]]


def test_levels_put_the_most_significant_bit_first() -> None:
    # Scaled to 0, 1, 2, 3.
    drive = Levels(bits=2)(torch.tensor([[-3.0, -1.0, 1.0, 3.0]]), DriveSpec(shape=(8,), low=-1, high=1)).drive
    assert drive.tolist() == [[-1, -1, -1, 1, 1, -1, 1, 1]]


@given(values=BATCHES, bits=st.integers(1, 16))
@settings(deadline=None)
def test_levels_keep_the_order_of_a_sample(values: NDArray[np.float32], bits: int) -> None:
    rows = torch.from_numpy(np.clip(values, -1e30, 1e30))
    drive = Levels(bits=bits)(rows, DriveSpec(shape=(bits * rows.shape[1],), domain="binary")).drive
    weights = 2.0 ** torch.arange(bits - 1, -1, -1)
    codes = drive.reshape(len(rows), -1, bits) @ weights
    order = torch.argsort(rows, dim=1)
    assert bool((codes.gather(1, order).diff(dim=1) >= 0).all())


def test_levels_keep_the_order_of_the_largest_numbers_there_are() -> None:
    drive = Levels(bits=1)(torch.tensor([[-3.4e38, 3.4e38]]), DriveSpec(shape=(2,), domain="binary")).drive
    assert drive.tolist() == [[0, 1]]


def test_affine_maps_its_fixed_range_to_the_drive() -> None:
    drive = Affine(low=-1, high=3)(torch.tensor([[-1.0, 1.0, 3.0]]), DriveSpec(shape=(3,), low=2, high=4)).drive
    assert drive.tolist() == [[2, 3, 4]]


def test_affine_refuses_a_value_outside_and_says_where() -> None:
    with pytest.raises(DriveError, match=r"takes 0 to 1, got 1.5 in row 1, input 2 \(2 such values\)"):
        Affine()(torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 1.5], [-2.0, 0, 0]]), DriveSpec(shape=(3,)))


def test_affine_clips_and_counts_where_it_was_asked_to() -> None:
    encoded = Affine(clip=True)(torch.tensor([[-1.0, 0.5], [2.0, 1e30]]), DriveSpec(shape=(2,)))
    assert encoded.drive.tolist() == [[0, 0.5], [1, 1]]
    assert encoded.clipped == 3


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1)])
def test_affine_refuses_a_range_that_is_none(low: float, high: float) -> None:
    with pytest.raises(InputError, match="must be below high"):
        Affine(low=low, high=high)


@pytest.mark.parametrize("encoder", [Split(), Absolute(), Bias(), Norm(), Affine()], ids=repr)
def test_a_continuous_encoder_refuses_a_binary_system_and_names_one_that_does_not(encoder: Encoder) -> None:
    with pytest.raises(SpecError, match="'levels'"):
        encoder.check(DriveSpec(shape=(2,), low=-1, high=1, domain="binary"))


def test_levels_take_any_system() -> None:
    for given_range in RANGES.values():
        Levels().check(DriveSpec(shape=(2,), **given_range))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 0.7), (-2, -1), ((-1.0, 0.0), 1)])
def test_norm_refuses_a_range_without_both_signs(low: Any, high: Any) -> None:
    with pytest.raises(SpecError, match="'split' or 'bias'"):
        Norm().check(DriveSpec(shape=(2,), low=low, high=high))


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_knows_its_name_and_says_what_survives(name: str) -> None:
    encoder = ENCODERS[name]()
    assert encoder.name == name
    assert encoder.survives


@pytest.mark.parametrize(
    ("given_range", "non_negative", "kind"),
    [
        ({"domain": "binary"}, False, Levels),
        ({"domain": "binary"}, True, Levels),
        ({}, True, Absolute),
        ({}, False, Split),
        ({"low": -1}, False, Norm),
        ({"low": -1}, True, Absolute),
        ({"low": -1, "domain": "phase"}, False, Split),
    ],
)
def test_the_default_encoder_keeps_the_sign_and_the_system_takes_it(
    given_range: dict[str, Any], non_negative: bool, kind: type[Encoder]
) -> None:
    spec = DriveSpec(shape=(2,), **given_range)
    encoder = default_encoder(spec, non_negative=non_negative)
    assert type(encoder) is kind
    encoder.check(spec)
