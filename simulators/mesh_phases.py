"""From the phases that are written to the matrix of a mesh: drivers, heaters, and one column after the other.

Axis letters: P ports; M interferometers; H phase shifters, those of theta and then those of phi.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from physnet.errors import SpecError

from .mesh_decomposition import MeshLayout

_TURN = 2 * math.pi


class PhaseShifters:
    """Drivers of a given number of bits, and heaters that warm each other.

    A written phase is rounded to the nearest of `2^bits` levels over a turn. Then each heater adds to every other one
    the share `crosstalk / d^2` of its own phase, `d` the distance in units of the smallest one: columns hold `phi` and,
    one unit behind, `theta`; ports are one unit apart. Linear crosstalk is how it is measured and compensated; the fall
    with distance is ours.

    Args:
        layout: Where the interferometers are.
        bits: Of the drivers; None for no rounding.
        crosstalk: Share of a heater's phase that is added to one at distance 1, >= 0 and < 1.
        name: Of the system, for messages.

    Raises:
        SpecError: An argument is out of its range.

    Source:
        M. Milanizadeh et al., Canceling thermal cross-talk effects in photonic integrated circuits, J. Lightwave
        Technol. 37, 1325 (2019) (a matrix of coefficients between heaters).
    """

    def __init__(self, layout: MeshLayout, *, bits: int | None, crosstalk: float, name: str = "mesh") -> None:
        if bits is not None and not 1 <= bits <= 24:
            raise SpecError(f"phase_bits of {name} must be 1 to 24, got {bits}. Leave it out for no rounding.")
        if not 0 <= crosstalk < 1:
            raise SpecError(f"phase_crosstalk of {name} must be >= 0 and < 1 (a share of the phase), got {crosstalk}.")
        self._step = None if bits is None else _TURN / (1 << bits)
        self._heating_HH = None
        if crosstalk:
            along_H = np.concatenate((2 * layout.column_M + 1, 2 * layout.column_M))
            across_H = np.concatenate((layout.port_M, layout.port_M))
            square_HH = np.subtract.outer(along_H, along_H) ** 2 + np.subtract.outer(across_H, across_H) ** 2
            own_HH = np.eye(len(along_H))
            self._heating_HH = torch.from_numpy(own_HH + crosstalk * (1 - own_HH) / np.maximum(square_HH, 1))

    def __call__(self, theta_M: torch.Tensor, phi_M: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the phases that the light sees; a gradient passes the rounding as if there were none."""
        phase_H = torch.cat((theta_M, phi_M)).double()
        if self._step is not None:
            phase_H = _Rounded.apply(phase_H, self._step)  # type: ignore[no-untyped-call]
        if self._heating_HH is not None:
            phase_H = self._heating_HH @ phase_H
        theta_M, phi_M = phase_H.chunk(2)
        return theta_M, phi_M


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, step: float) -> torch.Tensor:
        return (value / step).round() * step

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None]:
        return grads[0], None


def transfer(layout: MeshLayout, theta_M: torch.Tensor, phi_M: torch.Tensor, coupler_2M: torch.Tensor) -> torch.Tensor:
    """Return the matrix of a mesh with its graph, `complex128`, shape `(ports, ports)`.

    Args:
        layout: Where the interferometers are.
        theta_M: Phases between the couplers, in rad.
        phi_M: Phases before them, in rad.
        coupler_2M: Angles of the first and the second couplers, `[[cos, i sin], [i sin, cos]]`;
            pi / 4 halves the power.
    """
    *_, last_PP = columns(layout, theta_M, phi_M, coupler_2M)
    return last_PP


def columns(
    layout: MeshLayout, theta_M: torch.Tensor, phi_M: torch.Tensor, coupler_2M: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Yield the matrix from the inputs to behind each column, arguments as for `transfer`; the last one is that."""
    inner_M, outer_M = (torch.polar(torch.ones_like(phase), phase) for phase in (theta_M, phi_M))
    (cos1_M, cos2_M), (sin1_M, sin2_M) = coupler_2M.cos(), coupler_2M.sin()
    # The elements of B2 diag(e^{i theta}, 1) B1 diag(e^{i phi}, 1).
    straight_M = outer_M * (cos1_M * cos2_M * inner_M - sin1_M * sin2_M)
    up_M = 1j * (sin1_M * cos2_M * inner_M + cos1_M * sin2_M)
    down_M = 1j * outer_M * (cos1_M * sin2_M * inner_M + sin1_M * cos2_M)
    along_M = cos1_M * cos2_M - sin1_M * sin2_M * inner_M
    field_PP = torch.eye(layout.ports, dtype=torch.complex128)
    for column in range(int(layout.column_M.max()) + 1):
        here = torch.from_numpy(np.flatnonzero(layout.column_M == column))
        upper = torch.from_numpy(layout.port_M)[here]
        above_P, below_P = field_PP[upper], field_PP[upper + 1]
        new_above_P = straight_M[here, None] * above_P + up_M[here, None] * below_P
        new_below_P = down_M[here, None] * above_P + along_M[here, None] * below_P
        field_PP = field_PP.index_copy(0, torch.cat((upper, upper + 1)), torch.cat((new_above_P, new_below_P)))
        yield field_PP
