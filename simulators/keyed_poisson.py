"""Poisson counts that depend on a seed, a stream, a pass number, a channel and the mean, and on nothing else.

Axis letters: N rows, one per pass; C channels; F faint channels of any row.
"""

from __future__ import annotations

import torch

from physnet.contracts import Passes
from physnet.errors import InputError

from .keyed import keyed_normal, keyed_uniform

_FAINT = 16.0  # counts: below, the distribution is inverted term by term


def keyed_poisson(seed: int, passes: Passes, mean_NC: torch.Tensor, *, stream: int = 0) -> torch.Tensor:
    """Return counts with a Poisson distribution of the given mean.

    Below a mean of 16 a uniform number is looked up in the distribution: exact but for the 2^-24 between uniform
    numbers, so that counts less likely than 6e-8 do not occur. From 16 on a normal number is put through the expansion
    of the quantile up to 1 / mean: the distribution function is met to 2e-5 (5e-6 from a mean of 50 on), mean to 5e-6
    and variance to 2e-4 of themselves. The normal number ends at 6.67. From 2^24 on, counts are rounded as `float32`
    is.

    Args:
        seed: 0 to 2^63 - 1.
        passes: Pass numbers, shape `(n,)`, `int64`.
        mean_NC: Mean counts, >= 0, shape `(n, channels)`; the counts are on its device.
        stream: As for `keyed_normal`; this and the next are used.

    Returns:
        Shape `(n, channels)`, `float32`, whole numbers.

    Raises:
        InputError: An argument is out of range.

    Source:
        M. B. Giles, Algorithm 955: approximation of the inverse Poisson cumulative distribution function, ACM Trans.
        Math. Softw. 42, 7 (2016) (the expansion, there for the GPU).
    """
    if not bool((mean_NC >= 0).all()):
        raise InputError(f"mean counts must be >= 0, got {float(mean_NC.min())}.")
    mean_NC = mean_NC.float()
    channels = mean_NC.shape[1]
    normal_NC = keyed_normal(seed, passes, channels, stream=stream, device=mean_NC.device)
    count_NC = _expanded(normal_NC, mean_NC.clamp_min(_FAINT))
    faint_NC = mean_NC < _FAINT
    if bool(faint_NC.any()):
        uniform_NC = keyed_uniform(seed, passes, channels, stream=stream + 1, device=mean_NC.device)
        count_NC[faint_NC] = _inverted(uniform_NC[faint_NC], mean_NC[faint_NC])
    return count_NC


def _expanded(normal_NC: torch.Tensor, mean_NC: torch.Tensor) -> torch.Tensor:
    """Return the quantiles, each operation rounded by itself."""
    root_NC = mean_NC.sqrt()
    square_NC = normal_NC * normal_NC
    value_NC = square_NC.div(270).add_(7 / 810).mul_(square_NC).sub_(8 / 405).div_(mean_NC)
    value_NC.sub_(square_NC.div(72).add_(1 / 36).mul_(normal_NC).div_(root_NC))
    value_NC.add_(square_NC.div_(6)).add_(1 / 3)
    value_NC.add_(root_NC.mul_(normal_NC)).add_(mean_NC)
    return value_NC.floor_().clamp_min_(0.0)


def _inverted(uniform_F: torch.Tensor, mean_F: torch.Tensor) -> torch.Tensor:
    """Return the smallest counts whose distribution function exceeds the uniform numbers."""
    uniform_F, mean_F = uniform_F.double(), mean_F.double()
    chance_F = (-mean_F).exp()  # of `count`, in each channel
    below_F = chance_F.clone()
    count_F = torch.zeros_like(mean_F)
    more_F = uniform_F >= below_F
    count = 0
    while bool(more_F.any()):
        count += 1
        count_F += more_F
        chance_F.mul_(mean_F).div_(count)
        below_F.add_(chance_F)
        more_F = uniform_F >= below_F
    return count_F.float()
