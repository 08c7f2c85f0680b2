"""The field solver in plain torch: in-place sums of shifted slices, a few rows at a time so that they stay in cache.

Axis letters: N rows of a chunk; Y, X cells of the padded grid; P the same, flattened; A axis or memory variable;
S sources; M microphones; T time steps; E nonlinear cells; R resonators.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .acoustic_grid import Ints
from .acoustic_layers import TorchLayers
from .acoustic_media import Scheme, Terms
from .acoustic_solver import CHECK_EVERY, Array, FieldSolver, FieldState

_CHUNK_CELLS = 1 << 19  # of the rows stepped together: an array in float32 is 2 MB


class TorchSolver(FieldSolver):
    """The reference: short, for any device and precision; `acoustic_numba` must agree with it.

    The time loop runs in a thread of its own, in which numbers too small to be normal are flushed to zero: they make
    a field that begins in silence several times slower. The caller's thread keeps its setting.

    Args:
        scheme: As for `FieldSolver`.
        device: torch device.
        options: As for `FieldSolver`.
    """

    def __init__(self, scheme: Scheme, *, device: str | torch.device = "cpu", **options: Any) -> None:
        super().__init__(scheme, **options)
        self.device = torch.device(device)
        grid = scheme.grid
        self._shape = grid.padded
        self._rows, self._columns = scheme.inside
        self._centre, self._past, self._ring = (
            self._coefficient(values_P)
            for values_P in (
                scheme.centre_P,
                scheme.past_P,
                scheme.weight_P * (grid.stencil.rings[-1] / grid.stencil.divisor),
            )
        )
        self._gain_S = self._tensor(scheme.weight_P[self.sources_S])
        self._source_S, self._microphone_M = self._index(self.sources_S), self._index(self.microphones_M)
        self._cut, self._state = self._terms(scheme.cut), self._terms(scheme.state)
        self._element_E, self._resonator_R = self._index(scheme.element_cells), self._index(scheme.resonator_cells)
        if len(scheme.element_cells):
            stiffness_E, damping_E, _ = scheme.element_constants()
            self._stiffness_E, self._damping_E = self._tensor(stiffness_E), self._tensor(damping_E)
        if len(scheme.resonator_cells):
            *self._resonance, load_R = scheme.resonator_constants()
            self._load_R = self._tensor(load_R)

    def _propagate(self, source_NST: Array, state: FieldState | None, keep: bool) -> tuple[Array, FieldState | None]:
        with ThreadPoolExecutor(1, initializer=lambda: torch.set_flush_denormal(True)) as pool:
            return pool.submit(self._run, source_NST, state, keep).result()

    def _run(self, source_NST: Array, state: FieldState | None, keep: bool) -> tuple[Array, FieldState | None]:
        rows, _, steps = source_NST.shape
        trace_NMT = np.empty((rows, len(self.microphones_M), steps), self.dtype)
        ends = []
        chunk = int(np.clip(_CHUNK_CELLS // (self._shape[0] * self._shape[1]), 16, 128))
        for first in range(0, rows, chunk):
            part = slice(first, min(first + chunk, rows))
            begin = FieldState.rest(self.scheme, part.stop - first, self.dtype) if state is None else state.rows(part)
            source = torch.from_numpy(source_NST[part]).to(self.device)
            trace_TNM, end = self._chunk(source, begin, first, CHECK_EVERY)
            trace_NMT[part] = trace_TNM.permute(1, 2, 0).cpu().numpy()
            if keep:
                ends.append(end)
        return trace_NMT, FieldState.concatenate(ends) if keep else None

    @torch.no_grad()
    def _chunk(
        self, source_NST: torch.Tensor, begin: FieldState, first: int, check_every: int
    ) -> tuple[torch.Tensor, FieldState]:
        """Step some rows to the end. A field that has run away is stepped again, looking at every step."""
        count, _, steps = source_NST.shape
        now, before = (self._field(values) for values in (begin.now_NP, begin.before_NP))
        edge = self.scheme.grid.halo * self._shape[1]
        scratch = now.new_empty((count, self._shape[0] * self._shape[1] - 2 * edge))
        memory = [self._field(begin.layer_NAP[:, a]) for a in range(begin.layer_NAP.shape[1])]
        layers = [
            (TorchLayers(self.scheme, axis, count, self._tensor), memory[2 * axis : 2 * axis + 2])
            for axis in (0, 1)
            if self.scheme.grid.slabs(axis)
        ]
        for layer, fields in layers:
            layer.load(*fields)
        resonator = [self._tensor(begin.resonator_NAR[:, k]).clone() for k in (0, 1)]
        trace_TNM = torch.empty((steps, count, len(self.microphones_M)), dtype=now.dtype, device=self.device)
        source_TNS = (source_NST * self._gain_S[:, None]).permute(2, 0, 1).contiguous()
        for t in range(steps):
            self._fill(now)
            flat_now, flat_before = now.view(count, -1), before.view(count, -1)
            kept = flat_before[:, self._element_E] if len(self._element_E) else None
            self._sweep(flat_now, flat_before, scratch)
            for layer, _ in layers:
                layer.absorb(now, before)
            self._local(flat_now, flat_before, resonator)
            flat_before.index_add_(1, self._source_S, source_TNS[t])
            if kept is not None:
                u_NE = flat_now[:, self._element_E]
                beta_NE = self._damping_E / (1 + (u_NE / self._threshold) ** 2)
                new_NE = flat_before[:, self._element_E]
                flat_before[:, self._element_E] = (new_NE + beta_NE * kept) / (1 + beta_NE)
            now, before = before, now
            torch.index_select(flat_before, 1, self._microphone_M, out=trace_TNM[t])
            if (t + 1) % check_every == 0 or t + 1 == steps:
                inner = now[:, self._rows, self._columns]
                if not bool(inner.abs().amax() <= self.limit):
                    if check_every > 1:
                        self._chunk(source_NST, begin, first, 1)
                    raise self._blame(inner, first, t)
        for layer, fields in layers:
            layer.save(*fields)
        end = FieldState(
            now_NP=now.reshape(count, -1).cpu().numpy(),
            before_NP=before.reshape(count, -1).cpu().numpy(),
            layer_NAP=torch.stack(memory, 1).flatten(2).cpu().numpy() if memory else begin.layer_NAP,
            resonator_NAR=torch.stack(resonator, 1).cpu().numpy(),
        )
        return trace_TNM, end

    def _sweep(self, now_NP: torch.Tensor, before_NP: torch.Tensor, scratch: torch.Tensor) -> None:
        """Overwrite `before` with the plain step: over whole lines, padding included, in one stretch for each row."""
        height, width = self._shape
        edge = self.scheme.grid.halo * width

        def shifted(by: int) -> torch.Tensor:
            return now_NP[:, edge + by : height * width - edge + by]

        weights = self.scheme.grid.stencil.rings
        new = before_NP[:, edge:-edge]
        for k in self._reach:
            if k == 1:
                torch.add(shifted(-1), shifted(1), out=scratch).add_(shifted(-width)).add_(shifted(width))
            else:  # 16 of the first ring less one of the second: -16 of the first, then times -1
                scratch.mul_(weights[0] / weights[1])
                for by in (-k, k, -k * width, k * width):
                    scratch.add_(shifted(by))
        scratch.mul_(self._ring)
        if isinstance(self._past, torch.Tensor) or self._past != 1.0:
            new.mul_(self._past)
        torch.sub(scratch, new, out=new)
        if isinstance(self._centre, torch.Tensor):
            new.addcmul_(shifted(0), self._centre)
        else:
            new.add_(shifted(0), alpha=self._centre)

    def _local(self, now_NP: torch.Tensor, new_NP: torch.Tensor, resonator: list[torch.Tensor]) -> None:
        """Add what happens on single cells: rigid faces, equation of state, stiffness, resonators."""
        if self._cut is not None:
            target, source, weight = self._cut
            new_NP.index_add_(1, target, now_NP[:, source] * -weight)
        if len(self._element_E):
            u_NE = now_NP[:, self._element_E]
            square_NE = (u_NE / self._threshold) ** 2
            root_NE = torch.rsqrt(1 + square_NE)
            if self._state is not None:
                target, source, weight = self._state
                r_NE = self._speed * u_NE * square_NE * root_NE**3
                new_NP.index_add_(1, target, weight * r_NE[:, source])
            new_NP.index_add_(1, self._element_E, -self._stiffness_E * u_NE * root_NE)
        if len(self._resonator_R):
            two, past, pull = self._resonance
            q, q_before = resonator
            stretch = now_NP[:, self._resonator_R] - q
            new_NP.index_add_(1, self._resonator_R, -self._load_R * stretch)
            q_before.mul_(-past).add_(q, alpha=two).add_(stretch, alpha=pull)
            resonator[0], resonator[1] = q_before, q

    def _fill(self, field: torch.Tensor) -> None:
        """Write the padding: silence, or the cells that closed and periodic sides show there."""
        halo = self.scheme.grid.halo
        for axis, (low, high) in enumerate((self.scheme.grid.sides[:2], self.scheme.grid.sides[2:]), start=1):
            count = field.shape[axis]
            for side, to, mirror, wrap in (
                (low, 0, halo, count - 2 * halo),
                (high, count - halo, count - 2 * halo, halo),
            ):
                if side == "closed":
                    field.narrow(axis, to, halo).copy_(field.narrow(axis, mirror, halo).flip(axis))
                elif side == "periodic":
                    field.narrow(axis, to, halo).copy_(field.narrow(axis, wrap, halo))
                else:
                    field.narrow(axis, to, halo).zero_()

    def _blame(self, inner: torch.Tensor, first: int, step: int) -> Exception:
        wild = (~(inner.abs() <= self.limit)).flatten(1)
        row, cell = (int(k) for k in wild.nonzero()[0])
        y, x = divmod(cell, inner.shape[2])
        padded = (y + self.scheme.grid.halo) * self._shape[1] + x + self.scheme.grid.halo
        return self.run_away(first + row, padded, step + 1, float(inner[row, y, x]))

    @property
    def _reach(self) -> range:
        return range(1, self.scheme.grid.halo + 1)

    @property
    def _threshold(self) -> float:
        assert self.scheme.medium.elements is not None
        return self.scheme.medium.elements.threshold

    @property
    def _speed(self) -> float:
        assert self.scheme.medium.elements is not None
        return self.scheme.medium.elements.speed

    def _coefficient(self, values_P: Any) -> Any:
        """A number where all cells of the grid agree, else a tensor over the lines of the grid."""
        inner, edge = values_P.reshape(self._shape)[self.scheme.inside], self.scheme.grid.halo * self._shape[1]
        return float(inner.flat[0]) if np.ptp(inner) == 0 else self._tensor(values_P[edge:-edge])

    def _field(self, values_NP: Array) -> torch.Tensor:
        return self._tensor(values_NP).reshape(len(values_NP), *self._shape).clone()

    def _terms(self, terms: Terms) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        if not len(terms):
            return None
        return self._index(terms.target), self._index(terms.source), self._tensor(terms.weight)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(values, dtype=self.dtype)).to(self.device)

    def _index(self, cells: Ints) -> torch.Tensor:
        return torch.from_numpy(cells).to(self.device)
