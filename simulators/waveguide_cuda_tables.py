"""How a row of a Fourier transform lies in the threads of a CUDA block: places, order of the spectrum, factors.

A row of N = 2^m samples belongs to N / 16 threads, and each thread holds sixteen points in registers. A pass transforms
over the bits of a point's place that are inside its threads; between two passes all points go through shared memory and
are taken up again by other bits. Passes are of radix 16, and the last one of what is left, 16, 8, 4 or 2.

The transform is decimated in frequency: the spectrum ends in digit-reversed order, in which its factors are stored. The
way back is the same passes in opposite order.

In shared memory one place in 17 is left free: place p lies at p + p // 16. A place is a pair of numbers, eight bytes:
half a warp moves at a time, and meets no bank twice if the four bits in which its places differ are different modulo
four. Which bits these are is free in all passes but the first.

Axis letters: P passes; Q passes but the last; K points of a thread; A threads of a row.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .waveguide_medium import Complexes

Ints = NDArray[np.int64]
Array = NDArray[Any]
POINTS = 16
"""Of a thread."""
_BITS = 4  # of a place are inside a thread
_WARP = 32
_BANKS = 4  # bits of the number of a pair of banks


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The threads of a row.

    Args:
        samples: Of a row.
        threads: Of a row.
        rows: Of a block, which is a warp at least.
        room: Places of a row in shared memory.
        radices: Of the passes, on the way to the spectrum.
        place_PKA: Which place each point has in each pass; in the first one, which sample it is.
        bin_KA: Which bin of the spectrum it is after the last pass.
        twiddle_QKA: Factors after each pass but the last, on the way to the spectrum; the first of a thread is 1.
        inner_QA: Which column of `twiddle_QKA` is a thread's. A pass has no more of them than threads, and 0 elsewhere.
    """

    samples: int
    threads: int
    rows: int
    room: int
    radices: tuple[int, ...]
    place_PKA: Ints
    bin_KA: Ints
    twiddle_QKA: Complexes
    inner_QA: Ints

    @property
    def shared(self) -> int:
        """Shared memory of a block, bytes."""
        return 8 * self.room * self.rows

    def bases(self) -> Ints:
        """Return where in shared memory a thread's points begin, in each pass, shape `(passes, threads)`."""
        return _padded(self.place_PKA[:, 0])

    def offsets(self) -> Ints:
        """Return how far from there each of them lies, the same in all threads, shape `(passes, points)`."""
        return _padded(self.place_PKA[:, :, 0]) - _padded(self.place_PKA[:, :1, 0])


@lru_cache
def lay_out(samples: int) -> Layout:
    """Return how rows of so many samples lie, a power of two from 32 on."""
    bits, threads = round(math.log2(samples)), samples // POINTS
    passes = -(-bits // _BITS)
    radices = (*(POINTS for _ in range(passes - 1)), 2 ** (bits - _BITS * (passes - 1)))
    lowest = [*(bits - _BITS * (number + 1) for number in range(passes - 1)), 0]
    place_PKA = np.stack([_places(bits, low) for low in lowest])
    twiddle_QKA, inner_QA = np.zeros((passes - 1, POINTS, threads), complex), np.zeros((passes - 1, threads), np.int64)
    for number in range(passes - 1):
        length = samples // POINTS**number
        turns = np.outer(np.arange(POINTS), np.arange(length // POINTS)) / length
        twiddle_QKA[number, :, : length // POINTS] = np.exp(-2j * math.pi * turns)
        inner_QA[number] = place_PKA[number, 0] % (length // POINTS)
    return Layout(
        samples=samples,
        threads=threads,
        rows=max(1, _WARP // threads),
        room=samples + samples // 2**_BANKS,
        radices=radices,
        place_PKA=place_PKA,
        bin_KA=_reversed(samples, radices)[place_PKA[-1]],
        twiddle_QKA=twiddle_QKA,
        inner_QA=inner_QA,
    )


def _places(bits: int, low: int) -> Ints:
    """Return the places of threads that hold four bits of them from `low` on, shape `(points, threads)`."""
    free = [bit for bit in range(bits) if not low <= bit < low + _BITS]

    def banks(lanes: tuple[int, ...]) -> int:
        return len({bit % _BANKS for bit in lanes if bit < 2 * _BANKS})

    lanes = max(itertools.combinations(free, min(_BANKS, len(free))), key=banks)
    thread_A = np.arange(2 ** len(free))
    base_A = np.zeros_like(thread_A)
    for number, bit in enumerate([*lanes, *(bit for bit in free if bit not in lanes)]):
        base_A |= (thread_A >> number & 1) << bit
    return np.asarray((np.arange(POINTS) << low)[:, None] | base_A)


def _padded(place: Ints) -> Ints:
    """Return where places lie in shared memory."""
    return np.asarray(place + place // 2**_BANKS)


def _reversed(length: int, radices: tuple[int, ...]) -> Ints:
    """Return which bin lies at each place of the spectrum."""
    if not radices:
        return np.zeros(1, np.int64)
    inner = _reversed(length // radices[0], radices[1:])
    return np.concatenate([branch + radices[0] * inner for branch in range(radices[0])])


def parts(values_KA: Complexes) -> Array:
    """Return real and imaginary parts in single precision: one axis more, before the last two."""
    return np.ascontiguousarray(np.stack((values_KA.real, values_KA.imag), axis=-3), dtype=np.float32)
