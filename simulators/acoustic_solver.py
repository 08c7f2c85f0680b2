"""What both field solvers share: their state, their verb, and what is said when a field runs away.

Axis letters: N rows; S sources; M microphones; T time steps; P cells of the padded grid, flattened; R resonators.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError, SessionError

from .acoustic_grid import Floats, Ints
from .acoustic_media import Scheme, largest_eigenvalue

Array = NDArray[Any]
CHECK_EVERY = 64
"""Steps between two looks at the size of the field."""


@dataclass(frozen=True, kw_only=True)
class FieldState:
    """Everything the next step depends on.

    Args:
        now_NP: The field on the padded grid, Pa; only the cells of the grid count.
        before_NP: The field one step earlier.
        layer_NAP: Memory of the absorbing layers, along y and x: two variables each, so `A` is 4; 0 without layers.
        resonator_NAR: Resonators now and one step earlier.
    """

    now_NP: Array
    before_NP: Array
    layer_NAP: Array
    resonator_NAR: Array

    @classmethod
    def rest(cls, scheme: Scheme, rows: int, dtype: Any) -> Self:
        """Return silence."""
        cells = math.prod(scheme.grid.padded)
        layers = 4 if scheme.grid.absorbing else 0
        return cls(
            now_NP=np.zeros((rows, cells), dtype),
            before_NP=np.zeros((rows, cells), dtype),
            layer_NAP=np.zeros((rows, layers, cells), dtype),
            resonator_NAR=np.zeros((rows, 2, len(scheme.resonator_cells)), dtype),
        )

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """Put the rows of several states together."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.names()})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], like: FieldState) -> Self:
        """Take back what `arrays` returned.

        Raises:
            SessionError: An array is missing, or has another shape.
        """
        for name in cls.names():
            if name not in arrays or np.shape(arrays[name]) != getattr(like, name).shape:
                found = np.shape(arrays[name]) if name in arrays else "nothing"
                raise SessionError(
                    f"the state of a cavity must hold {name} of shape {getattr(like, name).shape}, got {found}. "
                    "It was saved by another system."
                )
        return cls(**{name: np.array(arrays[name], dtype=like.now_NP.dtype) for name in cls.names()})

    @staticmethod
    def names() -> tuple[str, ...]:
        """Names of the arrays."""
        return "now_NP", "before_NP", "layer_NAP", "resonator_NAR"

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name, as copies."""
        return {name: np.array(getattr(self, name)) for name in self.names()}

    def rows(self, part: slice) -> FieldState:
        """Return some of the rows."""
        return FieldState(**{name: getattr(self, name)[part] for name in self.names()})


class FieldSolver(ABC):
    """Steps the field of a scheme, many rows at a time.

    Args:
        scheme: One time step.
        sources: `(y, x)` of each source, shape `(S, 2)`.
        microphones: `(y, x)` of each microphone, shape `(M, 2)`.
        dtype: `float32` or `float64`.
        limit: Field in Pa beyond which it has run away.
        first_row: What messages call the first row.
    """

    def __init__(
        self,
        scheme: Scheme,
        *,
        sources: Ints,
        microphones: Ints,
        dtype: Any = np.float32,
        limit: float = 1e30,
        first_row: int = 0,
    ) -> None:
        self.scheme = scheme
        self.places = sources, microphones
        self._first_row = first_row
        self.sources_S = scheme.grid.flat(sources)
        self.microphones_M = scheme.grid.flat(microphones)
        self.dtype = np.dtype(dtype)
        self.limit = min(limit, float(np.finfo(self.dtype).max) / 1e3)

    def propagate(
        self, source_NST: Array, state: FieldState | None = None, *, keep: bool = False
    ) -> tuple[Array, FieldState | None]:
        """Let sources sound and listen.

        Args:
            source_NST: Strength of each source at each step, Pa, shape `(n, sources, steps)`.
            state: Where the rows start; None for silence.
            keep: Whether to return where they end.

        Returns:
            The field at the microphones after each step, Pa, shape `(n, microphones, steps)`; the state at the end, or
            None.

        Raises:
            MeasurementError: The field ran away; the message names row, cell and step.
        """
        source_NST = np.ascontiguousarray(source_NST, dtype=self.dtype)
        return self._propagate(source_NST, state, keep)

    @abstractmethod
    def _propagate(
        self, source_NST: Array, state: FieldState | None, keep: bool
    ) -> tuple[Array, FieldState | None]: ...

    def run_away(self, row: int, cell: int, step: int, value: float) -> MeasurementError:
        """Return the error to raise."""
        halo, width = self.scheme.grid.halo, self.scheme.grid.padded[1]
        y, x = divmod(cell, width)
        pitch = self.scheme.grid.pitch
        return MeasurementError(
            f"the field must stay below {self.limit:.3g} Pa, got {value:.3g} Pa in row {self._first_row + row} "
            f"at step {step} ({step * self.scheme.time_step:.6g} s), cell (y, x) = ({y - halo}, {x - halo}) at "
            f"({(y - halo) * pitch:.3g} m, {(x - halo) * pitch:.3g} m). The scheme is unstable: use a smaller "
            "time step."
        )


def a_priori_limit(scheme: Scheme, *, sources: int, steps: int, strength: float) -> float:
    """Return a field in Pa that a stable scheme can't reach from silence.

    By the bound of `acoustic_media` the speed |u_t| of the whole field, in the norm weighted with 1/c^2, grows in a
    step by at most dt |s| / g, g^2 = 1 - dt^2 max(A) / 4, and the field by dt |u_t| / g. With |s| the largest that
    sources, saturated stiffness and equation of state can be together, that is `steps^2 dt^2 |s| / g^2`, which is
    turned from a norm into a field by max(c). Ten times of it leave room for rounding and for the absorbing layers,
    which the bound does not cover.

    Args:
        scheme: The scheme.
        sources: How many.
        steps: Steps of a row.
        strength: Largest strength of one source, Pa.
    """
    medium, grid, dt = scheme.medium, scheme.grid, scheme.time_step
    slow, fast = float(medium.speed_YX.min()), float(medium.speed_YX.max())
    total = sources * strength * fast / grid.pitch**2
    elements = medium.elements
    if elements is not None:
        total += len(elements.cells) * elements.stiffness * elements.threshold / slow
        total += len(elements.cells) * fast * grid.largest * abs(elements.speed) * elements.threshold
    margin = max(1 - dt**2 * largest_eigenvalue(grid, medium) / 4, 1e-6)
    return max(10 * fast * (steps * dt) ** 2 * total / margin, 1e-3)


def element_values(x_E: Floats) -> tuple[Floats, Floats, Floats]:
    """Return how F, B and r of `acoustic_media` depend on x = u / threshold, for tests and plots.

    Returns:
        `x / sqrt(1 + x^2)`, `1 / (1 + x^2)` and `x^3 / (1 + x^2)^1.5`.
    """
    square = 1 / (1 + x_E**2)
    return x_E * np.sqrt(square), square, x_E**3 * square**1.5
