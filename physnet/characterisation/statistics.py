"""Signal above noise from replicated contrasts: no model of the noise, only that replicates are independent.

A contrast is a combination of responses that vanishes under a hypothesis (no mixing, no memory). Replicates of it
share their signal and nothing else, so the products between different replicates have the signal's power as mean: the
noise doesn't add to it. Under the hypothesis every replicate may change its sign without changing the distribution,
which gives the null distribution of the sum of products from the data themselves, exact for any symmetric noise.

Axis letters: T contrasts; K replicates of each; R response channels; F random sign patterns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .quantities import ALPHA, Quantity

_FLIPS = 3999


@dataclass(frozen=True, kw_only=True, eq=False)
class Power:
    """Noise-free mean square of contrasts.

    Args:
        each_T: Unbiased squared norm of each contrast; may be negative.
        value: Their mean.
        error: Standard error of the mean.
        floor: What noise alone would exceed with probability `ALPHA`, from the scatter between replicates.
        p: Probability that noise alone reaches `value`.
    """

    each_T: NDArray[np.float64]
    value: float
    error: float
    floor: float
    p: float


def power(contrast_TKR: NDArray[Any], rng: np.random.Generator) -> Power:
    """Estimate the power of contrasts and test it against nothing.

    Args:
        contrast_TKR: Real or complex, at least one contrast with two replicates.
        rng: Draws the sign patterns.
    """
    contrasts, replicates, _ = contrast_TKR.shape
    gram_TKK = np.real(contrast_TKR @ contrast_TKR.conj().transpose(0, 2, 1))
    noise = _noise_square(contrast_TKR)
    gram_TKK[:, np.arange(replicates), np.arange(replicates)] = 0
    pairs = replicates * (replicates - 1)
    each_T = gram_TKK.sum((1, 2)) / pairs
    sign_FTK = rng.integers(0, 2, (_FLIPS, contrasts, replicates)) * 2.0 - 1
    turned_TFK = sign_FTK.transpose(1, 0, 2) @ gram_TKK
    null_F = (turned_TFK * sign_FTK.transpose(1, 0, 2)).sum((0, 2)) / pairs / contrasts
    value = float(each_T.mean())
    if contrasts >= 5 or replicates < 3:
        error = float(each_T.std(ddof=1) / math.sqrt(contrasts)) if contrasts > 1 else math.nan
    else:
        total_TK = gram_TKK.sum((1, 2))[:, None] - 2 * gram_TKK.sum(2)
        without_K = (total_TK / ((replicates - 1) * (replicates - 2))).mean(0)
        error = float(np.sqrt((replicates - 1) * without_K.var()))
    # A rounding error above its own null value counts as equal to it.
    reached = int(np.count_nonzero(null_F >= value * (1 - 1e-9)))
    return Power(
        each_T=each_T,
        value=value,
        error=error,
        # The variance of a mean of products of independent noise.
        floor=float(stats.norm.isf(ALPHA)) * math.sqrt(2 * noise / pairs / contrasts),
        p=(1 + reached) / (1 + _FLIPS),
    )


def _noise_square(contrast_TKR: NDArray[Any]) -> float:
    """Mean square of the product of two independent noise vectors, from scatter about the mean of replicates.

    Of different contrasts where there are several, since scatter about one mean is not independent.
    """
    contrasts, replicates, channels = contrast_TKR.shape
    scatter_XR = (contrast_TKR - contrast_TKR.mean(1, keepdims=True)).reshape(-1, channels)
    product_XX = np.real(scatter_XR @ scatter_XR.conj().T).reshape(contrasts, replicates, contrasts, replicates)
    apart_TT = ~np.eye(contrasts, dtype=np.bool_) if contrasts > 1 else np.ones((1, 1), np.bool_)
    square_TT = (product_XX**2).mean((1, 3))
    return float(square_TT[apart_TT].mean() * (replicates / (replicates - 1)) ** 2)


def amplitude(top: Power, bottom: float, *, resolution: float, about: str) -> Quantity:
    """Return the root of a power over a reference power, as a quantity.

    Args:
        top: The power.
        bottom: What to divide by, > 0.
        resolution: Power that rounding and converter steps may leave where nothing is.
        about: What it is.
    """
    if not bottom > 0:
        return Quantity(value=math.nan, resolved=False, about=f"{about}; the reference change is below the noise")
    resolved = top.p < ALPHA and top.value > resolution
    floor = math.sqrt(max(top.floor, resolution, 0.0) / bottom)
    value = math.sqrt(max(top.value, 0.0) / bottom)
    error = top.error / bottom / (2 * value) if value > 0 else math.nan
    # What is not there is not told apart from what is just below the floor above the estimate.
    limit = floor if resolved else math.sqrt(max(top.value, 0.0) / bottom + floor**2)
    return Quantity(value=value, error=error, floor=limit, resolved=resolved, about=about)


def mean_test(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean, standard error, and two-sided p of the mean being zero (Student)."""
    if len(values) < 2:
        return (float(values.mean()) if len(values) else math.nan), math.nan, 1.0
    mean, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
    if error == 0:
        return mean, 0.0, 1.0 if mean == 0 else 0.0
    return mean, error, float(2 * stats.t.sf(abs(mean) / error, len(values) - 1))
