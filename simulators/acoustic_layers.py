"""Absorbing layers for the plain torch solver.

C-PML after Pasalic and McGarry: along each axis u'' becomes u'' + psi' + zeta with
    psi <- a psi + b u',    zeta <- a zeta + b (u'' + psi'),
where a psi is what is remembered (`phi`),
and (b u')' is written as b u'' + b' u', which needs no wider stencil than u'' itself. The layers at both ends of an
axis are one strided view of the grid, so that an operation serves both, and differences are left without the weight of
their first neighbours, which goes into the coefficients. Both save passes over the memory.

Axis letters: N rows; H ends of an axis; Y, X cells of the padded grid, or of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .acoustic_media import Scheme


class TorchLayers:
    """The layers of one axis, for a number of rows.

    Args:
        scheme: One time step.
        axis: 0 for y, 1 for x.
        scratch: Three tensors of the padded grid, shape `(y, x, n)`, contiguous, for the rows that are stepped; what
            they hold is lost at every step.
        tensor: Turns NumPy arrays into tensors of the solver's type.
    """

    def __init__(
        self, scheme: Scheme, axis: int, scratch: list[torch.Tensor], tensor: Callable[[Any], torch.Tensor]
    ) -> None:
        grid = scheme.grid
        self._axis, self._stencil, self._slabs = axis, grid.stencil, grid.slabs(axis)
        # The layers of an axis are equally wide.
        self._wide, self._padded, rows = self._slabs[0].stop - self._slabs[0].start, grid.padded, scratch[0].shape[2]
        fast = float(scheme.medium.speed_YX.max())
        profiles = grid.absorber(axis, time_step=scheme.time_step, speed=fast, frequency=scheme.frequency)
        a_HK, b_HK, slope_HK = (np.stack([profile[slab] for slab in self._slabs]) for profile in profiles)

        def spread(values_HK: Any) -> torch.Tensor:
            # Along x once for every row: then a layer's part of a line is one stretch of memory in all operands.
            if axis == 0:
                return tensor(values_HK[:, :, None, None])
            return tensor(np.repeat(values_HK[:, None, :, None], rows, axis=-1))

        w, f = grid.stencil.second[0], grid.stencil.first[0]
        self._a, self._rise, self._slope = spread(a_HK), spread(b_HK * w / f), spread(slope_HK)
        self._memory, self._slant = spread(b_HK * w), spread(b_HK * f)
        weight = self._ends(tensor(scheme.weight_P.reshape(*grid.padded, 1)))
        alike = bool(weight.amin() == weight.amax())
        self._gain: Any = float(weight.flatten()[0]) if alike else weight.repeat(1, 1, 1, rows)
        self._zeta = weight.new_zeros((*weight.shape[:3], rows))
        around = list(self._zeta.shape)
        around[1 + axis] += 2 * grid.halo
        self._phi = self._zeta.new_zeros(around)
        self._scratch = [part.flatten()[: self._zeta.numel()].view(self._zeta.shape) for part in scratch]

    def load(self, phi_YXN: torch.Tensor, zeta_YXN: torch.Tensor) -> None:
        """Take the memory from the padded grid."""
        self._middle(0).copy_(self._ends(phi_YXN))
        self._zeta.copy_(self._ends(zeta_YXN))

    def save(self, phi_YXN: torch.Tensor, zeta_YXN: torch.Tensor) -> None:
        """Write the memory to the padded grid."""
        self._ends(phi_YXN).copy_(self._middle(0))
        self._ends(zeta_YXN).copy_(self._zeta)

    def bound(self, now_YXN: torch.Tensor, new_YXN: torch.Tensor) -> Callable[[], None]:
        """Return what adds to `new`, which holds the plain step, what the layers change; for these two fields."""
        w, f = self._stencil.second, self._stencil.first
        first_ring, *others = [
            (self._ends(now_YXN, k), self._ends(now_YXN, -k), self._middle(k), self._middle(-k))
            for k in range(1, self._stencil.halo + 1)
        ]
        ratios = [(by_w / w[0], by_f / f[0]) for by_w, by_f in zip(w[1:], f[1:], strict=True)]
        centre, new, phi, zeta = self._ends(now_YXN), self._ends(new_YXN), self._middle(0), self._zeta
        second, first, change = self._scratch

        def absorb() -> None:
            up, down, phi_up, phi_down = first_ring
            torch.add(up, down, out=second)
            torch.sub(up, down, out=first)
            torch.sub(phi_up, phi_down, out=change)
            for (up, down, phi_up, phi_down), (by_w, by_f) in zip(others, ratios, strict=True):
                second.add_(up, alpha=by_w).add_(down, alpha=by_w)
                first.add_(up, alpha=by_f).sub_(down, alpha=by_f)
                change.add_(phi_up, alpha=by_f).sub_(phi_down, alpha=by_f)
            second.sub_(centre, alpha=2 * sum(w) / w[0])
            change.addcmul_(self._rise, second).addcmul_(self._slope, first)
            second.add_(change, alpha=f[0] / w[0])
            zeta.mul_(self._a).addcmul_(self._memory, second)
            phi.addcmul_(self._slant, first).mul_(self._a)
            torch.add(zeta, change, alpha=f[0], out=change)
            if isinstance(self._gain, torch.Tensor):
                new.addcmul_(self._gain, change)
            else:
                new.add_(change, alpha=self._gain)

        return absorb

    def _ends(self, values_YXN: torch.Tensor, by: int = 0) -> torch.Tensor:
        """Return a view of the layers in a padded grid, shifted by some cells along their axis, `(h, y, x, n)`."""
        halo, axis = self._stencil.halo, self._axis
        strides, shape, first = values_YXN.stride(), list(values_YXN.shape), [halo, halo]
        shape[1 - axis] -= 2 * halo
        shape[axis], first[axis] = self._wide, self._slabs[0].start + by
        gap = (self._slabs[-1].start - self._slabs[0].start) * strides[axis]
        offset = values_YXN.storage_offset() + first[0] * strides[0] + first[1] * strides[1]
        return values_YXN.as_strided((len(self._slabs), *shape), (gap, *strides), offset)

    def _middle(self, by: int) -> torch.Tensor:
        """Return `phi` without the cells around the layers, or shifted by some into them."""
        return self._phi.narrow(1 + self._axis, self._stencil.halo + by, self._wide)
