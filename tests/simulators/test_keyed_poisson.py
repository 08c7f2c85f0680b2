from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from physnet.errors import InputError
from physnet.passes import Purpose, pass_numbers
from physnet.simulators.keyed_poisson import _expanded, keyed_poisson

ROWS, CHANNELS = 400, 250
COUNT = ROWS * CHANNELS
PASSES = pass_numbers(Purpose.TRAIN, rows=ROWS)
MEANS = (0.0, 0.05, 0.7, 3.0, 15.9, 16.0, 40.0, 1e3, 1e5)
SPREAD = 5.0  # standard errors: chance of a false alarm 6e-7 a comparison; and the numbers are fixed


def counts(mean: float, **options: int) -> torch.Tensor:
    return keyed_poisson(1, PASSES, torch.full((ROWS, CHANNELS), mean), **options)


@pytest.mark.parametrize("mean", MEANS)
def test_mean_variance_and_skewness_are_those_of_a_poisson_distribution(mean: float) -> None:
    value = counts(mean).double()
    assert torch.equal(value, value.round()) and float(value.min()) >= 0
    # Central moments 2 to 6 of a Poisson variable: m, m, m + 3 m^2, m + 10 m^2, m + 25 m^2 + 15 m^3. The variance of a
    # mean of k-th powers of deviations is (mu_2k - mu_k^2) / n; beside it, what the expansion misses (docstring).
    m = mean
    departure = value - m
    for power, expected, variance, missed in (
        (1, 0.0, m, 5e-6 * m),
        (2, m, m + 2 * m**2, 2e-4 * m),
        (3, m, m + 25 * m**2 + 15 * m**3 - m**2, 2e-2 * m),
    ):
        error = SPREAD * (variance / COUNT) ** 0.5 + missed
        assert abs(float((departure**power).mean()) - expected) <= error, power


@pytest.mark.parametrize("mean", [0.3, 4.0, 15.9])
def test_a_faint_channel_follows_the_distribution_count_by_count(mean: float) -> None:
    value = counts(mean).numpy().ravel()
    highest = int(stats.poisson.isf(20 / COUNT, mean))  # cells of at least 20 counts, the rest in the last one
    seen = np.bincount(np.minimum(value, highest).astype(int), minlength=highest + 1)
    expected = COUNT * stats.poisson.pmf(np.arange(highest + 1), mean)
    expected[-1] = COUNT * stats.poisson.sf(highest - 1, mean)
    assert stats.chisquare(seen, expected).pvalue > 1e-3


@pytest.mark.parametrize("mean", [16.0, 20.0, 50.0, 300.0, 1e4])
def test_the_expansion_meets_the_distribution_function(mean: float) -> None:
    def quantile(normal: np.ndarray) -> np.ndarray:
        # The sum before it is rounded down, in float64: an independent writing of the same series.
        w, root = normal, mean**0.5
        series = w**2 / 6 + 1 / 3 - (w / 36 + w**3 / 72) / root + (w**4 / 270 + 7 * w**2 / 810 - 8 / 405) / mean
        return np.asarray(mean + root * w + series)

    normal = np.linspace(-4, 4, 2001)
    both = _expanded(torch.from_numpy(normal).float(), torch.full((2001,), mean)).numpy()
    # float32 carries the sum to 4 ulp of it; a whole number within that may be rounded to either side.
    near = np.abs(quantile(normal) - np.rint(quantile(normal))) < 4 * 2.0**-23 * (mean + 4 * mean**0.5) + 1e-6
    assert near.mean() < 0.02 + 1e-6 * mean
    assert np.array_equal(both[~near], np.maximum(np.floor(quantile(normal)), 0)[~near])
    count = np.arange(max(0, int(mean - 6 * mean**0.5)), int(mean + 6 * mean**0.5))
    low, high = np.full(len(count), -6.67), np.full(len(count), 6.67)
    for _ in range(60):  # the normal number at which each count turns into the next
        middle = (low + high) / 2
        below = quantile(middle) < count + 1
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    # What the docstring claims, and the normal number's own end at 6.67, beyond which lie 1.3e-11.
    assert np.abs(stats.norm.cdf(low) - stats.poisson.cdf(count, mean)).max() < (5e-6 if mean >= 50 else 2e-5) + 1e-9


def test_neighbours_streams_and_the_two_methods_are_independent() -> None:
    mean = torch.full((ROWS, CHANNELS), 40.0)
    mean[:, ::2] = 5.0  # channels of one word of the generator, one faint and one not
    mixed = keyed_poisson(1, PASSES, mean).double()
    bright = counts(40.0).double()
    pairs = {
        "faint and bright": (mixed[:, 0::2], mixed[:, 1::2]),
        "channels": (bright[:, :-1], bright[:, 1:]),
        "passes": (bright[:-1], bright[1:]),
        "streams": (bright, counts(40.0, stream=2).double()),
    }
    for name, (a, b) in pairs.items():
        correlation = np.corrcoef(a.flatten(), b.flatten())[0, 1]
        assert abs(correlation) < SPREAD / a.numel() ** 0.5, name


def test_chunks_order_and_neighbours_change_no_count() -> None:
    mean = torch.rand(60, 33, generator=torch.Generator().manual_seed(0)) * 40
    passes = PASSES[:60]
    whole = keyed_poisson(3, passes, mean)
    chunks = [keyed_poisson(3, passes[k : k + 7], mean[k : k + 7]) for k in range(0, 60, 7)]
    assert torch.equal(torch.cat(chunks), whole)
    order = np.random.default_rng(0).permutation(60)
    assert torch.equal(keyed_poisson(3, passes[order], mean[order]), whole[order])
    assert torch.equal(keyed_poisson(3, passes, mean[:, :5]), whole[:, :5])


def test_a_negative_mean_is_refused() -> None:
    for bad in (-1.0, float("nan")):
        with pytest.raises(InputError, match="mean counts"):
            counts(bad)
