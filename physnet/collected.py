"""What a port has gathered of the rows that it was asked for, chunk by chunk, retry by retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import Flag, Reading
from .conversion import native


@dataclass(kw_only=True, eq=False)
class Collected:
    """Responses gathered so far, in the order of the request.

    Args:
        shape: Shape of one response.
        dtype: Type that responses are kept in.
        device: Where they are kept.
        response: Shape `(n, *shape)`; None before the first came.
        flags: Shape `(n,)`, bits of `Flag`.
        done: Shape `(n,)`: whether there is a usable response.
        presented: Shape `(n,)`: how often the row was presented.
        failures: Shape `(n,)`: how often that came to nothing.
        started, stopped: POSIX times of the first row and of the last, in s.
        shots: Of the last chunk.
        spread: Shape of `response`; None where none was told.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    flags: NDArray[np.uint8]
    done: NDArray[np.bool_]
    presented: NDArray[np.int64]
    failures: NDArray[np.int64]
    response: torch.Tensor | None = None
    started: float = 0.0
    stopped: float = 0.0
    shots: int = 1
    spread: torch.Tensor | None = None

    @classmethod
    def empty(cls, rows: int, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Self:
        """Return one that holds nothing yet."""
        return cls(
            shape=shape,
            dtype=dtype,
            device=device,
            flags=np.zeros(rows, np.uint8),
            done=np.zeros(rows, np.bool_),
            presented=np.zeros(rows, np.int64),
            failures=np.zeros(rows, np.int64),
        )

    def put(self, rows: NDArray[np.int64], response: torch.Tensor) -> None:
        """Take responses over for some rows: room for all is made when the first of them come."""
        if self.response is None:
            self.response = torch.zeros((len(self.done), *self.shape), dtype=self.dtype, device=self.device)
        self.response[torch.from_numpy(rows).to(self.device)] = response
        self.done[rows] = True

    def keep(self, rows: NDArray[np.int64], response: torch.Tensor, reading: Reading) -> int:
        """Store the usable rows of a chunk.

        Args:
            rows: Where its rows belong.
            response: Its responses, checked and converted.
            reading: What else it said.

        Returns:
            How many there were.
        """
        valid = torch.isfinite(torch.view_as_real(response) if response.is_complex() else response)
        good: NDArray[np.bool_] = valid.flatten(1).all(dim=1).cpu().numpy()
        if reading.valid is not None:
            good &= np.asarray(reading.valid, dtype=np.bool_)
        if reading.flags is not None:
            # A response that was triggered or captured at the wrong time may belong to another drive.
            good &= (np.asarray(reading.flags) & Flag.MISTIMED) == 0
        kept, chosen = rows[: len(response)][good], torch.from_numpy(good).to(self.device)
        if not self.stopped:
            self.started = reading.started
        self.put(kept, response[chosen])
        if reading.flags is not None:
            self.flags[kept] |= np.asarray(reading.flags, dtype=np.uint8)[good]
        if reading.spread is not None:
            assert self.response is not None
            if self.spread is None:
                self.spread = torch.full_like(self.response, float("nan"))
            spread = reading.spread if isinstance(reading.spread, torch.Tensor) else native(reading.spread)
            spread = spread.detach().to(device=self.device, dtype=self.dtype)
            self.spread[torch.from_numpy(kept).to(self.device)] = spread[chosen]
        self.stopped, self.shots = reading.stopped, reading.shots
        return len(kept)

    def reading(self, rows: slice = slice(None)) -> Reading:
        """Return what there is of some rows, each flagged as retried that was presented more than once."""
        assert self.response is not None
        flags = self.flags[rows] | np.where(self.presented[rows] > 1, np.uint8(Flag.RETRIED), np.uint8(0))
        return Reading(
            response=self.response[rows],
            valid=self.done[rows].copy(),
            flags=flags,
            started=self.started,
            stopped=self.stopped,
            shots=self.shots,
            spread=None if self.spread is None else self.spread[rows],
        )
