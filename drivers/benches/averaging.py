"""Shots of the same rows, averaged, and how far they spread.

Axis letters: S shots; N rows; C channels of the detector; T samples; R responses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import ResponseError, SpecError

from .tone_options import Response


def average_traces(volts_SNCT: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Average traces, to be decoded afterwards: coherent averaging.

    Noise that is not locked to the trigger falls with the root of the shots, in volts, before anything is squared: what
    it adds to an energy or to the square of an amplitude falls as `1 / shots`. What is locked to the trigger stays. A
    trigger that jitters by `j` s (normal) weakens a tone to `exp(-(2 pi f j)^2 / 2)` of itself: then average responses.

    Args:
        volts_SNCT: Records of each shot in V.

    Returns:
        The mean trace, and the standard deviation of one shot's, as `spread` has it, both `(n, channels, samples)`. The
        spread of the responses is that of each shot's, decoded alone.

    Raises:
        ResponseError: There are no shots.
    """
    _check(volts_SNCT)
    return np.asarray(volts_SNCT.mean(0)), spread(volts_SNCT)


def average_responses(
    response_SNR: NDArray[Any], response: Response = "lock_in"
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Average responses of shots that were decoded one by one: incoherent averaging.

    Of an energy or an amplitude, only the scatter falls with the root of the shots. The energy of the noise is in every
    shot and stays in the mean, however many there are: take it off with `subtract_dark`. A lock-in is linear: its
    complex mean is that of coherent averaging. Phases are averaged on the circle.

    Args:
        response_SNR: Responses of each shot.
        response: What they are.

    Returns:
        The mean, and the standard deviation of one shot's, as `spread` has it.

    Raises:
        ResponseError: There are no shots.
    """
    _check(response_SNR)
    mean_NR = np.angle(np.exp(1j * response_SNR).mean(0)) if response == "phase" else response_SNR.mean(0)
    return np.asarray(mean_NR), spread(response_SNR, response)


def spread(shots: NDArray[Any], response: Response = "lock_in") -> NDArray[np.float64] | None:
    """Return the standard deviation of one shot, `shots - 1` in its denominator; None for one shot, which has none.

    That of the mean is smaller by the root of the shots. Of complex values it is that of the distance from their mean.
    Phases deviate by at most pi from theirs, which lies on the circle.

    Args:
        shots: Traces or responses, one shot after the other along the first axis.
        response: What they are.
    """
    if len(shots) < 2:
        return None
    if response != "phase":
        return np.asarray(shots.std(axis=0, ddof=1))
    phasors = np.exp(1j * shots)
    deviations = np.angle(phasors * np.conj(phasors.mean(0)))
    return np.asarray(np.sqrt((deviations**2).sum(0) / (len(shots) - 1)))


def subtract_dark(
    response_NR: NDArray[Any], dark_NR: NDArray[Any], response: Response = "energy"
) -> NDArray[np.float64]:
    """Take off what silence gives: the energy of the noise, which averaging responses leaves.

    The noise is independent of the signal, so energies add up, and their difference has the right mean. It scatters
    below 0 where there is no signal; that is kept, for a cut at 0 would be a bias of its own. An amplitude is taken off
    in squares, and is 0 where the square would be negative.

    Args:
        response_NR: Responses of rows.
        dark_NR: Responses of rows of silence in the same burst, averaged in the same way.
        response: What they are: `energy` or `amplitude`.

    Raises:
        SpecError: The responses are complex or phases: noise adds nothing to their mean.
        ResponseError: There are no dark rows, or they have other responses.
    """
    if response not in ("energy", "amplitude"):
        raise SpecError(f"dark rows must be taken from 'energy' or 'amplitude', got {response!r}. Leave it out there.")
    if not len(dark_NR) or dark_NR.shape[1:] != response_NR.shape[1:]:
        raise ResponseError(
            f"dark rows must be one or more with {response_NR.shape[1:]} responses, got shape {dark_NR.shape}."
        )
    if response == "energy":
        return np.asarray(response_NR - dark_NR.mean(0))
    return np.asarray(np.sqrt(np.maximum(response_NR**2 - (dark_NR**2).mean(0), 0)))


def _check(shots: NDArray[Any]) -> None:
    if shots.ndim < 2 or not len(shots):
        raise ResponseError(f"shots must be one or more, the first axis of what is averaged, got shape {shots.shape}.")
