"""Any waveforms through an acoustic cavity, from silence: stepped, or convolved with its impulse responses.

Axis letters: N rows; S sources; M microphones; T time steps; K steps of an impulse response.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from physnet.errors import SpecError

from .acoustic_backends import Kind, make_solver
from .acoustic_cavity import Room
from .acoustic_grid import Floats
from .acoustic_media import Scheme
from .acoustic_solver import FieldSolver, a_priori_limit
from .acoustic_torch import TorchSolver

_PART = 2048  # steps of an impulse response that are computed at once
_PARTS = 256  # at most
_DECAYED = 1e-9  # of its peak: below what single precision keeps of a trace


class Waveforms:
    """Plays waveforms of any length.

    Args:
        scheme: The grid, the medium and the time step.
        room: Where sources and microphones are.
        stepped: Whether the field is stepped; otherwise a linear cavity is convolved with its impulse responses.
        kind: What steps the field.
        device: torch device of the field.
    """

    def __init__(self, *, scheme: Scheme, room: Room, stepped: bool, kind: Kind, device: torch.device) -> None:
        self._scheme, self._room, self._stepped, self._kind, self._device = scheme, room, stepped, kind, device
        self._solver: FieldSolver | None = None
        self._impulse: tuple[Floats, Floats] | None = None

    def propagate(self, source_NST: NDArray[Any]) -> NDArray[Any]:
        """Return the field at the microphones after each step, Pa, shape `(n, microphones, steps)`.

        Args:
            source_NST: Strength of each source at each step, Pa.

        Raises:
            MeasurementError: The field ran away.
            SpecError: Sound rings too long for an impulse response.
        """
        if self._stepped:
            trace_NMT, _ = self._stepping(source_NST).propagate(source_NST)
            return trace_NMT
        impulse_SMK, rest_SM = self._impulses()
        steps = source_NST.shape[2]
        total_NMT = np.zeros((len(source_NST), impulse_SMK.shape[1], steps))
        for wave_NT, impulse_MK, rest_M in zip(source_NST.swapaxes(0, 1), impulse_SMK, rest_SM, strict=True):
            if wave_NT.any():
                wave_NMT = wave_NT[:, None].astype(np.float64)
                total_NMT += signal.oaconvolve(wave_NMT, impulse_MK[None], axes=2)[:, :, :steps]
                total_NMT += rest_M[:, None] * wave_NMT.cumsum(2)
        return total_NMT

    def _stepping(self, source_NST: NDArray[Any]) -> FieldSolver:
        needed = a_priori_limit(
            self._scheme,
            sources=source_NST.shape[1],
            steps=source_NST.shape[2],
            strength=float(np.abs(source_NST).max(initial=0.0)),
        )
        if self._solver is None or self._solver.limit < needed:
            # Compiled tables hold the limit: leave room, so that the next waveform seldom needs new ones.
            places: dict[str, Any] = {"sources": self._room.sources, "microphones": self._room.microphones}
            places["limit"] = 16 * needed
            self._solver = make_solver(self._kind, self._scheme, device=self._device, **places)
        return self._solver

    def _impulses(self) -> tuple[Floats, Floats]:
        """Return the impulse responses less what stays, and what stays: a closed cavity keeps the air blown into it."""
        if self._impulse is None:
            room = self._room
            solver = TorchSolver(self._scheme, dtype=np.float64, sources=room.sources, microphones=room.microphones)
            count = len(self._room.sources)
            source_NST = np.zeros((count, count, _PART))
            source_NST[range(count), range(count), 0] = 1
            parts: list[Floats] = []
            state, peak = None, 0.0
            while not parts or not np.ptp(parts[-1], axis=2).max() <= _DECAYED * peak:
                if len(parts) == _PARTS:
                    seconds = _PARTS * _PART * self._scheme.time_step
                    raise SpecError(
                        f"sound must decay within {seconds:.3g} s for an impulse response. Shorten the reverberation "
                        "of the cavity, or set route = 'field'."
                    )
                part_SMK, state = solver.propagate(source_NST, state, keep=True)
                source_NST[...] = 0
                parts.append(part_SMK)
                peak = max(peak, float(np.abs(part_SMK).max()))
            rest_SM = parts[-1][:, :, -1]
            self._impulse = np.concatenate(parts, axis=2) - rest_SM[:, :, None], rest_SM
        return self._impulse
