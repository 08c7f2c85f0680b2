"""Signal and noise: repeats of the same drives under different pass numbers; effective rank; clipping.

Axis letters: N random drives; R response channels; E directions of response space.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..contracts import Flag
from .analysis import Answer, Played
from .quantities import ALPHA, Quantity, Trace

_PILE = 5


def signal_and_noise(played: Played) -> Answer:
    """Compare repeats close in time (noise), far in time (repeatability), and different drives (signal)."""
    plan, unit, floor = played.plan, played.unit, played.resolution
    pair_N2R = played.at(plan.couples)
    first_NR, second_NR = pair_N2R[:, 0], pair_N2R[:, 1]
    square_NR = np.abs(first_NR - second_NR) ** 2 / 2
    signal_R, noise_R = _covariance(first_NR, second_NR), square_NR[plan.near].mean(0)
    scale = float(np.sqrt(np.mean(np.abs(pair_N2R) ** 2)))
    noise, noise_error = _root_mean(square_NR[plan.near].mean(1))
    apart, apart_error = _root_mean(square_NR[~plan.near].mean(1))
    quiet = max(noise, floor)
    snr_R = np.sqrt(np.maximum(signal_R, 0) / np.maximum(noise_R, floor**2)) if quiet else np.full(len(noise_R), np.inf)
    ratio = math.sqrt(max(float(signal_R.mean()), 0)) / quiet if quiet else math.inf
    # The spread of the signal is known to about 1 / sqrt(2 N) beside that of the noise.
    spread = math.hypot(noise_error / quiet, 1 / math.sqrt(2 * len(first_NR))) if quiet else math.nan
    loud = noise > floor
    limit = "" if loud else f"; at most: noise below the rounding of {floor:.1g} {unit}"
    quantities = {
        "noise": Quantity(
            value=noise,
            error=noise_error,
            floor=floor,
            unit=unit,
            resolved=loud,
            about="standard deviation between repeats close in time, over all channels",
        ),
        "relative_noise": Quantity(
            value=noise / scale if scale else math.nan,
            error=noise_error / scale if scale else math.nan,
            floor=floor / scale if scale else math.nan,
            resolved=loud,
            about="the same over the RMS of the responses",
        ),
        "snr": Quantity(
            value=ratio,
            error=ratio * spread,
            floor=0.0,
            resolved=loud and ratio > 0,
            about=f"deviation over random drives / noise{limit}",
        ),
        "repeatability": Quantity(
            value=apart / scale if scale else math.nan,
            error=apart_error / scale if scale else math.nan,
            floor=floor / scale if scale else math.nan,
            resolved=apart > floor,
            about="deviation between repeats anywhere in the session over the RMS of the responses",
        ),
    }
    traces = {
        "snr_per_channel": Trace(values=snr_R, about="deviation over random drives / noise, by response channel"),
        "noise_per_channel": Trace(values=np.sqrt(noise_R), unit=unit, about="noise by response channel"),
        "signal_per_channel": Trace(
            values=np.sqrt(np.maximum(signal_R, 0)), unit=unit, about="deviation over random drives by response channel"
        ),
        "mean_per_channel": Trace(
            values=np.abs(pair_N2R.mean((0, 1))), unit=unit, about="modulus of the mean response by response channel"
        ),
    }
    return Answer(quantities=quantities, traces=traces)


def rank(played: Played) -> Answer:
    """Count directions of response space in which the drives are seen above the noise.

    Directions are taken from one presentation of each drive, and the signal along them from the product with the other
    presentation: what noise put into a direction is not in the other, so its mean there is zero. A direction counts
    where that product is above zero at the confidence claimed for all directions together (Bonferroni).
    """
    pair_N2R = played.at(played.plan.couples)
    rows, _, channels = pair_N2R.shape
    # Each channel by its own noise, or a loud channel would hide the directions of the quiet ones.
    square_R = np.mean(np.abs(pair_N2R[:, 0] - pair_N2R[:, 1]) ** 2, axis=0) / 2
    scale_R = np.sqrt(np.maximum(square_R, played.resolution**2))
    scale_R = np.where(scale_R > 0, scale_R, 1.0)
    first_NR, second_NR = ((part - part.mean(0)) / scale_R for part in (pair_N2R[:, 0], pair_N2R[:, 1]))
    _, _, direction_ER = np.linalg.svd(first_NR, full_matrices=False)
    product_NE = np.real((first_NR @ direction_ER.conj().T).conj() * (second_NR @ direction_ER.conj().T))
    signal_E = product_NE.mean(0)
    error_E = product_NE.std(0, ddof=1) / math.sqrt(rows)
    threshold = float(stats.norm.isf(ALPHA / len(signal_E)))
    # Channels without noise are in units of the resolution: there, 1 is what rounding alone may show.
    smallest = (1 + math.sqrt(channels / rows)) ** 2 if np.any(square_R <= played.resolution**2) else 0.0
    seen_E = (signal_E > threshold * error_E) & (signal_E > smallest)
    count = int(np.count_nonzero(seen_E))
    most = min(rows - 1, channels)
    participation, error = _participation(*(part - part.mean(0) for part in (pair_N2R[:, 0], pair_N2R[:, 1])))
    ceiling = count >= 0.7 * (rows - 1)
    about = f"directions above the noise, of {most} that {rows} drives and {channels} channels can show"
    if ceiling:
        about += "; at least: the number of drives is the limit"
    quantities = {
        "rank": Quantity(value=float(count), floor=float(most) if ceiling else 1.0, resolved=count > 0, about=about),
        "participation_ratio": Quantity(
            value=participation,
            error=error,
            resolved=count > 0 and math.isfinite(participation),
            about="(sum of eigenvalues)^2 / sum of their squares: directions that carry most of the signal",
        ),
    }
    traces = {
        "eigenvalues": Trace(values=signal_E, about="signal power over noise power along each direction"),
        "eigenvalue_threshold": Trace(
            values=np.maximum(threshold * error_E, smallest), about="what a direction must exceed to count"
        ),
    }
    return Answer(quantities=quantities, traces=traces)


def clipping(played: Played) -> Answer:
    """Look for rows that a detector flagged, and for values that pile up at an end of the scale."""
    spec = played.spec
    share = float(np.mean((played.flag_P & Flag.CLIPPED) != 0))
    value_NR = played.at(played.plan.couples[:, 0])
    part_NX = np.concatenate([value_NR.real, value_NR.imag], 1) if np.iscomplexobj(value_NR) else value_NR
    size = np.abs(part_NX)
    top = float(size.max())
    pinned_NX = size == top
    if spec.response.full_scale is not None:
        pinned_NX |= size >= 0.999 * spec.response.full_scale
    # One value is always the largest; on a converter's steps a few may share it.
    full = spec.response.full_scale is not None and top >= 0.999 * spec.response.full_scale
    piled = (np.count_nonzero(pinned_NX) >= _PILE or full) and bool(np.any(np.ptp(part_NX, axis=0) > 0))
    pinned = float(pinned_NX.mean())
    rows = len(played.flag_P)
    quantities = {
        "clipped_rows": Quantity(
            value=share,
            error=math.sqrt(share * (1 - share) / rows),
            floor=1 / rows,
            resolved=share > 0,
            about="share of all rows that the system flagged as clipped",
        ),
        "values_at_the_end": Quantity(
            value=pinned,
            error=math.sqrt(pinned * (1 - pinned) / size.size),
            floor=_PILE / size.size,
            resolved=piled,
            about="share of response values at the largest value of all, or at full scale",
        ),
        "step": Quantity(
            value=played.step,
            unit=played.unit,
            floor=played.resolution,
            resolved=played.step > 0,
            about="spacing of the levels that the responses lie on",
        ),
    }
    return Answer(quantities=quantities, traces={})


def _covariance(first_NR: NDArray[Any], second_NR: NDArray[Any]) -> NDArray[np.float64]:
    """Variance over drives, by channel, without the noise: it is not common to two presentations."""
    product_NR = (first_NR - first_NR.mean(0)).conj() * (second_NR - second_NR.mean(0))
    return np.asarray(np.real(product_NR).sum(0) / (len(first_NR) - 1))


def _root_mean(square_N: NDArray[np.float64]) -> tuple[float, float]:
    """Root of a mean, and its standard error."""
    mean = float(square_N.mean())
    if mean == 0:
        return 0.0, 0.0
    return math.sqrt(mean), float(square_N.std(ddof=1)) / math.sqrt(len(square_N)) / (2 * math.sqrt(mean))


def _participation(first_NR: NDArray[Any], second_NR: NDArray[Any]) -> tuple[float, float]:
    """Participation ratio from products of different rows and presentations, and its jackknife error.

    The mean over pairs of rows of `(y_i . y_j)(y'_j . y'_i)` is the sum of the squared eigenvalues: neither the noise
    nor the number of drives adds to it.
    """
    rows = len(first_NR)
    trace_N = np.real((first_NR.conj() * second_NR).sum(1))
    pair_NN = np.real((first_NR.conj() @ first_NR.T) * (second_NR.conj() @ second_NR.T).conj())
    np.fill_diagonal(pair_NN, 0)
    square_N = pair_NN.sum(1)
    # The square of the trace from pairs of different rows too: the square of a mean holds its own variance.
    total, own_N = trace_N.sum(), trace_N**2
    pairs, fewer = rows * (rows - 1), (rows - 1) * (rows - 2)
    trace, square = (total**2 - own_N.sum()) / pairs, square_N.sum() / pairs
    if not (total > 0 and trace > 0 and square > 0):
        return math.nan, math.nan
    traces_N = ((total - trace_N) ** 2 - (own_N.sum() - own_N)) / fewer
    squares_N = (square_N.sum() - 2 * square_N) / fewer
    ratio_N = traces_N / np.maximum(squares_N, 1e-300)
    return float(trace / square), float(np.sqrt((rows - 1) * ratio_N.var()))
