"""What depends on when a row was played: memory of the row before, and drift over the session.

Axis letters: P places in the play list; T probes; K replicates; S sentinels; N presentations of one sentinel; M random
permutations; R response channels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..seeding import stream
from .analysis import Answer, Played
from .quantities import ALPHA, Quantity, Trace, missing
from .statistics import amplitude, power

_PERMUTATIONS = 3999
_PER = 1000
"""Drifts are given over this many passes."""
_WALK_SPREAD = 0.45
"""One random walk tells its own strength to this relative error only: detrended Brownian motion, 15 sqrt(11/12600)."""


def memory(played: Played) -> Answer:
    """Compare the response to a probe after a weak and after a strong drive."""
    table = played.plan.memory
    about = "change of a row by the row before it, over the change of that row itself"
    if not table.size:
        return Answer(quantities={"memory": missing(about)}, traces={})
    # A row that was measured again was not preceded by what the plan says.
    clean_K = played.clean(table).all(0)
    table = table[:, clean_K]
    if table.shape[1] < 3:
        return Answer(quantities={"memory": missing(f"{about}; too many rows were measured again")}, traces={})
    response_TK4R = played.at(table)
    random = stream(played.seed, "memory")
    left = power(response_TK4R[:, :, 3] - response_TK4R[:, :, 1], random)
    cause = power(response_TK4R[:, :, 2] - response_TK4R[:, :, 0], random)
    if cause.value <= max(cause.floor, played.floor_power(2)):
        return Answer(quantities={"memory": missing(f"{about}; the strong drive is not seen")}, traces={})
    found = amplitude(left, cause.value, resolution=played.floor_power(2), about=about)
    size = math.sqrt(cause.value)
    along_TKR = (response_TK4R[:, :, 2] - response_TK4R[:, :, 0]).mean(1, keepdims=True) / size
    trace_TK = np.real(((response_TK4R[:, :, 3] - response_TK4R[:, :, 1]) * along_TKR.conj()).sum(-1)) / size
    traces = {
        "memory_trace": Trace(values=trace_TK, about="the change along that of the row before; (probe, replicate)")
    }
    return Answer(quantities={"memory": found}, traces=traces)


def drift(played: Played) -> Answer:
    """Follow sentinel drives through the session: a steady slope, and a random walk beside it.

    Significance of either is that among random permutations of the times: exact if nothing depends on time.
    """
    series = [_Series(played, places) for places in played.plan.sentinels]
    random = stream(played.seed, "drift")
    slopes = [one.permuted(one.slope_power, random) for one in series]
    walks = [one.permuted(one.neighbours, random) for one in series]
    count = len(series)
    size = math.sqrt(sum(one.size for one in series) / count)
    if not size > 0:
        return Answer(
            quantities={name: missing("no response") for name in ("drift", "gain_drift", "wander")}, traces={}
        )
    step = played.resolution * math.sqrt(2 * played.response_PR.shape[1]) / size / len(played.response_PR) * _PER

    slope, null_M = _mean(slopes)
    square = slope - sum(one.slope_noise for one in series) / count
    p_slope = (1 + int(np.count_nonzero(null_M >= slope))) / (1 + _PERMUTATIONS)
    walk, walk_null_M = _mean(walks)
    p_walk = (1 + int(np.count_nonzero(walk_null_M >= walk))) / (1 + _PERMUTATIONS)

    rate, null_rate = max(walk - float(walk_null_M.mean()), 0.0), float(walk_null_M.std())
    walk_seen = p_walk < ALPHA and math.sqrt(rate * _PER) / size > step
    wander = math.sqrt(rate * _PER) / size
    wander_floor = math.sqrt(max(float(np.quantile(walk_null_M - walk_null_M.mean(), 1 - ALPHA)), 0) * _PER) / size
    # The slope of a random walk over a session of length T has the variance 6/5 of its rate over T.
    false_slope = math.sqrt(1.2 * rate / len(played.response_PR)) * _PER / size if walk_seen else 0.0

    channels = played.response_PR.shape[1]
    # Of the mean over sentinels of squared norms b^2 + 2 b n + n^2: b goes with the response, n^2 with all channels.
    along = sum(one.size * one.slope_error(channels) ** 2 for one in series) / count**2 / size**2
    beside = sum(2 * channels * one.slope_error(channels) ** 4 for one in series) / count**2
    white = math.sqrt(along + beside / (4 * square)) * _PER / size if square > 0 else math.nan
    error = math.hypot(white, false_slope)
    value = math.sqrt(max(square, 0.0)) * _PER / size
    _, straight_M = _mean([one.permuted(one.residual_power, random) for one in series])
    null_floor = math.sqrt(max(float(np.quantile(straight_M - straight_M.mean(), 1 - ALPHA)), 0)) * _PER / size
    floor = max(null_floor, 3 * false_slope, step)
    seen = p_slope < ALPHA and value > max(3 * false_slope, step)
    gain = np.array([one.gain for one in series]) * _PER
    gain_errors = np.array([one.gain_error for one in series]) * _PER
    gain_error = math.hypot(float(np.sqrt(np.sum(gain_errors**2)) / count), false_slope)
    gain_value = float(gain.mean())
    gain_floor = max(3 * gain_error, step)
    per = f"per {_PER} passes, over the response"
    limit = floor if seen else math.hypot(value, floor)
    quantities = {
        "drift": Quantity(value=value, error=error, floor=limit, resolved=seen, about=f"steady change {per}"),
        "gain_drift": Quantity(
            value=gain_value,
            error=gain_error,
            floor=gain_floor,
            # Beside the permutation test, which is exact: three standard errors of a regression.
            resolved=seen and abs(gain_value) > gain_floor,
            about=f"the part of it along the response itself {per}",
        ),
        "wander": Quantity(
            value=wander,
            error=math.hypot(null_rate / (2 * rate), _WALK_SPREAD / 2) * wander if rate > 0 else math.nan,
            floor=max(wander_floor, step),
            resolved=walk_seen,
            about=f"random walk: deviation after {_PER} passes, over the response",
        ),
    }
    traces = {}
    for number, one in enumerate(series):
        traces[f"sentinel{number}_place"] = Trace(values=one.place_N, about="place in the session, in passes")
        traces[f"sentinel{number}_size"] = Trace(values=one.along_N, about="response along its mean, over its mean")
        traces[f"sentinel{number}_change"] = Trace(
            values=one.change_N, about="norm of the departure from the mean response, over its norm"
        )
    return Answer(quantities=quantities, traces=traces)


def _mean(parts: list[tuple[float, NDArray[np.float64]]]) -> tuple[float, NDArray[np.float64]]:
    """Mean over sentinels of a statistic in the true order, and in random ones."""
    return sum(part[0] for part in parts) / len(parts), np.mean([part[1] for part in parts], axis=0)


class _Series:
    """One sentinel through the session."""

    def __init__(self, played: Played, places: NDArray[np.int64]) -> None:
        response_NR = played.at(places)
        mean_R = response_NR.mean(0)
        self.place_N = places.astype(np.float64)
        self.size = float(np.sum(np.abs(mean_R) ** 2))
        departure_NR: NDArray[Any] = response_NR - mean_R
        self._gram_NN = np.real(departure_NR @ departure_NR.conj().T)
        norm = self.size or 1.0
        self.along_N = 1 + np.real(departure_NR @ mean_R.conj()) / norm
        self.change_N = np.sqrt(np.maximum(np.diag(self._gram_NN), 0) / norm)
        time_N = self.place_N - self.place_N.mean()
        self._spread = float(time_N @ time_N)
        self._weight_N = time_N / self._spread
        slope_N = self.along_N - 1
        self.gain = float(self._weight_N @ slope_N)
        residual_N = slope_N - self.gain * time_N
        self.gain_error = float(np.sqrt(residual_N @ residual_N / (len(places) - 2) / self._spread))
        # Residuals about the straight line, as products of each with each.
        hat_NN = np.eye(len(places)) - 1 / len(places) - np.outer(time_N, time_N) / self._spread
        self._residual_NN = hat_NN @ self._gram_NN @ hat_NN
        self._lag = float(np.diff(self.place_N).mean())

    def slope_power(self, order_MN: NDArray[np.int64]) -> NDArray[np.float64]:
        """Squared norm of the slope per pass, with the times in other orders."""
        weight_MN = self._weight_N[order_MN]
        return np.asarray(((weight_MN @ self._gram_NN) * weight_MN).sum(1))

    def residual_power(self, order_MN: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same of what is left about the straight line: what a slope must exceed."""
        weight_MN = self._weight_N[order_MN]
        return np.asarray(((weight_MN @ self._residual_NN) * weight_MN).sum(1))

    def neighbours(self, order_MN: NDArray[np.int64]) -> NDArray[np.float64]:
        """Variance per pass of a random walk, with the residuals in other orders.

        What is left of Brownian motion of unit rate about its own straight line has the mean square n / 15, half the
        mean square of its steps is 1 / 2; white noise has the same in both, and drops out of the difference.
        """
        count = order_MN.shape[1]
        square = np.trace(self._residual_NN) / (count - 2)
        diagonal_N = np.diag(self._residual_NN)
        first_MN, second_MN = order_MN[:, :-1], order_MN[:, 1:]
        steps_M = (diagonal_N[first_MN] + diagonal_N[second_MN] - 2 * self._residual_NN[first_MN, second_MN]).mean(
            1
        ) / 2
        return np.asarray((square - steps_M) / (count / 15 - 0.5) / self._lag)

    @property
    def slope_noise(self) -> float:
        """What the scatter about the straight line adds to the squared norm of the slope."""
        return float(np.trace(self._residual_NN)) / (len(self.place_N) - 2) / self._spread

    def slope_error(self, channels: int) -> float:
        """Standard error of the slope's norm, with the noise shared evenly between all directions of the response."""
        return math.sqrt(max(self.slope_noise, 0.0) / max(channels, 1))

    def permuted(self, statistic: Any, random: np.random.Generator) -> tuple[float, NDArray[np.float64]]:
        """Return a statistic in the true order, and in random ones."""
        count = len(self.place_N)
        order_MN = random.permuted(np.tile(np.arange(count), (_PERMUTATIONS, 1)), axis=1)
        return float(statistic(np.arange(count)[None])[0]), statistic(order_MN)
