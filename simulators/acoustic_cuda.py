"""The field solver on a CUDA device, a row of a batch on one multiprocessor from its first step to its last.

Axis letters: N rows; S sources; M microphones; T time steps.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import torch

from physnet.errors import SpecError

from .acoustic_cuda_plan import Plan, make_plan
from .acoustic_cuda_tables import Tables, make_tables, single_cells
from .acoustic_grid import Ints
from .acoustic_media import Scheme
from .acoustic_solver import Array, FieldSolver, FieldState
from .acoustic_torch import TorchSolver
from .cuda import chip_of, launch, why_not


def plan_for(scheme: Scheme, *, sources: Ints, dtype: Any, device: str | torch.device) -> Plan | None:
    """Return how a device would step a scheme; None where a row has no room on a multiprocessor.

    Args:
        scheme: One time step.
        sources: `(y, x)` of each source, shape `(S, 2)`.
        dtype: `float32` or `float64`.
        device: On which kernels run.
    """
    cells = len(single_cells(scheme, scheme.grid.flat(sources)))
    return make_plan(scheme, single=np.dtype(dtype) == np.float32, single_cells=cells, chip=chip_of(device))


class CudaSolver(FieldSolver):
    """`TorchSolver` as one kernel: equal within rounding. A row's result has the same bits whatever the other rows are.

    The first call for a grid compiles, which takes some seconds. A run that is cut in two is equal within rounding to
    one that is not: the kernel keeps the change of the field, a state the field before.

    Args:
        scheme: As for `FieldSolver`.
        device: torch device; `cpu` where the interpreter runs the kernels.
        plan: How a row is shared out; None for what suits the device.
        options: As for `FieldSolver`.

    Raises:
        SpecError: Kernels don't run on the device, or a row does not fit on a multiprocessor.
    """

    def __init__(
        self, scheme: Scheme, *, device: str | torch.device = "cuda", plan: Plan | None = None, **options: Any
    ) -> None:
        super().__init__(scheme, **options)
        self.device = torch.device(device)
        reason = why_not(device)
        if reason is not None:
            raise SpecError(f"backend must be one that can run, got 'cuda': {reason}.")
        plan = plan_for(scheme, sources=self.places[0], dtype=self.dtype, device=device) if plan is None else plan
        if plan is None:
            raise SpecError(
                f"a grid must fit on a multiprocessor for backend 'cuda', got {scheme.grid.shape} cells. Choose "
                "backend = 'auto' or 'graph'."
            )
        self.plan = plan
        self.read(
            make_tables(scheme, plan, sources_S=self.sources_S, microphones_M=self.microphones_M, limit=self.limit)
        )

    def read(self, tables: Tables) -> None:
        """Take tables of the scheme, which the constructor makes itself."""
        self._tables = [self._tensor(part) for part in tables.arguments()]
        counted = tables.microphones, self.scheme.resonator_cells, tables.cells_CK, tables.term_places
        self._counts = tuple(len(part) for part in counted)
        self._shared = self.plan.shared(len(tables.cells_CK))

    def _propagate(self, source_NST: Array, state: FieldState | None, keep: bool) -> tuple[Array, FieldState | None]:
        rows, sources, steps = source_NST.shape
        sizes = steps, sources, *self._counts, state is not None, keep
        trace_NMT = torch.zeros((rows, len(self.microphones_M), steps), dtype=self._real, device=self.device)
        if not rows or not steps:
            end = FieldState.rest(self.scheme, rows, self.dtype) if state is None else state
            return trace_NMT.cpu().numpy(), end if keep else None
        wild_N = torch.zeros(rows, dtype=torch.int32, device=self.device)
        begin = self._field(state, rows if keep else 0)
        launch(
            self._kernel(), self._tensor(source_NST).flatten(), trace_NMT.flatten(), wild_N, *begin,
            *(np.int32(number) for number in sizes), *self._tables,
            blocks=rows, threads=self.plan.threads, shared=self._shared,
        )  # fmt: skip
        if bool(wild_N.any()):
            self._blame(source_NST, state, int(wild_N.nonzero()[0]))
        return trace_NMT.cpu().numpy(), self._state(begin, rows) if keep else None

    def _kernel(self) -> Any:
        return importlib.import_module(".acoustic_cuda_kernels", __package__).make_kernel(self.plan)

    def _field(self, state: FieldState | None, rows: int) -> list[torch.Tensor]:
        """Return what the kernel begins from and ends in; a number each where it needs nothing."""
        if state is None:
            state = FieldState.rest(self.scheme, rows, self.dtype)
        arrays = [np.array(getattr(state, name), dtype=self.dtype).ravel() for name in FieldState.names()]
        return [self._tensor(values if values.size else np.zeros(1, self.dtype)) for values in arrays]

    def _state(self, end: list[torch.Tensor], rows: int) -> FieldState:
        like, arrays = FieldState.rest(self.scheme, rows, self.dtype), {}
        for name, values in zip(FieldState.names(), end, strict=True):
            shape = getattr(like, name).shape
            arrays[name] = values.cpu().numpy().reshape(shape) if math.prod(shape) else getattr(like, name)
        return FieldState(**arrays)

    def _blame(self, source_NST: Array, state: FieldState | None, row: int) -> None:
        """Step a row again with the reference, which names cell and step."""
        options: dict[str, Any] = {"dtype": self.dtype, "limit": self.limit, "first_row": self._first_row + row}
        solver = TorchSolver(
            self.scheme, sources=self.places[0], microphones=self.places[1], device=self.device, **options
        )
        part = slice(row, row + 1)
        solver.propagate(source_NST[part], None if state is None else state.rows(part))
        raise self.run_away(row, int(self.microphones_M[0]), source_NST.shape[2], math.inf)

    @property
    def _real(self) -> torch.dtype:
        return torch.float32 if self.dtype == np.float32 else torch.float64

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
