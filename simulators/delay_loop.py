"""One nonlinear element with a low pass and a long delay: the delay differential equation of a time-multiplexed node.

    tau dx/dt = -x(t) + F(x(t - T) + J(t))

The delay is a whole number of steps, so that what is fed back is known at both ends of every step of the next round.
Between them it is taken as linear, and the low pass is integrated exactly: order 2, stable for any step. The input `J`
is constant over a step and may jump between two. All steps of a round are computed at once: the low pass is a scan.

Axis letters: N rows; T points in time; K steps of a round.

Source:
    L. Appeltant et al., Nat. Commun. 2, 468 (2011) (time multiplexing; Mackey-Glass); L. Larger et al., Opt. Express
    20, 3241 (2012) (Ikeda); M. Hochbruck, A. Ostermann, Acta Numerica 19, 209 (2010), section 2 (integrator).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.errors import SpecError


class Nonlinearity(Protocol):
    """The element in the loop."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return F of each number."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ikeda:
    """`beta sin^2(x + phi)`: an interferometer biased at `phi`, driven by the fed-back signal.

    A fixed point solves `x = beta sin^2(x + phi)`; its slope is `beta sin(2 (x + phi))`.

    Args:
        beta: Feedback strength, > 0.
        phi: Bias in rad.

    Raises:
        SpecError: An argument is out of its range.
    """

    beta: float
    phi: float

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf or not math.isfinite(self.phi):
            raise SpecError(f"beta must be > 0 and phi finite, got {self.beta} and {self.phi} rad.")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return F of each number."""
        return self.beta * torch.sin(x + self.phi).square()


@dataclass(frozen=True, kw_only=True)
class MackeyGlass:
    """`eta x / (1 + |x|^p)`: an amplifier whose gain falls with its input.

    Beside 0 there is a fixed point `(eta - 1)^(1 / p)` for `eta > 1`; its slope is `p / eta - p + 1`.

    Args:
        eta: Gain for weak signals, > 0.
        p: Exponent, >= 1.

    Raises:
        SpecError: An argument is out of its range.
    """

    eta: float
    p: float

    def __post_init__(self) -> None:
        if not 0 < self.eta < math.inf or not 1 <= self.p < math.inf:
            raise SpecError(f"eta must be > 0 and p >= 1, got {self.eta} and {self.p}.")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return F of each number."""
        return self.eta * x / (1 + x.abs().pow(self.p))


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopNumerics:
    """How well drives of your choice are computed.

    Args:
        step_error_N: Largest error of a row's responses, from 4/3 of the change when each step is halved.
        linear_error: What taking the fed-back signal as linear over a step leaves out, relative, at most.
        steps_per_time_constant: Steps in `tau`.
    """

    step_error_N: NDArray[np.float64]
    linear_error: float
    steps_per_time_constant: float


class DelayLoop:
    """Integrates the equation from a history.

    Args:
        element: F.
        tau: Time constant of the low pass in s, > 0.
        step: Of time in s, > 0.
        delay: In steps, >= 1.

    Raises:
        SpecError: An argument is out of its range, or the step is longer than half of `tau`.
    """

    order: ClassVar[int] = 2
    """Of accuracy in the step."""

    def __init__(self, element: Nonlinearity, *, tau: float, step: float, delay: int) -> None:
        if not 0 < tau < math.inf or delay < 1:
            raise SpecError(f"tau must be > 0 s and delay >= 1 step, got {tau} s and {delay} steps.")
        if not 0 < step <= tau / 2:
            raise SpecError(
                f"the time step must be > 0 s and at most tau / 2 = {tau / 2:.3g} s, got {step:.3g} s. More substeps "
                "of a virtual node make it shorter."
            )
        self.element, self.step, self.delay = element, step, delay
        share = self._share = step / tau
        self._kept = math.exp(-share)
        mean = -math.expm1(-share) / share  # of exp(-s / tau) over a step
        self._weights = mean - self._kept, 1 - mean

    @property
    def linear_error(self) -> float:
        """What taking the fed-back signal as linear over a step leaves out, relative, for one that changes in `tau`.

        Interpolation errs by `step^2 / 8` of the second derivative.
        """
        return self._share**2 / 8

    def rest(self, rows: int) -> torch.Tensor:
        """Return the history of a loop that was open: zeros, shape `(delay + 1, rows)`, `float64`."""
        return torch.zeros(self.delay + 1, rows, dtype=torch.float64)

    def run(self, history_TN: torch.Tensor, input_KN: torch.Tensor) -> torch.Tensor:
        """Integrate over any number of steps.

        Args:
            history_TN: `x` at the last `delay + 1` points, the present one included.
            input_KN: `J` of each step.

        Returns:
            `x` at the points of the history and after each step, shape `(delay + 1 + steps, n)`.
        """
        parts = [history_TN]
        past_TN = history_TN
        for first in range(0, len(input_KN), self.delay):
            round_KN = input_KN[first : first + self.delay]
            count = len(round_KN)
            early, late = (self.element(past_TN[k : k + count] + round_KN) for k in (0, 1))
            parts.append(self._low_pass(past_TN[-1], early * self._weights[0] + late * self._weights[1]))
            past_TN = torch.cat((past_TN[count:], parts[-1]))
        return torch.cat(parts)

    def _low_pass(self, now_N: torch.Tensor, added_KN: torch.Tensor) -> torch.Tensor:
        """Return `x` after each step of `x -> kept x + added`, by doubling: sums over 1, 2, 4 and more steps."""
        x_KN = torch.cat(((added_KN[0] + now_N * self._kept)[None], added_KN[1:]))
        shift, kept = 1, self._kept
        while shift < len(x_KN) and kept > 1e-30:
            # Product and sum apart: a fused multiply-add rounds otherwise at the edge of a vector than inside.
            x_KN = torch.cat((x_KN[:shift], x_KN[shift:] + x_KN[:-shift] * kept))
            shift, kept = 2 * shift, kept * kept
        return x_KN
