from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from physnet.errors import InputError
from physnet.passes import Purpose, pass_numbers
from physnet.simulators.keyed import keyed_normal, keyed_uniform

ROWS, CHANNELS = 4000, 50
COUNT = ROWS * CHANNELS
PASSES = pass_numbers(Purpose.TRAIN, rows=ROWS)
SPREAD = 5.0  # standard errors: chance of a false alarm 6e-7 a comparison; and the numbers are fixed


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(np.corrcoef(a.double().flatten(), b.double().flatten())[0, 1])


def test_normal_numbers_have_the_moments_of_a_normal_distribution() -> None:
    value = keyed_normal(1, PASSES, CHANNELS).double()
    # Standard errors of the first four moments of n normal numbers: sqrt of 1, 2, 15 and 96 over n.
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((value**moment).mean()) - expected) < SPREAD * (variance / COUNT) ** 0.5


def test_normal_numbers_pass_a_kolmogorov_smirnov_test() -> None:
    value = keyed_normal(2, PASSES, CHANNELS)
    for part in (value.flatten(), value[:, 0], value[:, 1], value[0]):
        assert stats.kstest(part.numpy(), "norm").pvalue > 1e-3


def test_the_tail_of_normal_numbers_is_there() -> None:
    value = keyed_normal(3, pass_numbers(Purpose.TRAIN, rows=100_000), 20)
    expected = 2e6 * 2 * stats.norm.sf(4)
    assert abs(int((value.abs() > 4).sum()) - expected) < SPREAD * expected**0.5  # a Poisson count


def test_uniform_numbers_are_uniform_and_below_one() -> None:
    value = keyed_uniform(1, PASSES, CHANNELS)
    assert float(value.min()) >= 0 and float(value.max()) < 1
    assert stats.kstest(value.flatten().numpy(), "uniform").pvalue > 1e-3


def test_channels_passes_streams_and_seeds_are_independent() -> None:
    value = keyed_normal(1, PASSES, CHANNELS)
    others = {
        "pair of one word": (value[:, 0::2], value[:, 1::2]),
        "neighbouring channels": (value[:, 1:-1:2], value[:, 2::2]),
        "neighbouring passes": (value[:-1], value[1:]),
        "diagonal": (value[:-1, :-2], value[1:, 2:]),
        "streams": (value, keyed_normal(1, PASSES, CHANNELS, stream=1)),
        "seeds": (value, keyed_normal(2, PASSES, CHANNELS)),
        "purposes": (value, keyed_normal(1, pass_numbers(Purpose.TEST, rows=ROWS), CHANNELS)),
    }
    for name, (a, b) in others.items():
        # The correlation of n independent pairs has a standard error of 1/sqrt(n); squares catch a shared radius.
        assert abs(correlation(a, b)) < SPREAD / a.numel() ** 0.5, name
        assert abs(correlation(a**2, b**2)) < SPREAD / a.numel() ** 0.5, name


def test_every_bit_of_the_pass_number_matters() -> None:
    for bit in range(63):
        pair = keyed_normal(1, np.array([0, 1 << bit], dtype=np.int64), 1000)
        assert abs(correlation(pair[0], pair[1])) < SPREAD / 1000**0.5


def test_chunks_order_threads_and_channel_count_change_no_bit() -> None:
    passes = PASSES[:301]
    whole = keyed_normal(5, passes, 333)
    assert torch.equal(torch.cat([keyed_normal(5, passes[k : k + 7], 333) for k in range(0, 301, 7)]), whole)
    order = np.random.default_rng(0).permutation(301)
    assert torch.equal(keyed_normal(5, passes[order], 333), whole[order])
    assert torch.equal(keyed_normal(5, passes, 10), whole[:, :10])
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert torch.equal(keyed_normal(5, passes, 333), whole)
    finally:
        torch.set_num_threads(threads)
    uniform = keyed_uniform(5, passes, 333)
    assert torch.equal(torch.cat([keyed_uniform(5, passes[:100], 333), keyed_uniform(5, passes[100:], 333)]), uniform)


def test_the_numbers_are_those_of_earlier_versions() -> None:
    # A session that is resumed or compared needs the same noise: a change here is a change of format.
    value = keyed_normal(7, pass_numbers(Purpose.TRAIN, epoch=1, rows=2), 3, stream=3)
    earlier = [
        [1.1215317249298096, 0.7375900149345398, -1.3979541063308716],
        [0.6358116269111633, -1.5861375331878662, -0.26613691449165344],
    ]
    assert torch.equal(value, torch.tensor(earlier))


def plain_pair(seed: int, stream: int, number: int, pair: int) -> tuple[float, float]:
    """Return one pair of normal numbers by the definition: Python integers, library functions, double precision."""
    golden, word = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mix(x: int) -> int:
        x &= word
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & word
        x = (x ^ x >> 27) * 0x94D049BB133111EB & word
        return x ^ x >> 31

    key = mix(mix(seed + golden) ^ (stream + 1) * golden)
    bits = mix(mix(number * golden + key) + mix(pair * golden + mix(key + 1)))
    angle = (bits & 0xFFFFFFFF ^ 1 << 31) / 2**32 * math.pi - math.pi / 2  # the low half as a signed number
    radius = (-2 * math.log(((bits >> 32 & 0x7FFFFFFF) + 0.5) / 2**31)) ** 0.5
    sign = -1 if bits >> 63 else 1
    return sign * radius * math.cos(angle), sign * radius * math.sin(angle)


def test_the_fast_route_agrees_with_the_definition() -> None:
    passes = pass_numbers(Purpose.TEST, epoch=3, rows=200)
    fast = keyed_normal(9, passes, 101, stream=4).double().numpy()
    plain = np.array([[x for pair in range(51) for x in plain_pair(9, 4, int(k), pair)] for k in passes])
    pair = plain.reshape(200, 51, 2)
    radius = np.repeat(np.linalg.norm(pair, axis=2), 2, axis=1)[:, :101]
    # float32: some ten roundings of 2^-24 on numbers up to 4. The square of the radius carries an absolute error of
    # some 2^-22 from the rounding of u near 1, which the root divides by twice the radius.
    assert np.all(np.abs(fast - plain[:, :101]) < 1e-6 + 2.0**-23 / radius)


def test_box_muller_agrees_with_library_functions() -> None:
    # With the angle of a pair, its radius gives the uniform number back: radius^2 = -2 ln u.
    value = keyed_normal(8, PASSES, 2).double()
    u = torch.exp(-value.square().sum(1) / 2)
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-3
    angle = torch.atan2(value[:, 1], value[:, 0])
    assert stats.kstest(angle.numpy(), "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_nothing_and_one_row_are_fine() -> None:
    assert keyed_normal(1, PASSES[:0], 3).shape == (0, 3)
    assert keyed_normal(1, PASSES[:1], 1).shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((-1, PASSES, 3), {}), ((1, PASSES, 0), {}), ((1, PASSES, 3), {"stream": -1}), ((1, PASSES[None], 3), {})],
)
def test_a_bad_argument_is_refused(arguments: tuple[int, np.ndarray, int], options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be"):
        keyed_normal(*arguments, **options)


@pytest.mark.gpu
def test_devices_agree_to_the_bit() -> None:
    assert torch.equal(keyed_normal(1, PASSES, 51, device="cuda").cpu(), keyed_normal(1, PASSES, 51))
    assert torch.equal(keyed_uniform(1, PASSES, 51, device="cuda").cpu(), keyed_uniform(1, PASSES, 51))
