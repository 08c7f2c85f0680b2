"""The two ways from a drive to the response of an acoustic cavity: step by step, or as the matrix that it is.

Axis letters: N rows; D drives; S sources; M microphones; T time steps; C responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .acoustic_backends import ROWS, Kind, make_solver
from .acoustic_cavity import Room
from .acoustic_codec import Codec, Receiver
from .acoustic_media import Scheme
from .acoustic_solver import FieldSolver, FieldState, a_priori_limit
from .acoustic_transfer import Transfer, make_transfer

_SAMPLES = 16_000_000  # of microphone signals held at once, at most: 64 MB


class FieldRoute:
    """Steps the wave; remembers the sound of the row before, if asked to.

    Args:
        scheme: The grid, the medium and the time step.
        codec: From drives to what the sources play.
        receiver: From what the microphones hear to responses.
        room: Where sources and microphones are.
        strength: Of a source at full drive, Pa.
        memory: Whether a row begins in the sound of the row before.
        kind: What steps the field.
        device: torch device of the field.
    """

    def __init__(
        self,
        *,
        scheme: Scheme,
        codec: Codec,
        receiver: Receiver,
        room: Room,
        strength: float,
        memory: bool,
        kind: Kind,
        device: torch.device,
    ) -> None:
        self._scheme, self._codec, self._receiver, self._room = scheme, codec, receiver, room
        self._strength, self._memory, self._kind, self._device = strength, memory, kind, device
        self._solver: FieldSolver | None = None
        self._state: FieldState | None = None

    @property
    def height(self) -> int:
        """Rows of a call."""
        samples = len(self._room.microphones) * self._codec.steps
        return 1 if self._memory else int(np.clip(_SAMPLES // samples, 1, ROWS[self._kind]))

    def respond(self, drive_ND: torch.Tensor, rows: int) -> torch.Tensor:
        """Return the responses, shape `(n, responses)`; of the drives, only the first `rows` are played."""
        source_NST = self.waveforms(drive_ND)[:rows].numpy()
        begin = self._sound() if self._memory else None
        trace_NMT, end = self._made().propagate(source_NST, begin, keep=self._memory)
        if self._memory:
            self._state = end
        trace = torch.from_numpy(trace_NMT)
        if rows < len(drive_ND):
            trace = torch.nn.functional.pad(trace, (0, 0, 0, 0, 0, len(drive_ND) - rows))
        return self._receiver.detect(trace)

    def signals(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return what the microphones hear, Pa, shape `(n, microphones, steps)`, without memory."""
        trace_NMT, _ = self._made().propagate(self.waveforms(drive_ND).numpy())
        return torch.from_numpy(trace_NMT)

    def waveforms(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the strength of each source at each step, Pa, shape `(n, sources, steps)`."""
        return self._strength * self._codec.waveforms(drive_ND)

    def alone(self, drive_D: torch.Tensor) -> torch.Tensor:
        """Return the waveforms of one row with the bits that it has in a call, shape `(1, sources, steps)`."""
        return self.waveforms(torch.nn.functional.pad(drive_D[None], (0, 0, 0, self.height - 1)))[:1]

    def heard(self, trace_NMT: torch.Tensor) -> torch.Tensor:
        """Return the response to one row's signals, shape `(1, microphones, steps)`, with the bits that it has then."""
        return self._receiver.detect(torch.nn.functional.pad(trace_NMT, (0, 0, 0, 0, 0, self.height - 1)))[:1]

    def stations(
        self, source_NST: torch.Tensor, stops: Iterable[int]
    ) -> Iterator[tuple[int, NDArray[Any], FieldState]]:
        """Step from where a row begins, stop after some steps, and yield what is there: for looking at it.

        Memory is used, as a row would, and not changed.

        Args:
            source_NST: Strength of each source at each step, Pa.
            stops: Steps after which to stop, in ascending order.

        Yields:
            The stop; what the microphones heard since the last one, Pa, shape `(n, microphones, steps)`; the field.
        """
        state, begin = self._sound() if self._memory else None, 0
        for stop in stops:
            if stop > begin:
                trace_NMT, state = self._made().propagate(source_NST[:, :, begin:stop].numpy(), state, keep=True)
                assert state is not None  # it is kept
                yield stop, trace_NMT, state
                begin = stop

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the field that the next row begins in."""
        return self._sound().arrays() if self._memory else {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        if self._memory:
            self._state = FieldState.from_arrays(state, self._sound())

    def reset(self) -> None:
        """Silence."""
        self._state = None

    def _sound(self) -> FieldState:
        return FieldState.rest(self._scheme, 1, np.float32) if self._state is None else self._state

    def _made(self) -> FieldSolver:
        if self._solver is None:
            limit = a_priori_limit(
                self._scheme,
                sources=self._codec.sources,
                steps=self._codec.steps,
                strength=self._strength * self._codec.peak(),
            )
            if self._memory:  # the sound of earlier rows adds to it: leave room for a thousand
                limit *= 1e3
            places = {"sources": self._room.sources, "microphones": self._room.microphones, "limit": limit}
            self._solver = make_solver(self._kind, self._scheme, device=self._device, alone=self._memory, **places)
        return self._solver


class TransferRoute:
    """Multiplies with the matrix of a linear cavity, which is computed when it is first needed.

    Args:
        scheme: The grid, the medium and the time step.
        codec: From drives to what the sources play.
        receiver: From what the microphones hear to responses.
        room: Where sources and microphones are.
        strength: Of a source at full drive, Pa.
    """

    def __init__(self, *, scheme: Scheme, codec: Codec, receiver: Receiver, room: Room, strength: float) -> None:
        self._scheme, self._codec, self._receiver, self._room = scheme, codec, receiver, room
        self._strength = strength
        self._transfer: Transfer | None = None

    @property
    def height(self) -> int:
        """Rows of a call."""
        return self.matrix.height

    @property
    def matrix(self) -> Transfer:
        """The cavity as a matrix."""
        if self._transfer is None:
            self._transfer = make_transfer(
                self._scheme,
                self._codec,
                self._receiver,
                sources=self._room.sources,
                microphones=self._room.microphones,
                strength=self._strength,
            )
        return self._transfer

    def respond(self, drive_ND: torch.Tensor, rows: int) -> torch.Tensor:
        """Return the responses, shape `(n, responses)`, of all drives."""
        return self.matrix.respond(drive_ND)
