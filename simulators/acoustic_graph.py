"""The field solver in torch on a CUDA device, launched as CUDA graphs: for any grid, medium and precision.

Axis letters: N rows; S sources; M microphones; T time steps.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .acoustic_media import Scheme
from .acoustic_solver import CHECK_EVERY, FieldState
from .acoustic_torch import Stage, TorchSolver
from .cuda_graph import record


@dataclass(frozen=True, kw_only=True)
class _Recording:
    """A stretch of steps on memory of its own.

    Args:
        stage: Fields of the rows.
        source_TSN: What the sources play in the stretch.
        trace_TMN: What the microphones hear.
        replay: Takes all steps of the stretch.
    """

    stage: Stage
    source_TSN: torch.Tensor
    trace_TMN: torch.Tensor
    replay: Callable[[], None]


class GraphSolver(TorchSolver):
    """`TorchSolver` without the launches of its operations: a stretch of at most 64 steps is recorded and replayed.

    The first call with so many rows and steps records. Rows are filled up to a power of two with silence, so that there
    are few recordings. A row's result has the same bits whatever the other rows are.

    Args:
        scheme: As for `FieldSolver`.
        device: A CUDA device.
        options: As for `FieldSolver`.
    """

    def __init__(self, scheme: Scheme, *, device: str | torch.device = "cuda", **options: Any) -> None:
        super().__init__(scheme, device=device, **options)
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self._one = threading.Lock()  # a recording works on its own memory

    @torch.no_grad()
    def _chunk(
        self, source_NST: torch.Tensor, begin: FieldState, first: int, check_every: int
    ) -> tuple[torch.Tensor, FieldState]:
        rows, _, steps = source_NST.shape
        stretch = _stretch(steps)
        if check_every != CHECK_EVERY or not stretch:
            return super()._chunk(source_NST, begin, first, check_every)
        count = 1 << (rows - 1).bit_length()
        with self._one:
            made = self._recorded(count, stretch)
            self._load(made.stage, _filled(begin, self.scheme, count))
            source_TSN = torch.nn.functional.pad(self._sources(source_NST), (0, count - rows))
            trace_TMN = source_TSN.new_empty((steps, len(self.microphones_M), count))
            for t in range(0, steps - steps % stretch, stretch):
                made.source_TSN.copy_(source_TSN[t : t + stretch])
                made.replay()
                trace_TMN[t : t + stretch] = made.trace_TMN
                if not self._is_bound(made.stage, t + stretch):
                    break
            else:
                for t in range(steps - steps % stretch, steps):
                    self._step(made.stage, t % 2, source_TSN[t], trace_TMN[t])
            if self._is_bound(made.stage, steps):
                end = self._saved(made.stage, steps, _filled(begin, self.scheme, count))
                return trace_TMN[:, :, :rows], end.rows(slice(0, rows))
        return super()._chunk(source_NST, begin, first, 1)  # names the cell and the step

    def _recorded(self, count: int, stretch: int) -> _Recording:
        if (count, stretch) not in self._recordings:
            stage = self._stage(count)
            source_TSN = stage.fields[0].new_zeros((stretch, len(self.sources_S), count))
            trace_TMN = stage.fields[0].new_zeros((stretch, len(self.microphones_M), count))
            work = functools.partial(self._steps, stage, source_TSN, trace_TMN)
            self._recordings[count, stretch] = _Recording(
                stage=stage, source_TSN=source_TSN, trace_TMN=trace_TMN, replay=record(work, self.device)
            )
        return self._recordings[count, stretch]

    def _steps(self, stage: Stage, source_TSN: torch.Tensor, trace_TMN: torch.Tensor) -> None:
        for t in range(len(source_TSN)):
            self._step(stage, t % 2, source_TSN[t], trace_TMN[t])

    def _is_bound(self, stage: Stage, steps: int) -> bool:
        inner = stage.fields[steps % 2][self._rows, self._columns]
        return bool(inner.abs().amax() <= self.limit)


def _stretch(steps: int) -> int:
    """Return an even number of steps, at most 64, that leaves few over; 0 for a single step."""
    return steps // max(math.ceil(steps / CHECK_EVERY), 1) // 2 * 2


def _filled(state: FieldState, scheme: Scheme, count: int) -> FieldState:
    """Return a state of `count` rows, silent ones behind those that there are."""
    missing = count - len(state.now_NP)
    return FieldState.concatenate([state, FieldState.rest(scheme, missing, state.now_NP.dtype)]) if missing else state
