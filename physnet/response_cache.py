"""Responses of a system that repeats itself exactly, kept in memory and given again instead of measured again."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import ResponseSpec
from .seeding import stream

_KEY_BYTES = 16
_OVERHEAD = 200
"""Bytes that Python takes to find a row again, beside the row itself: a key, a number and their places in a table."""
_FIRST_ROWS = 256


class ResponseCache:
    """Keeps the response to each drive, as much as fits; then each new row takes the place of one chosen by chance.

    By chance, and not the one that was used longest ago: training goes through its samples over and over, and that
    one is then always the one that is needed next.

    Args:
        spec: What a response is.
        dtype: torch type of the responses.
        device: Where they are kept.
        megabytes: Memory for them, in MB, > 0.
        seed: Chooses what makes room.
    """

    def __init__(
        self, spec: ResponseSpec, *, dtype: torch.dtype, device: torch.device, megabytes: float, seed: int
    ) -> None:
        self._shape = spec.shape
        row = spec.channels * torch.empty(0, dtype=dtype).element_size()
        self.row_bytes = row + _OVERHEAD
        """Memory that a row takes."""
        self.capacity = int(megabytes * 1e6 / self.row_bytes)
        """Rows that fit."""
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._rows = torch.empty((0, *spec.shape), dtype=dtype, device=device)
        self._flags = np.empty(0, np.uint8)
        self._random = stream(seed, "cache")

    def __len__(self) -> int:
        return len(self._keys)

    def clear(self) -> None:
        """Forget every response: the system has changed."""
        self._slots.clear()
        self._keys.clear()

    def keys(self, drive: NDArray[Any] | torch.Tensor) -> list[bytes]:
        """Return what tells drives apart, one for each row, bit for bit."""
        array = drive.detach().cpu().numpy() if isinstance(drive, torch.Tensor) else drive
        data, size = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, array.nbytes // max(1, len(array))
        starts = range(0, len(data), size)
        return [hashlib.blake2b(data[k : k + size], digest_size=_KEY_BYTES).digest() for k in starts]

    def find(self, keys: list[bytes]) -> NDArray[np.int64]:
        """Return where each response is kept, -1 where it is not."""
        return np.array([self._slots.get(key, -1) for key in keys], np.int64)

    def take(self, slots: NDArray[np.int64]) -> tuple[torch.Tensor, NDArray[np.uint8]]:
        """Return responses and their flags."""
        return self._rows[torch.from_numpy(slots).to(self._rows.device)], self._flags[slots]

    def keep(self, keys: list[bytes], responses: torch.Tensor, flags: NDArray[np.uint8]) -> None:
        """Keep responses.

        Args:
            keys: Of their drives.
            responses: Shape `(n, *response_shape)`.
            flags: Shape `(n,)`.
        """
        if not self.capacity:
            return
        for key in keys:
            self._place(key)
        self._grow()
        # Once it is full, a later row of this call may have taken an earlier one's place: only what stayed is written.
        stayed = {self._slots[key]: row for row, key in enumerate(keys) if key in self._slots}
        slots, rows = np.array([*stayed], np.int64), np.array([*stayed.values()], np.int64)
        device = self._rows.device
        self._rows[torch.from_numpy(slots).to(device)] = responses[torch.from_numpy(rows).to(device)]
        self._flags[slots] = flags[rows]

    def _place(self, key: bytes) -> None:
        """Find a place for a key, which may be that of another one."""
        if key in self._slots:
            return
        if len(self._keys) < self.capacity:
            slot = len(self._keys)
            self._keys.append(key)
        else:
            slot = int(self._random.integers(self.capacity))
            del self._slots[self._keys[slot]]
            self._keys[slot] = key
        self._slots[key] = slot

    def _grow(self) -> None:
        """Make room for as many rows as there are keys, twice as much each time."""
        room = len(self._rows)
        if len(self._keys) <= room:
            return
        more = min(self.capacity, max(_FIRST_ROWS, 2 * room, len(self._keys))) - room
        self._rows = torch.cat([self._rows, self._rows.new_empty((more, *self._shape))])
        self._flags = np.concatenate([self._flags, np.zeros(more, np.uint8)])
