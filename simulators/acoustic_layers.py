"""Absorbing layers for the plain torch solver.

C-PML after Pasalic and McGarry: along each axis u'' becomes u'' + psi' + zeta with
    psi <- a psi + b u',    zeta <- a zeta + b (u'' + psi'),
where a psi is what is remembered (`phi`),
and (b u')' is written as b u'' + b' u', which needs no wider stencil than u'' itself. The layers of both ends of an
axis are copied out of the grid side by side, with the cells around them that the stencil reads: so every operation runs
over long stretches of memory, also where a layer is a few cells of each line. Profiles vanish in those cells around.

Axis letters: N rows; H ends of an axis; K cells of a layer and around it, flattened; P cells of the padded grid.
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
        rows: How many.
        tensor: Turns NumPy arrays into tensors of the solver's type.
    """

    def __init__(self, scheme: Scheme, axis: int, rows: int, tensor: Callable[[Any], torch.Tensor]) -> None:
        grid = scheme.grid
        self._axis, self._stencil, reach = axis, grid.stencil, grid.halo
        self._slabs = grid.slabs(axis)
        self._around = [slice(slab.start - reach, slab.stop + reach) for slab in self._slabs]
        # The layers of an axis are equally wide: there is one width for all.
        wide = self._around[0].stop - self._around[0].start
        self._shape = (wide, grid.padded[1]) if axis == 0 else (grid.padded[0], wide)
        self._stride = grid.padded[1] if axis == 0 else 1
        self._cells = self._shape[0] * self._shape[1]
        profiles = grid.absorber(
            axis,
            time_step=scheme.time_step,
            speed=float(scheme.medium.speed_YX.max()),
            frequency=scheme.frequency,
        )
        a, b, slope = (tensor(self._spread(profile)) for profile in profiles)
        edge = reach * self._stride
        self._middle = slice(edge, self._cells - edge)
        self._b, self._slope = b[:, self._middle].contiguous(), slope[:, self._middle].contiguous()
        weights_P = scheme.weight_P.reshape(grid.padded)
        self._gain = tensor(np.stack([self._part(weights_P, slab).reshape(-1) for slab in self._around]))
        self._gain = self._gain[:, self._middle].contiguous()
        self._a = a[:, self._middle].contiguous()
        blank = a.new_zeros((rows, len(self._slabs), self._cells))
        self._field = blank.clone()
        self.phi, self.zeta = blank.clone(), blank.clone()
        self._second, self._first, self._change = (blank[:, :, self._middle].clone() for _ in range(3))

    def load(self, phi_NP: torch.Tensor, zeta_NP: torch.Tensor) -> None:
        """Take the memory from the padded grid, fields of shape `(n, y, x)`."""
        for target, source in ((self.phi, phi_NP), (self.zeta, zeta_NP)):
            for end, (slab, around) in enumerate(zip(self._slabs, self._around, strict=True)):
                whole = torch.zeros_like(source)
                self._part(whole, slab).copy_(self._part(source, slab))
                target[:, end] = self._part(whole, around).flatten(1)

    def save(self, phi_NP: torch.Tensor, zeta_NP: torch.Tensor) -> None:
        """Write the memory to the padded grid."""
        for source, target in ((self.phi, phi_NP), (self.zeta, zeta_NP)):
            for end, slab in enumerate(self._slabs):
                self._part(target, slab).copy_(self._block(source, end))

    def absorb(self, now: torch.Tensor, before: torch.Tensor) -> None:
        """Add to `before`, which holds the plain step, what the layers change; padded fields of shape `(n, y, x)`."""
        for end, around in enumerate(self._around):
            self._field[:, end].view(-1, *self._shape).copy_(self._part(now, around))
        second, first, change = self._second, self._first, self._change
        for k, (w2, w1) in enumerate(zip(self._stencil.second, self._stencil.first, strict=True), start=1):
            up, down = self._shifted(self._field, k), self._shifted(self._field, -k)
            if k == 1:
                torch.add(up, down, out=second).mul_(w2)
                torch.sub(up, down, out=first).mul_(w1)
                torch.sub(self._shifted(self.phi, 1), self._shifted(self.phi, -1), out=change).mul_(w1)
            else:
                second.add_(up, alpha=w2).add_(down, alpha=w2)
                first.add_(up, alpha=w1).sub_(down, alpha=w1)
                change.add_(self._shifted(self.phi, k), alpha=w1).sub_(self._shifted(self.phi, -k), alpha=w1)
        second.sub_(self._field[:, :, self._middle], alpha=2 * sum(self._stencil.second))
        change.addcmul_(self._b, second).addcmul_(self._slope, first)
        zeta = self.zeta[:, :, self._middle]
        zeta.mul_(self._a).addcmul_(self._b, second.add_(change))
        self.phi[:, :, self._middle].addcmul_(self._b, first).mul_(self._a)
        # `field` has been read for the last time: the change takes its place, to be added in the shape of the grid.
        torch.mul(change.add_(zeta), self._gain, out=self._field[:, :, self._middle])
        for end, slab in enumerate(self._slabs):
            self._inside(self._part(before, slab)).add_(self._inside(self._block(self._field, end)))

    def _spread(self, profile: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Repeat a profile over the cells of each end; it vanishes around the layers."""
        parts = []
        for slab, around in zip(self._slabs, self._around, strict=True):
            inner = np.zeros_like(profile)
            inner[slab] = profile[slab]
            line = inner[around]
            full = np.broadcast_to(line[:, None] if self._axis == 0 else line[None, :], self._shape)
            parts.append(full.reshape(-1))
        return np.stack(parts)

    def _block(self, values: torch.Tensor, end: int) -> torch.Tensor:
        """Return the layer at one end, without the cells around it, in the shape of the grid."""
        first = self._slabs[end].start - self._around[end].start
        width = self._slabs[end].stop - self._slabs[end].start
        return values[:, end].view(-1, *self._shape).narrow(self._axis + 1, first, width)

    def _part(self, values: Any, along: slice) -> Any:
        return values[..., along, :] if self._axis == 0 else values[..., :, along]

    def _inside(self, values: torch.Tensor) -> torch.Tensor:
        """Without the padding of the other axis."""
        reach = self._stencil.halo
        return values[:, :, reach:-reach] if self._axis == 0 else values[:, reach:-reach, :]

    def _shifted(self, values: torch.Tensor, by: int) -> torch.Tensor:
        step = by * self._stride
        return values[:, :, self._middle.start + step : self._middle.stop + step]
