"""Steps of the nonlinear Schroedinger equation on a CUDA device: a row stays in its threads' registers to the end.

Import it through `waveguide_cuda`, which knows what to do without numba-cuda. `waveguide_cuda_tables` tells how a row
lies in its threads. A thread has sixteen points; between the passes of a transform they change threads through shared
memory, where every thread writes to the places that it has read from last. So there is one barrier a change, four a
step of 1 024 samples, and no other traffic: factors of the step and twiddle factors stay in registers as well.

Names: `x` sixteen points, pairs of numbers; `p` their powers; `w` factors; `s` shared memory; `b` where in it a
thread's points begin, in each pass, and `o` how far from there they lie.
"""

from __future__ import annotations

import importlib
import math
from functools import lru_cache
from typing import Any

import numpy as np

from .cuda import kernel
from .cuda_fourier import added, each, each_pair, each_with, eights, fours, inlined, sixteen, turned, twos
from .cuda_pairs import SHARED
from .cuda_pairs import get as get_pair
from .cuda_pairs import put as put_pair
from .waveguide_cuda_tables import POINTS, Layout, lay_out

cuda: Any = importlib.import_module("numba.cuda")  # by this name, for the interpreter
_HALF, _ONE, _ZERO, _TINY = np.float32(0.5), np.float32(1), np.float32(0), np.float32(1e-37)
_NEAR = np.float32(math.pi / 4)
_PER_QUADRANT, _HIGH = np.float32(2 / math.pi), np.float32(201 / 128)  # 8 bits: times a number below 2^16 it is exact
_LOW = np.float32(math.pi / 2 - 201 / 128)
_WHOLE = np.float32(1.5 * 2**23)  # added and taken away again, it leaves the nearest whole number
# Taylor series on |r| <= pi/4: what is left out is below r^11 / 11! = 2e-9 (sine) and r^10 / 10! = 3e-8 (cosine).
_S3, _S5, _S7, _S9 = (np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in range(1, 5))
_C2, _C4, _C6, _C8 = (np.float32((-1) ** k / math.factorial(2 * k)) for k in range(1, 5))


@inlined
def near(phase: Any) -> Any:
    """Return cosine and sine for up to an eighth of a turn, within 2^-23."""
    z = phase * phase
    return (
        _ONE + z * (_C2 + z * (_C4 + z * (_C6 + z * _C8))),
        phase + phase * z * (_S3 + z * (_S5 + z * (_S7 + z * _S9))),
    )


@inlined
def far(phase: Any) -> Any:
    """Return the same for up to 2^16 quadrants, within 2^-23 + 2^-23 |phase|."""
    n = (phase * _PER_QUADRANT + _WHOLE) - _WHOLE
    cosine, sine = near((phase - n * _HIGH) - n * _LOW)
    quadrant = np.int32(n) & np.int32(3)
    if quadrant == 1:
        return -sine, cosine
    if quadrant == 2:
        return -cosine, -sine
    if quadrant == 3:
        return sine, -cosine
    return cosine, sine


@inlined
def _largest(p: Any) -> Any:
    """Return the largest size of sixteen numbers."""
    a = max(max(abs(p[0]), abs(p[1])), max(abs(p[2]), abs(p[3])))
    b = max(max(abs(p[4]), abs(p[5])), max(abs(p[6]), abs(p[7])))
    c = max(max(abs(p[8]), abs(p[9])), max(abs(p[10]), abs(p[11])))
    d = max(max(abs(p[12]), abs(p[13])), max(abs(p[14]), abs(p[15])))
    return max(max(a, b), max(c, d))


@inlined
def _sum(p: Any) -> Any:
    """Return the sum of sixteen numbers."""
    a, b = (p[0] + p[1]) + (p[2] + p[3]), (p[4] + p[5]) + (p[6] + p[7])
    c, d = (p[8] + p[9]) + (p[10] + p[11]), (p[12] + p[13]) + (p[14] + p[15])
    return (a + b) + (c + d)


_turned, _times = each_pair(turned), each_pair(inlined(lambda a, b: a * b))
_swapped, _real = each(inlined(lambda a: (a[1], a[0]))), each(inlined(lambda a: a[0]))
_powers, _as_points = each(inlined(lambda a: a[0] * a[0] + a[1] * a[1])), each(inlined(lambda p: (p, _ZERO)))
_scaled, _near, _far = each_with(inlined(lambda p, c, _: p * c)), each(near), each(far)
_plus, _pairs = each_pair(inlined(lambda a, b: a + b)), each_pair(inlined(lambda a, b: (a, b)))
# Warps of a multiprocessor: 168 and 255 registers a thread, of which the kernel's 1 024 samples need 8 more and 249.
_WARPS, _WARPS_LATE = 12, 8
_KEPT = 4096  # samples whose threads, 256 or less, have registers for all factors; longer rows read them in each step
_NOTHING = np.uint32(0)
_ALL = tuple(range(POINTS))


@inlined
def _rotated(x: Any, p: Any, size: Any, gain: Any) -> Any:
    """Return points turned by `gain` times `p`, the largest of which is `size`; seldom by more than an eighth."""
    phase = _scaled(p, gain, gain)
    if size * gain <= _NEAR:
        return _turned(x, _near(phase))
    return _turned(x, _far(phase))


@inlined
def _twiddled(x: Any, w: Any) -> Any:
    """Return points times their factors, the first of which is 1."""
    return (x[0], *_turned(x, w)[1:])


class _Passes:
    """The passes of a transform as parts of a kernel.

    Args:
        layout: How a row lies in its threads.
        is_kept: Whether factors are in registers.
    """

    def __init__(self, layout: Layout, *, is_kept: bool) -> None:
        self._is_kept = is_kept
        self._last = {2: twos, 4: fours, 8: eights, POINTS: sixteen}[layout.radices[-1]]
        self._offset_PK = [tuple(np.uint32(place) for place in offset_K) for offset_K in layout.offsets()]

    @property
    def number(self) -> int:
        """Of passes."""
        return len(self._offset_PK)

    def forth(self, number: int = 0) -> Any:
        """Return what takes points from one pass on to the spectrum."""
        if number == self.number - 1:
            last = self._last
            return inlined(lambda x, s, b, w: last(x))
        move, rest, twiddle = self._move(number, number + 1), self.forth(number + 1), self.factors(number)
        return inlined(lambda x, s, b, w: rest(move(_twiddled(sixteen(x), twiddle(w)), s, b), s, b, w))

    def back(self, number: int = 0) -> Any:
        """Return what takes points with their parts changed over from the spectrum to before one pass."""
        if number == self.number - 1:
            last = self._last
            return inlined(lambda x, s, b, w: last(x))
        move, rest, twiddle = self._move(number + 1, number), self.back(number + 1), self.factors(number)
        return inlined(lambda x, s, b, w: sixteen(_twiddled(move(rest(x, s, b, w), s, b), twiddle(w))))

    def factors(self, number: int) -> Any:
        """Return what finds one of the tables of factors: twiddle factors of passes, then those of the spectrum."""
        return inlined(lambda w: w[0][number]) if self._is_kept else read_factors(number)

    def held(self, number: int) -> Any:
        """Return what takes so many tables of factors into registers, where they are kept there."""
        if not self._is_kept:
            return inlined(lambda w: (w[0],))
        last = read_factors(number - 1)
        if number == 1:
            return inlined(lambda w: (last(w),))
        before = self.held(number - 1)
        return inlined(lambda w: (*before(w), last(w)))

    def renewed(self) -> Any:
        """Return what tells anew where factors are read, so that they are read in each step, not all before it."""
        if self._is_kept:
            return inlined(lambda w, where, lane: w)
        places = indices(self.number + 1)
        return inlined(lambda w, where, lane: (w[0], w[1], places(where, lane, _NOTHING)))

    def _move(self, before: int, after: int) -> Any:
        """Return what takes points through shared memory to the threads that have them in another pass."""
        put_to, got_from = self._offset_PK[before], self._offset_PK[after]
        store = each_with(inlined(lambda a, s, b: put_pair(s, b + a[1], a[0])))
        load = each_with(inlined(lambda o, s, b: get_pair(s, b + o)))

        def move(x: Any, s: Any, b: Any) -> Any:
            store(_pairs(x, put_to), s, b[before])
            cuda.syncthreads()
            return load(got_from, s, b[after])

        return inlined(move)


def read_factors(number: int) -> Any:
    """Return what reads one of the tables of factors, for the points of a thread."""
    read = each_with(inlined(lambda k, table, at: (table[number, 0, k, at], table[number, 1, k, at])))
    return inlined(lambda w: read(_ALL, w[1], w[2][number]))


def indices(count: int) -> Any:
    """Return what reads a thread's part of the first rows of a table of places, each increased."""
    row = count - 1
    if not row:
        return inlined(lambda table, lane, more: (np.uint32(table[row, lane]) + more,))
    before = indices(row)
    return inlined(lambda table, lane, more: (*before(table, lane, more), np.uint32(table[row, lane]) + more))


def _look(layout: Layout) -> Any:
    """Return what adds up two numbers of all threads of a row, and finds their largest third, in shared memory."""
    stride, one = np.uint32(layout.threads), np.uint32(1)

    def look(a: Any, b: Any, c: Any, s: Any, begin: Any, lane: Any) -> Any:
        here, there = begin + lane, begin + stride + lane
        cuda.syncthreads()  # the points that moved last are still being read
        put_pair(s, here, (a, b))
        put_pair(s, there, (c, c))
        cuda.syncthreads()
        left = stride >> one
        while left > 0:
            if lane < left:
                put_pair(s, here, added(get_pair(s, here), get_pair(s, here + left)))
                c = max(get_pair(s, there)[0], get_pair(s, there + left)[0])
                put_pair(s, there, (c, c))
            cuda.syncthreads()
            left = left >> one
        a, b = get_pair(s, begin)
        c, _ = get_pair(s, begin + stride)
        cuda.syncthreads()
        return a, b, c

    return inlined(look)


def _row(layout: Layout) -> tuple[Any, Any]:
    """Return what reads the points of a thread from a row in the device's memory, and what writes them."""
    stride = np.uint32(layout.threads)

    def put(a: Any, row: Any, lane: Any) -> Any:
        place = lane + stride * np.uint32(a[1])
        row[place, 0] = a[0][0]
        row[place, 1] = a[0][1]
        return lane

    def get(k: Any, row: Any, lane: Any) -> Any:
        place = lane + stride * np.uint32(k)
        return row[place, 0], row[place, 1]

    return each_with(inlined(get)), each_with(inlined(put))


@lru_cache
def make(samples: int, late: bool) -> Any:
    """Return the kernel for rows of so many samples.

    Args:
        samples: A power of two from 32 to 8 192.
        late: Whether the nonlinearity has a late response.
    """
    layout = lay_out(samples)
    passes = _Passes(layout, is_kept=samples <= _KEPT)
    rows, room, stride = layout.rows, np.uint32(layout.room), np.uint32(layout.threads)
    forth, back, look, (read, write) = passes.forth(), passes.back(), _look(layout), _row(layout)
    bases, places, held, renewed = indices(passes.number), indices(passes.number + 1), passes.held, passes.renewed()
    linear, delayed, hold = passes.factors(passes.number - 1), read_factors(passes.number), held(passes.number)
    mask = each_with(inlined(lambda k, edge, lane: edge[k, lane]))

    def filtered(x: Any, f: Any, s: Any, b: Any, w: Any) -> Any:
        return _swapped(back(_swapped(_turned(forth(x, s, b, w), f)), s, b, w))

    through = inlined(filtered)

    def solve(
        field: Any, seen: Any, table: Any, base: Any, inner: Any, edges: Any, segments: Any, gain: Any, prompt: Any
    ) -> None:  # fmt: skip
        s = cuda.shared.array(0, SHARED)
        thread = np.uint32(cuda.threadIdx.x)
        lane, slot = thread % stride, thread // stride
        row = cuda.blockIdx.x * rows + slot
        is_there, begin = row < field.shape[0], slot * room
        b, w = bases(base, lane, begin), (_ZERO, table, places(inner[0], lane, _NOTHING))
        w = hold(w), table, w[2]
        x = read(_ALL, field[row if is_there else 0], lane)
        peak, early, outer = _ZERO, _ZERO, _ZERO
        for number in range(segments.shape[0] + 1):
            steps = segments[number - 1] if number > 0 else -1
            for step in range(steps + 1):
                w = renewed(w, inner[step & 1], lane)
                if step > 0:
                    x = through(x, linear(w), s, b, w)
                p = _powers(x)
                size = _largest(p)
                peak = max(peak, size)
                if late:
                    p = _plus(_scaled(p, prompt, prompt), _real(through(_as_points(p), delayed(w), s, b, w)))
                    size = _largest(p)
                x = _rotated(x, p, size, gain if 0 < step < steps else gain * _HALF)
            p = _powers(x)
            energy, edge, peak = look(_sum(p), _sum(_times(p, mask(_ALL, edges[0], lane))), peak, s, begin, lane)
            share = edge / max(energy, _TINY)
            early = early if share <= early else share  # what is no number stays
            p = _powers(forth(x, s, b, w))
            energy, edge, peak = look(_sum(p), _sum(_times(p, mask(_ALL, edges[1], lane))), peak, s, begin, lane)
            share = edge / max(energy, _TINY)
            outer = outer if share <= outer else share
        if is_there:
            write(_pairs(x, _ALL), field[row], lane)
            if lane == 0:
                seen[0, row], seen[1, row], seen[2, row] = peak, early, outer

    block, warps = layout.threads * rows, _WARPS_LATE if late else _WARPS
    return kernel(solve, launch_bounds=(block, max(1, warps * 32 // block)))
