"""Integrates a circuit of resistors, capacitors and diodes in time: implicitly, many rows at once.

A step is two stages of a diagonally implicit Runge-Kutta method with the same coefficient g = 1 - 1 / sqrt(2); the
second one is the result. Each stage is an equation `v = r + g h f(v)`. Its linear part is eliminated once for all steps
and rows, what is left are the voltages of the diodes, `w + M i(w) = w0`, which Newton's method finds for each row. The
equation is the gradient of a convex function, so there is one solution; a step into the steep part of the exponential
is shortened as circuit simulators do.

Axis letters: N rows; V nodes; U sources; K diodes; A rows that Newton's method still works on.

Source:
    R. Alexander, SIAM J. Numer. Anal. 14, 1006 (1977) (the method: order 2, L-stable); D. T. Yeh, J. S. Abel, J. O.
    Smith, IEEE Trans. Audio Speech Lang. Process. 18, 728 (2010) (elimination down to the nonlinear elements); L. W.
    Nagel, SPICE2, UCB/ERL M520, 1975, appendix 2 (limits on the voltage of a junction).
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from physnet.errors import MeasurementError

from .diode_circuit import Circuit, Floats

_STAGE = 1 - 1 / math.sqrt(2)
_LEAST = 16  # columns of a product: with fewer a row's last digits depend on its place
_CLOSE = 1e-5  # of n Vt: after that change half of its square is left, 2e-12 V


class DiodeSolver:
    """Steps a circuit whose sources are constant.

    A row's result has the same bits whatever the other rows are, as long as there are always as many.

    Args:
        circuit: What to solve.
        duration: s, > 0.
        steps: Equal ones, >= 1.
        iterations: Of Newton's method in a stage, at most.
    """

    order: ClassVar[int] = 2
    """Of accuracy in the step."""

    def __init__(self, circuit: Circuit, *, duration: float, steps: int, iterations: int = 100) -> None:
        self.circuit, self.duration, self.steps, self._iterations = circuit, duration, steps, iterations
        stage = _STAGE * duration / steps
        # v = keep C r + feed u - pull i, all of it from (C + g h G) v = C r + g h (B u - D i)
        whole_VV = np.diag(circuit.capacitance_V) + stage * circuit.conductance_VV
        inverse_VV = np.linalg.inv(whole_VV)
        self._keep_VV = _padded((inverse_VV * circuit.capacitance_V).T)
        self._feed_UV = _padded(stage * (inverse_VV @ circuit.source_VU).T)
        pull_VK = stage * inverse_VV @ circuit.diode_VK
        self._pull_KV = _padded(pull_VK.T)
        self._across_VK = _padded(circuit.diode_VK)
        self._mutual_KK = circuit.diode_VK.T @ pull_VK

    def run(self, source_NU: Floats, *, times: int = 1) -> Floats:
        """Switch the sources on at an empty circuit and wait.

        Args:
            source_NU: Their voltages, V.
            times: Equally spaced moments at which the nodes are read, the end last; a divisor of the steps.

        Returns:
            Voltages in V, shape `(n, times, nodes)`.

        Raises:
            MeasurementError: Newton's method found no solution; the message names row and step.
        """
        rows, nodes, diodes = len(source_NU), len(self.circuit.capacitance_V), len(self._mutual_KK)
        fed_NV = (source_NU @ self._feed_UV)[:, :nodes]
        v_NV, w_NK = np.zeros((rows, nodes)), np.zeros((rows, diodes))
        read = []
        for step in range(1, self.steps + 1):
            middle_NV, w_NK = self._solve(v_NV, fed_NV, w_NK, step)
            # v + (1 - g) h f(middle), where g h f(middle) = middle - v
            later_NV = v_NV + (1 - _STAGE) / _STAGE * (middle_NV - v_NV)
            v_NV, w_NK = self._solve(later_NV, fed_NV, w_NK, step)
            if step * times % self.steps == 0:
                read.append(v_NV)
        return np.stack(read, axis=1)

    def _solve(self, r_NV: Floats, fed_NV: Floats, w_NK: Floats, step: int) -> tuple[Floats, Floats]:
        """Solve the equation of a stage from a guess of the diodes' voltages."""
        nodes, diodes = r_NV.shape[1], w_NK.shape[1]
        linear_NV = (r_NV @ self._keep_VV)[:, :nodes] + fed_NV
        if not diodes:
            return linear_NV, w_NK
        scale, saturation = self.circuit.diode.scale, self.circuit.diode.saturation
        open_NK = (linear_NV @ self._across_VK)[:, :diodes]
        w_NK = w_NK.copy()
        left_A = np.arange(len(w_NK))
        for _ in range(self._iterations):
            w_AK = w_NK[left_A]
            grown_AK = saturation * np.exp(w_AK / scale)
            # One row at a time in both: a matrix product of many would round by their number.
            missing_AK = open_NK[left_A] - w_AK - np.einsum("ak,jk->aj", grown_AK - saturation, self._mutual_KK)
            slope_AKK = self._mutual_KK * (grown_AK / scale)[:, None, :]
            slope_AKK[:, range(diodes), range(diodes)] += 1.0
            change_AK = np.linalg.solve(slope_AKK, missing_AK[..., None])[..., 0]
            w_NK[left_A] = self._limited(w_AK, change_AK)
            left_A = left_A[~(np.abs(change_AK).max(1) <= _CLOSE * scale)]
            if not len(left_A):
                current_NK = saturation * np.expm1(w_NK / scale)
                return linear_NV - (current_NK @ self._pull_KV)[:, :nodes], w_NK
        raise MeasurementError(
            f"the diodes of row {left_A[0]} must find their voltages within {self._iterations} iterations, got a "
            f"change of {np.abs(change_AK).max():.3g} V in the last one, at step {step} of {self.steps} "
            f"({step * self.duration / self.steps:.3g} s). Take more steps."
        )

    def _limited(self, w_AK: Floats, change_AK: Floats) -> Floats:
        """Return the next voltages: on the steep part no more than the logarithm of what Newton asks for."""
        diode = self.circuit.diode
        next_AK = w_AK + change_AK
        steep_AK = (next_AK > diode.critical) & (np.abs(change_AK) > 2 * diode.scale)
        ratio_AK = np.where(steep_AK, change_AK / diode.scale, 0.0)
        up_AK = w_AK + diode.scale * np.log1p(np.maximum(ratio_AK, 0.0))
        first_AK = diode.scale * np.log(np.maximum(next_AK, diode.scale) / diode.scale)
        short_AK = np.where(w_AK > 0, np.where(ratio_AK > 0, up_AK, diode.critical), first_AK)
        return np.where(steep_AK, short_AK, next_AK)


def decay_error(steps: int) -> float:
    """Return the largest error of a decaying voltage after so many steps, relative to where it began, for any decay.

    A step of the method multiplies a part that decays as `exp(-x)` in all by `(1 + (1 - 2 g) z) / (1 - g z)^2`, z = -x
    over the steps. Returned is the largest distance of the power from the exponential: 0.054 over the square of many
    steps.
    """
    x = np.geomspace(1e-3, 1e4, 4000)
    z = -x / steps
    grown = ((1 + (1 - 2 * _STAGE) * z) / (1 - _STAGE * z) ** 2) ** steps
    return float(np.abs(grown - np.exp(-x)).max())


def _padded(matrix: Floats) -> Floats:
    """Return a matrix with zeros as further columns, contiguous."""
    return np.ascontiguousarray(np.pad(matrix, ((0, 0), (0, max(0, _LEAST - matrix.shape[1])))))
