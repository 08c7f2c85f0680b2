"""Reading the nonce of a row: which pilot tones arrived, each against a threshold of its own.

A tone is on when its amplitude at the detector is above half of what the all-on pilot gave there. Amplitudes, not
phases: a medium that drifts turns phases first. A linear medium, however reverberant, changes each tone by a factor,
which the calibration measured, once it has settled; before, tones leak into each other, which `pilot_settle` is for.
In a nonlinear medium tones make others: an `off` tone receives products of the ones that are on, an `on` tone is
compressed by them, and both depend on the word, so that thresholds from the all-on pilot are wrong. Then lower
`pilot_amplitude` into the linear range, and choose tones of which none is at `2 a - b` or `a + b - c` of others.
`confirm` tells whether it was enough.

**Errors.** Let `z` be the noise of a tone in units of its standard deviation per quadrature, normal, and `d` the
distance from the threshold to the level of `on`, and to that of `off`. By the triangle inequality a level `|a + z|` is
on the wrong side only if `|z| > d`. Over `m` channels `|z|^2` is chi-squared with `2 m` degrees of freedom, so a tone
is misread with a probability of at most

    e(m, d) = exp(-d^2 / 2) sum_{j < m} (d^2 / 2)^j / j!

and a row with at most the sum over its tones. A misread row is measured again. It passes as another word only if an
even number of tones, half of them in each direction, is misread: two at least, e^2.

Axis letters: N rows; C channels of the detector; K pilot tones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError

from .words import from_bits, to_bits

_FEWEST_ROWS = 8  # the noise of 8 rows has 14 degrees of freedom: it is known within 20 %
_FINEST = 1e-4  # of the level of `on`: rows of a simulation may not differ at all, and no real noise is below it


@dataclass(frozen=True, kw_only=True, eq=False)
class PilotReading:
    """What the pilots of rows say.

    Args:
        words_N: The word of each row, valid or not.
        margin_N: Distance of the tone nearest to its threshold, in standard deviations of its noise.
    """

    words_N: NDArray[np.int64]
    margin_N: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PilotCalibration:
    """How each pilot tone is read.

    Args:
        tones: In Hz.
        weight_CK: 1 / V^2: what squares of amplitudes are added with, so that a level is in standard deviations of its
            noise per quadrature; 0 for channels that are not used.
        on_K: Level of each tone when all are on.
        off_K: Level of each tone when all are off.
        error_K: Probability, at most, that a tone is misread.
    """

    tones: tuple[float, ...]
    weight_CK: NDArray[np.float64]
    on_K: NDArray[np.float64]
    off_K: NDArray[np.float64]
    error_K: NDArray[np.float64]

    @property
    def threshold(self) -> NDArray[np.float64]:
        """Half-way between on and off, in standard deviations; one a tone."""
        return (self.on_K + self.off_K) / 2

    @property
    def channel(self) -> NDArray[np.int64]:
        """The channel that each tone is read from, -1 where it is all of them; one a tone."""
        used_CK = self.weight_CK > 0
        return np.where(used_CK.sum(0) == 1, used_CK.argmax(0), -1)

    @property
    def row_error(self) -> float:
        """Probability, at most, that a row is misread, and so measured again."""
        return float(self.error_K.sum())

    @property
    def nominal_margin(self) -> float:
        """Margin of a row without noise."""
        return float((self.on_K - self.off_K).min() / 2)

    def read(self, level_NCK: NDArray[np.complex128]) -> PilotReading:
        """Return the words of rows.

        Args:
            level_NCK: Complex amplitudes in V, as `ToneCodec.pilot_levels` gives them.
        """
        level_NK = _levels(level_NCK, self.weight_CK)
        return PilotReading(
            words_N=from_bits(level_NK > self.threshold),
            margin_N=np.abs(level_NK - self.threshold).min(1),
        )

    def confirm(self, level_NCK: NDArray[np.complex128], words_N: NDArray[np.int64]) -> float:
        """Make sure that words are read as they were played: a few random ones, right after the calibration.

        Args:
            level_NCK: As for `read`.
            words_N: What was played.

        Returns:
            The smallest margin, in standard deviations.

        Raises:
            MeasurementError: A word was misread, or half the nominal margin is gone: the medium is not linear at this
                amplitude, or a pilot rings into its own window.
        """
        level_NK = _levels(level_NCK, self.weight_CK)
        bits_NK = to_bits(words_N, len(self.tones))
        # Distance to the threshold, positive where it is read as it was played. Its mean over rows, not its least, is
        # held against the nominal one: noise takes 1.25 standard deviations of it at the most where a tone is off.
        distance_NK = np.where(bits_NK, 1, -1) * (level_NK - self.threshold)
        half_K = (self.on_K - self.off_K) / 2
        for k, tone in enumerate(self.tones):
            misread = int((distance_NK[:, k] <= 0).sum())
            means = [distance_NK[rows, k].mean() for rows in (bits_NK[:, k], ~bits_NK[:, k]) if rows.any()]
            if misread or not min(means, default=np.inf) >= half_K[k] / 2:
                raise MeasurementError(
                    f"the pilot tone of {tone:g} Hz must be read as it was played whatever the others do, and was "
                    f"misread in {misread} of {len(words_N)} rows; its mean distance from the threshold was "
                    f"{min(means, default=np.nan):.3g} standard deviations instead of {half_K[k]:.3g}. Lower "
                    "pilot_amplitude where the medium is nonlinear, choose other pilot_tones, or make pilot_settle or "
                    "guard longer."
                )
        return float(distance_NK.min(initial=np.inf))


def calibrate_pilot(
    on_NCK: NDArray[np.complex128],
    off_NCK: NDArray[np.complex128],
    *,
    tones: tuple[float, ...],
    separation: float = 10.0,
) -> PilotCalibration:
    """Find out how each pilot tone arrives, and from which channel it is best read.

    Each tone is read from the one channel, or from the sum of squares over all of them in units of their noise, that is
    misread least often.

    Args:
        on_NCK: Complex amplitudes of 8 rows or more with every tone on, in V.
        off_NCK: The same with every tone off, and no drive.
        tones: In Hz, for messages.
        separation: Least distance of on from off in standard deviations of the noise per quadrature, of one channel, or
            as rarely misread as that. At 10 a tone is misread in 4 of 10^6 rows at most.

    Raises:
        MeasurementError: A tone does not stand out so far, or there are too few rows.
    """
    rows = min(len(on_NCK), len(off_NCK))
    if rows < _FEWEST_ROWS:
        raise MeasurementError(f"a pilot must be calibrated with {_FEWEST_ROWS} rows of each kind or more, got {rows}.")
    if not (np.isfinite(on_NCK).all() and np.isfinite(off_NCK).all()):
        raise MeasurementError("a pilot must be calibrated with finite records. Look at what the detector records.")
    on_CK, off_CK = np.abs(on_NCK.mean(0)), np.abs(off_NCK.mean(0))
    # The larger of the two: an amplitude that jitters is noise of `on` alone.
    sigma_CK = np.maximum(np.maximum(_sigma(on_NCK), _sigma(off_NCK)), _FINEST * on_CK)
    every_CK = np.where(sigma_CK > 0, 1 / np.where(sigma_CK > 0, sigma_CK, 1) ** 2, 0)
    best: PilotCalibration | None = None
    for channel in range(-1, on_NCK.shape[1]):
        weight_CK = every_CK if channel < 0 else every_CK * (np.arange(len(every_CK)) == channel)[:, None]
        other = _with_weights(weight_CK, on_CK, off_CK, tones)
        best = other if best is None else _better(other, best)
    assert best is not None
    _check_separation(best, separation)
    return best


def misread_probability(half: float, channels: int) -> float:
    """Return e(m, d) of the module's docstring.

    Args:
        half: Distance of the level from the threshold in standard deviations per quadrature, d.
        channels: How many are added, m.
    """
    if not half > 0:
        return 1.0
    x = half**2 / 2
    terms = [math.exp(j * math.log(x) - math.lgamma(j + 1) - x) for j in range(max(channels, 1))]
    return min(1.0, sum(terms))


def _levels(level_NCK: NDArray[np.complex128], weight_CK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels in standard deviations, shape `(n, pilot tones)`."""
    return np.asarray(np.sqrt((np.abs(level_NCK) ** 2 * weight_CK).sum(1)))


def _sigma(level_NCK: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the standard deviation per quadrature."""
    return np.asarray(level_NCK.std(axis=0, ddof=1) / math.sqrt(2))


def _with_weights(
    weight_CK: NDArray[np.float64], on_CK: NDArray[np.float64], off_CK: NDArray[np.float64], tones: tuple[float, ...]
) -> PilotCalibration:
    on_K, off_K = (np.sqrt((level_CK**2 * weight_CK).sum(0)) for level_CK in (on_CK, off_CK))
    used_K = (weight_CK > 0).sum(0)
    error_K = [misread_probability(half, m) for half, m in zip((on_K - off_K) / 2, used_K, strict=True)]
    return PilotCalibration(tones=tones, weight_CK=weight_CK, on_K=on_K, off_K=off_K, error_K=np.array(error_K))


def _better(one: PilotCalibration, other: PilotCalibration) -> PilotCalibration:
    """Return the one or the other, tone by tone, whichever is misread less often."""
    # Both may be 0 in floating point: then the wider separation wins.
    gain_K = (one.on_K - one.off_K) - (other.on_K - other.off_K)
    first_K = (one.error_K < other.error_K) | ((one.error_K == other.error_K) & (gain_K > 0))
    return PilotCalibration(
        tones=one.tones,
        weight_CK=np.where(first_K, one.weight_CK, other.weight_CK),
        on_K=np.where(first_K, one.on_K, other.on_K),
        off_K=np.where(first_K, one.off_K, other.off_K),
        error_K=np.where(first_K, one.error_K, other.error_K),
    )


def _check_separation(found: PilotCalibration, separation: float) -> None:
    weak = [k for k in range(len(found.tones)) if not found.error_K[k] <= misread_probability(separation / 2, 1)]
    if weak:
        listed = ", ".join(f"{found.tones[k]:g} Hz ({found.on_K[k] - found.off_K[k]:.3g})" for k in weak)
        raise MeasurementError(
            f"a pilot tone must stand out by {separation:g} standard deviations of the noise between on and off, and "
            f"these do not: {listed}. Choose other pilot_tones, or raise pilot_amplitude or averaging.shots."
        )
