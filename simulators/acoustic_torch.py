"""The field solver in plain torch: in-place sums of shifted views, a few rows at a time so that they stay in cache.

The rows of a chunk lie side by side in every cell: so any stretch of a line is contiguous memory.

Axis letters: Y, X cells of the padded grid; P the same, flattened; N rows of a chunk, or all; A axis or memory
variable; S sources; M microphones; T time steps; E nonlinear cells; R resonators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .acoustic_grid import Ints
from .acoustic_layers import TorchLayers
from .acoustic_links import Terms
from .acoustic_media import Scheme
from .acoustic_solver import CHECK_EVERY, Array, FieldSolver, FieldState
from .lone_threads import lone_threads

_CHUNK_CELLS = 300_000  # of the rows stepped together: an array in float32 is 1.2 MB
_DEVICE_CELLS = 1 << 25  # on a device other than the processor


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Memory for the rows of a chunk, and what steps it.

    Args:
        fields: The field and the one before, which take turns, shape `(y, x, n)`.
        memory: Memory of the absorbing layers as a state has it.
        layers: The layers of each axis that has some, with their part of `memory`.
        ways: What a step does to all cells, after an even number of steps and after an odd one.
        resonator: Resonators now and before, which take turns, shape `(r, n)`.
    """

    fields: list[torch.Tensor]
    memory: list[torch.Tensor]
    layers: list[tuple[TorchLayers, list[torch.Tensor]]]
    ways: list[list[Callable[[], None]]]
    resonator: list[torch.Tensor]


class TorchSolver(FieldSolver):
    """The reference: short, for any device and precision; `acoustic_numba` must agree with it.

    On a CPU chunks of rows are stepped in threads of their own, as many as torch uses in the caller's: a thread that
    takes all steps of its rows waits for nobody. In them numbers too small to be normal are flushed to zero, which make
    a field that begins in silence several times slower. The caller's thread keeps its settings, and a row's result
    has the same bits whatever the other rows are.

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
        ring_P = scheme.weight_P * (grid.stencil.rings[-1] / grid.stencil.divisor)
        self._maps = [self._coefficient(values_P) for values_P in (scheme.centre_P, scheme.past_P, ring_P)]
        self._gain_S = self._tensor(scheme.weight_P[self.sources_S])
        self._source_S, self._microphone_M = self._index(self.sources_S), self._index(self.microphones_M)
        self._cut, self._state = self._terms(scheme.cut), self._terms(scheme.state)
        self._element_E, self._resonator_R = self._index(scheme.element_cells), self._index(scheme.resonator_cells)
        if len(scheme.element_cells):
            stiffness_E, damping_E, _ = scheme.element_constants()
            self._stiffness_E, self._damping_E = self._tensor(stiffness_E[:, None]), self._tensor(damping_E[:, None])
        if len(scheme.resonator_cells):
            *self._resonance, load_R = scheme.resonator_constants()
            self._load_R = self._tensor(load_R[:, None])

    def _propagate(self, source_NST: Array, state: FieldState | None, keep: bool) -> tuple[Array, FieldState | None]:
        rows, _, steps = source_NST.shape
        trace_NMT = np.empty((rows, len(self.microphones_M), steps), self.dtype)
        on_cpu = self.device.type == "cpu"
        threads = torch.get_num_threads() if on_cpu else 1
        # Multiples of 8 rows keep vectors whole.
        fitting = max(8, (_CHUNK_CELLS if on_cpu else _DEVICE_CELLS) // math.prod(self._shape) // 8 * 8)
        rounds = math.ceil(rows / (threads * (min(fitting, 128) if on_cpu else fitting)))
        chunk = max(1, math.ceil(rows / (threads * max(rounds, 1))))  # each thread has as many
        parts = [slice(first, min(first + chunk, rows)) for first in range(0, rows, chunk)]

        def work(part: slice) -> FieldState | None:
            begin = (
                FieldState.rest(self.scheme, part.stop - part.start, self.dtype) if state is None else state.rows(part)
            )
            source = torch.from_numpy(source_NST[part]).to(self.device)
            trace_TMN, end = self._chunk(source, begin, part.start, CHECK_EVERY)
            trace_NMT[part] = trace_TMN.permute(2, 1, 0).cpu().numpy()
            return end if keep else None

        with lone_threads(threads) as pool:
            ends = [end for end in pool.map(work, parts) if end is not None]
        return trace_NMT, FieldState.concatenate(ends) if keep else None

    @torch.no_grad()
    def _chunk(
        self, source_NST: torch.Tensor, begin: FieldState, first: int, check_every: int
    ) -> tuple[torch.Tensor, FieldState]:
        """Step some rows to the end. A field that has run away is stepped again, looking at every step."""
        count, _, steps = source_NST.shape
        stage = self._stage(count)
        self._load(stage, begin)
        trace_TMN = stage.fields[0].new_empty((steps, len(self.microphones_M), count))
        source_TSN = self._sources(source_NST)
        for t in range(steps):
            self._step(stage, t % 2, source_TSN[t], trace_TMN[t])
            if (t + 1) % check_every == 0 or t + 1 == steps:
                inner = stage.fields[1 - t % 2][self._rows, self._columns]
                if not bool(inner.abs().amax() <= self.limit):
                    if check_every > 1:
                        self._chunk(source_NST, begin, first, 1)
                    raise self._blame(inner, first, t)
        return trace_TMN, self._saved(stage, steps, begin)

    def _sources(self, source_NST: torch.Tensor) -> torch.Tensor:
        return (source_NST * self._gain_S[:, None]).permute(2, 1, 0).contiguous()

    def _stage(self, count: int) -> Stage:
        """Return memory for so many rows, in silence, and what steps it."""
        padded = (*self._shape, count)
        fields = [self._tensor(np.zeros(padded)) for _ in range(2)]
        memory = [torch.zeros_like(fields[0]) for _ in range(4 if self.scheme.grid.absorbing else 0)]
        scratch = [torch.zeros_like(fields[0]) for _ in range(4)]
        layers = [
            (TorchLayers(self.scheme, axis, scratch[1:], self._tensor), memory[2 * axis : 2 * axis + 2])
            for axis in (0, 1)
            if self.scheme.grid.slabs(axis)
        ]
        maps = [part.repeat(1, 1, count) if isinstance(part, torch.Tensor) else part for part in self._maps]
        ways = [
            [
                *self._filling(now),
                self._sweep(now, before, scratch, *maps),
                *(layer.bound(now, before) for layer, _ in layers),
            ]
            for now, before in (fields, fields[::-1])
        ]
        resonator = [self._tensor(np.zeros((len(self._resonator_R), count))) for _ in range(2)]
        return Stage(fields=fields, memory=memory, layers=layers, ways=ways, resonator=resonator)

    def _load(self, stage: Stage, begin: FieldState) -> None:
        """Begin in a state."""
        for field, values in zip(stage.fields, (begin.now_NP, begin.before_NP), strict=True):
            field.copy_(self._field(values))
            self._hush(field)
        for a, kept in enumerate(stage.memory):
            kept.copy_(self._field(begin.layer_NAP[:, a]))
        for layer, pair in stage.layers:
            layer.load(*pair)
        for k, part in enumerate(stage.resonator):
            part.copy_(self._tensor(begin.resonator_NAR[:, k].T))

    def _step(self, stage: Stage, odd: int, source_SN: torch.Tensor, trace_MN: torch.Tensor) -> None:
        """Step once, after an even or an odd number of steps."""
        now, before = stage.fields[odd].flatten(0, 1), stage.fields[1 - odd].flatten(0, 1)
        kept_EN = before[self._element_E] if len(self._element_E) else None
        for operation in stage.ways[odd]:
            operation()
        self._local(now, before, stage.resonator[odd], stage.resonator[1 - odd])
        before.index_add_(0, self._source_S, source_SN)
        if kept_EN is not None:
            beta_EN = self._damping_E / (1 + (now[self._element_E] / self._threshold) ** 2)
            before[self._element_E] = (before[self._element_E] + beta_EN * kept_EN) / (1 + beta_EN)
        torch.index_select(before, 0, self._microphone_M, out=trace_MN)

    def _saved(self, stage: Stage, steps: int, begin: FieldState) -> FieldState:
        """Return the state after so many steps."""
        odd = steps % 2
        for layer, pair in stage.layers:
            layer.save(*pair)
        arrays = {"now_NP": stage.fields[odd], "before_NP": stage.fields[1 - odd]}
        end = {name: values.flatten(0, 1).T.cpu().numpy() for name, values in arrays.items()}
        layer_NAP = np.zeros_like(begin.layer_NAP)
        for a, values in enumerate(stage.memory):
            layer_NAP[:, a] = values.flatten(0, 1).T.cpu().numpy()
        swing = [stage.resonator[odd], stage.resonator[1 - odd]]
        resonator_NAR = np.stack([values.T.cpu().numpy() for values in swing], axis=1)
        return FieldState(**end, layer_NAP=layer_NAP, resonator_NAR=resonator_NAR)

    def _sweep(
        self, now: torch.Tensor, new: torch.Tensor, scratch: list[torch.Tensor], middle: Any, old: Any, ring: Any
    ) -> Callable[[], None]:
        """Return the plain step.

        A ring has four cells, and two passes add them: `pair(y, x) = u(y, x) + u(y + k, x + k)` is a lower and a left
        neighbour, or a right and an upper one: the ring is `pair(y, x - k) + pair(y - k, x)`. Where all cells are
        alike the coefficients add up, `centre + 4 (sum of the rings) = 1 + past`, and the step is a chain of
        interpolations: from the centre towards the mean of each ring, then from the past on through that to the
        other side.
        """
        halo, (height, width) = self.scheme.grid.halo, self._shape
        weights = self.scheme.grid.stencil.rings
        centre, past = now[self._rows, self._columns], new[self._rows, self._columns]
        flat, pairs = now.flatten(0, 1), []
        for k, pair in zip(self._reach, scratch, strict=False):
            shift = k * (width + 1)
            left = pair[self._rows, halo - k : width - halo - k]
            above = pair[halo - k : height - halo - k, self._columns]
            pairs.append((flat[:-shift], flat[shift:], pair.flatten(0, 1)[:-shift], left, above))
        total, across = (values[self._rows, self._columns] for values in (scratch[halo], scratch[2 * halo - 1]))
        is_uniform = not any(isinstance(values, torch.Tensor) for values in (middle, old, ring))
        if is_uniform:
            whole = 1 + old
            shares = [4 * ring * weight / weights[-1] / whole for weight in weights]
            # one after the other: a later interpolation takes its share from the earlier ones
            shares = [share / (1 - sum(shares[k + 1 :])) for k, share in enumerate(shares)]

        def interpolate() -> None:
            start = centre
            for (one, other, pair, left, above), share in zip(pairs, shares, strict=True):
                torch.lerp(one, other, 0.5, out=pair)
                torch.lerp(left, above, 0.5, out=across)
                torch.lerp(start, across, share, out=total)
                start = total
            past.lerp_(total, whole)

        def add() -> None:
            for k, (one, other, pair, left, above) in enumerate(pairs):
                torch.add(one, other, out=pair)
                if k == 0:
                    torch.add(left, above, out=total)
                else:  # 16 of the first ring less one of the second: -16 of the first, then times -1
                    total.mul_(weights[0] / weights[1]).add_(left).add_(above)
            total.mul_(ring)
            if isinstance(old, torch.Tensor) or old != 1.0:
                past.mul_(old)
            torch.sub(total, past, out=past)
            if isinstance(middle, torch.Tensor):
                past.addcmul_(centre, middle)
            else:
                past.add_(centre, alpha=middle)

        return interpolate if is_uniform else add

    def _local(self, now_PN: torch.Tensor, new_PN: torch.Tensor, q_RN: torch.Tensor, q_before_RN: torch.Tensor) -> None:
        """Add what happens on single cells: rigid faces, equation of state, stiffness, resonators."""
        if self._cut is not None:
            target, source, weight = self._cut
            new_PN.index_add_(0, target, now_PN[source] * -weight)
        if len(self._element_E):
            u_EN = now_PN[self._element_E]
            square_EN = (u_EN / self._threshold) ** 2
            root_EN = torch.rsqrt(1 + square_EN)
            if self._state is not None:
                target, source, weight = self._state
                r_EN = self._speed * u_EN * square_EN * root_EN**3
                new_PN.index_add_(0, target, weight * r_EN[source])
            new_PN.index_add_(0, self._element_E, -self._stiffness_E * u_EN * root_EN)
        if len(self._resonator_R):
            two, past, pull = self._resonance
            stretch_RN = now_PN[self._resonator_R] - q_RN
            new_PN.index_add_(0, self._resonator_R, -self._load_R * stretch_RN)
            q_before_RN.mul_(-past).add_(q_RN, alpha=two).add_(stretch_RN, alpha=pull)

    def _hush(self, field: torch.Tensor) -> None:
        """Silence the padding, in which a state may hold anything. Only closed and periodic sides write there."""
        halo = self.scheme.grid.halo
        for axis in (0, 1):
            for first in (0, field.shape[axis] - halo):
                field.narrow(axis, first, halo).zero_()

    def _filling(self, field: torch.Tensor) -> list[Callable[[], None]]:
        """Return what writes into the padding the cells that closed and periodic sides show there."""
        halo = self.scheme.grid.halo
        found: list[Callable[[], None]] = []
        for axis, (low, high) in enumerate((self.scheme.grid.sides[:2], self.scheme.grid.sides[2:])):
            count = field.shape[axis]
            for side, to, mirror, wrap in (
                (low, 0, halo, count - 2 * halo),
                (high, count - halo, count - 2 * halo, halo),
            ):
                for k in range(halo):
                    start = {"closed": mirror + halo - 1 - k, "periodic": wrap + k}.get(side)
                    if start is not None:
                        there, here = field.narrow(axis, to + k, 1), field.narrow(axis, start, 1)
                        found.append(lambda there=there, here=here: there.copy_(here))  # type: ignore[misc]
        return found

    def _blame(self, inner: torch.Tensor, first: int, step: int) -> Exception:
        wild_NP = (~(inner.abs() <= self.limit)).flatten(0, 1).T
        row, cell = (int(k) for k in wild_NP.nonzero()[0])
        y, x = divmod(cell, inner.shape[1])
        padded = (y + self.scheme.grid.halo) * self._shape[1] + x + self.scheme.grid.halo
        return self.run_away(first + row, padded, step + 1, float(inner[y, x, row]))

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
        """A number where all cells of the grid agree, else a tensor over them and one row."""
        inner = values_P.reshape(self._shape)[self.scheme.inside]
        return float(inner.flat[0]) if np.ptp(inner) == 0 else self._tensor(inner[..., None])

    def _field(self, values_NP: Array) -> torch.Tensor:
        return self._tensor(values_NP.T).reshape(*self._shape, len(values_NP)).clone()

    def _terms(self, terms: Terms) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        if not len(terms):
            return None
        return self._index(terms.target), self._index(terms.source), self._tensor(terms.weight[:, None])

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(values, dtype=self.dtype)).to(self.device)

    def _index(self, cells: Ints) -> torch.Tensor:
        return torch.from_numpy(cells).to(self.device)
