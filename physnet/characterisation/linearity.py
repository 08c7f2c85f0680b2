"""How the response scales with the drive, what mixes in it, and what of it survives a change of sign.

Axis letters: B drives that are scaled; S scales; T tuples; K replicates; R response channels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..seeding import stream
from .analysis import Answer, Played
from .plan import SCALES, Index
from .quantities import ALPHA, Quantity, Trace, missing
from .statistics import Power, amplitude, mean_test, power

_MIXED = np.array([1.0, -1.0, -1.0, 1.0])
_CLEAR = (
    10.0  # a scale is used where its response is this many standard errors: a logarithm is biased by half the square
)


def homogeneity(played: Played) -> Answer:
    """Fit `f(a x) - f(0) = a^p (f(x) - f(0))` over the scales `a` that can be told from noise.

    The ratio is the projection on the response to the whole drive, between different presentations, so that noise does
    not add to it. Each drive gives a slope; their spread is the uncertainty.
    """
    names = ("degree", "degree_change", "compression", "shape_change")
    table = played.plan.homogeneity
    if not len(table):
        why = "scaling the drive was not possible"
        return Answer(quantities={name: missing(why) for name in names}, traces={})
    dark_R = _dark(played)
    change_BKSR = played.at(table) - dark_R
    whole_BKR = change_BKSR[:, :, 0]
    norm_B = _dot(whole_BKR[:, 0], whole_BKR[:, 1])
    if not np.any(norm_B > 0):
        why = "the whole drive gives no response above the noise"
        return Answer(quantities={name: missing(why) for name in names}, traces={})
    cross_BKS = (
        np.stack([_dot(whole_BKR[:, 1 - k, None], change_BKSR[:, k]) for k in range(2)], axis=1)
        / np.where(norm_B > 0, norm_B, np.nan)[:, None, None]
    )
    ratio_BS = cross_BKS.mean(1)
    noise_S = np.sqrt(np.mean((cross_BKS[:, 0] - cross_BKS[:, 1]) ** 2, axis=0)) / 2
    level = played.resolution * math.sqrt(change_BKSR.shape[-1]) / math.sqrt(max(float(np.nanmedian(norm_B)), 1e-300))
    noise_S = np.hypot(noise_S, level)
    # An odd or an even law gives a positive ratio; a detector that folds over does not, and has no degree.
    clear_S = np.nanmedian(ratio_BS, axis=0) > _CLEAR * noise_S
    used = int(np.argmin(clear_S)) if not clear_S.all() else len(SCALES)
    good_B = np.all(ratio_BS[:, :used] > 0, axis=1)
    traces = {
        "scale": Trace(values=np.asarray(SCALES), about="factor on the drive, by scale"),
        "ratio": Trace(values=ratio_BS, about="f(a x) along f(x), over f(x); (drive, scale)"),
        "ratio_noise": Trace(values=noise_S, about="standard error of one ratio, by scale"),
    }
    if used < 3 or good_B.sum() < 3:
        why = f"fewer than 3 of {len(SCALES)} scales of the drive give a response clear of the noise"
        return Answer(quantities={name: missing(why) for name in names}, traces=traces)
    log_S, ratio_BS = np.log(np.asarray(SCALES[:used])), np.log(ratio_BS[good_B, :used])
    slope_B = _slopes(log_S, ratio_BS)
    degree, error, _ = mean_test(slope_B)
    # The slope of values that are each uncertain by the resolution.
    fine = level / float(np.sqrt(np.sum((log_S - log_S.mean()) ** 2)))
    about = f"p of f(a x) - f(0) ~ a^p, a = {SCALES[used - 1]:.2g} to 1, {len(slope_B)} drives"
    quantities = {
        "degree": Quantity(value=degree, error=math.hypot(error, fine), floor=fine, resolved=True, about=about)
    }
    half = max(2, used // 2)
    bend_B = _slopes(log_S[:half], ratio_BS[:, :half]) - _slopes(log_S[-half:], ratio_BS[:, -half:])
    quantities["degree_change"] = _tested(bend_B, fine, "degree at the largest drives minus that at the smallest")
    lower_B = (
        _slopes(log_S[half - 1 :], ratio_BS[:, half - 1 :]) if used > half + 1 else _slopes(log_S[1:], ratio_BS[:, 1:])
    )
    expected_B = ratio_BS[:, half - 1 :].mean(1) - lower_B * log_S[half - 1 :].mean()
    quantities["compression"] = _tested(
        1 - np.exp(-expected_B), fine, "missing at full drive from the power law of the smaller drives (share)"
    )
    quantities["shape_change"] = _shape(played, change_BKSR[good_B][:, :, :used])
    return Answer(quantities=quantities, traces=traces)


def mixing(played: Played) -> Answer:
    """Compare `f(x+u+v) - f(x+u) - f(x+v) + f(x)` with the changes that u and v make alone; x is the drive at rest.

    `mixing` splits all drives into two random halves: the most sensitive. `mixing_pairs` takes two single drives.
    """
    quantities = {}
    texts = {"mixing": "two halves of the drives", "mixing_pairs": "two single drives"}
    for (name, what), table in zip(texts.items(), (played.plan.groups, played.plan.pairs), strict=True):
        about = f"second mixed difference over first-order change, {what} driven from rest"
        quantities[name] = _mixing(played, table, name, about) if len(table) else missing(f"too few drives: {about}")
    return Answer(quantities=quantities, traces={})


def parity(played: Played) -> Answer:
    """Split the response to drives mirrored about a centre into its even and its odd part."""
    table, centre = played.plan.parity, played.plan.centre
    names = {"odd_part": "odd", "even_part": "even"}
    if not len(table):
        return Answer(quantities={name: missing("the drive can't be mirrored") for name in names}, traces={})
    response_TK3R = played.at(table)
    plus, minus, middle = (response_TK3R[:, :, i] for i in range(3))
    random = stream(played.seed, "parity")
    even, odd = power((plus + minus) / 2 - middle, random), power((plus - minus) / 2, random)
    bottom = even.value + odd.value
    above = max(even.floor, odd.floor, played.floor_power(1.5))
    quantities = {}
    for name, part, coefficients in (("odd_part", odd, 0.5), ("even_part", even, 1.5)):
        about = f"{names[name]} part of the change about {centre}, RMS over that of both"
        if bottom <= above:
            quantities[name] = missing(f"{about}; nothing above the noise")
        else:
            found = amplitude(part, bottom, resolution=played.floor_power(coefficients), about=about)
            quantities[name] = _with_error(found, _root_ratio_error(part.each_T, odd.each_T + even.each_T))
    traces = {
        "odd_power": Trace(values=odd.each_T, unit=f"({played.unit})^2", about="power of the odd part, by drive"),
        "even_power": Trace(values=even.each_T, unit=f"({played.unit})^2", about="power of the even part, by drive"),
    }
    return Answer(quantities=quantities, traces=traces)


def _mixing(played: Played, table: Index, name: str, about: str) -> Quantity:
    response_TK4R = played.at(table)
    random = stream(played.seed, name)
    mixed = power(np.tensordot(response_TK4R, _MIXED, axes=(2, 0)), random)
    # rest, u, v, u + v: half the sum over both parts
    first = [power(response_TK4R[:, :, i] - response_TK4R[:, :, 0], random) for i in (1, 2)]
    bottom_T = (first[0].each_T + first[1].each_T) / 2
    bottom = float(bottom_T.mean())
    if bottom <= max(first[0].floor, first[1].floor, played.floor_power(2)):
        return missing(f"{about}; the first-order change is below the noise")
    found = amplitude(mixed, bottom, resolution=played.floor_power(4), about=about)
    return _with_error(found, _root_ratio_error(mixed.each_T, bottom_T))


def _shape(played: Played, change_BKSR: NDArray[np.complexfloating | np.float64]) -> Quantity:
    """Whether the response changes more than its size when the drive is scaled."""
    about = "change of the response's pattern over the smaller drives, RMS over the response"
    whole_BKR = change_BKSR[:, :, 0]
    norm_B = _dot(whole_BKR[:, 0], whole_BKR[:, 1])
    parts, sizes = [], []
    for s in range(1, change_BKSR.shape[2]):
        part_BKR = change_BKSR[:, :, s]
        ratio_B = (_dot(whole_BKR[:, 1], part_BKR[:, 0]) + _dot(whole_BKR[:, 0], part_BKR[:, 1])) / (2 * norm_B)
        parts.append(part_BKR - ratio_B[:, None, None] * whole_BKR)
        sizes.append(_dot(part_BKR[:, 0], part_BKR[:, 1]))
    # Scales of one drive share its full response: their sum is one contrast, so that contrasts stay independent.
    weight_S = [1 / math.sqrt(max(float(size.mean()), 1e-300)) for size in sizes]
    contrast_BKR = np.sum([w * part for w, part in zip(weight_S, parts, strict=True)], axis=0)
    found: Power = power(contrast_BKR, stream(played.seed, "shape"))
    bottom = float(len(parts)) ** 2
    noise = played.floor_power(sum(weight_S) ** 2)
    return amplitude(found, bottom, resolution=noise, about=about)


def _dark(played: Played) -> NDArray[np.complexfloating | np.float64]:
    """Mean response to the drive at rest."""
    tables = [table[:, :, 0].ravel() for table in (played.plan.groups, played.plan.pairs) if len(table)]
    places = np.concatenate([*tables, played.plan.memory[:, :, 0].ravel()])
    return np.asarray(played.at(places).mean(0))


def _dot(
    a: NDArray[np.complexfloating | np.float64], b: NDArray[np.complexfloating | np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.real(np.sum(a.conj() * b, axis=-1)))


def _slopes(x_S: NDArray[np.float64], y_BS: NDArray[np.float64]) -> NDArray[np.float64]:
    centred_S = x_S - x_S.mean()
    return np.asarray(y_BS @ centred_S / (centred_S @ centred_S))


def _tested(values: NDArray[np.float64], fine: float, about: str) -> Quantity:
    mean, error, p = mean_test(values)
    floor = max(error * float(stats.t.isf(ALPHA / 2, len(values) - 1)), 3 * fine)
    resolved = p < ALPHA and abs(mean) > 3 * fine
    return Quantity(value=mean, error=error, floor=floor, resolved=resolved, about=about)


def _root_ratio_error(top_T: NDArray[np.float64], bottom_T: NDArray[np.float64]) -> float:
    """Jackknife error of `sqrt(sum top / sum bottom)`."""
    tuples = len(top_T)
    ratio_T = np.maximum(top_T.sum() - top_T, 0) / np.maximum(bottom_T.sum() - bottom_T, 1e-300)
    return float(np.sqrt((tuples - 1) * np.sqrt(ratio_T).var()))


def _with_error(quantity: Quantity, error: float) -> Quantity:
    return Quantity(
        value=quantity.value,
        error=error,
        floor=quantity.floor,
        unit=quantity.unit,
        resolved=quantity.resolved,
        about=quantity.about,
    )
