"""Compiled steps of the nonlinear Schroedinger equation: sixteen rows side by side, from the first step to the last.

Import it through `waveguide_numba`, which knows what to do without numba. The sixteen rows are one vector of LLVM,
which splits it where registers are narrower; so all rows take the same instructions, and none sees another. A point of
the field is two vectors, real and imaginary part, 128 bytes; a group of 1 024 points is 128 KiB and stays in the
second-level cache for all its steps.

The Fourier transform is of radix 4 (2 at the top, where the length asks for it), decimated in frequency on the way to
the spectrum and in time on the way back: the spectrum then lies in digit-reversed order, in which its factors are
stored, and nothing is ever permuted. Blocks of 64 points go through all their stages at once, in the first-level cache.
Between two spectra the last stage back, the nonlinear phase and the first stage forth are one pass.

It is one file because numba's cache of a function does not see a change in another file; `lanes` has an edition.

Names: `x` the field, `y` the power for the late response; `p` a place in them, `s` the distance to the next branch of a
butterfly, in numbers; `w` twiddle factors from `t` on; `a` to `d` branches; `r`, `i` parts; `L` lanes.

Source:
    C. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, sections 1.9 and 2.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .lanes import EDITION, LANES, compiled, inlined, larger, load, sincos, spread, store

assert EDITION == 1  # the kernels are compiled anew when this line changes
L = LANES
_POINT = 2 * L  # numbers of a point
_LEAF = 64  # points that go through all their stages at once
_HALF = np.float32(0.5)


@inlined
def _turn(ar: Any, ai: Any, w: Any, t: int) -> Any:
    """Return a w."""
    return ar * w[t] - ai * w[t + 1], ar * w[t + 1] + ai * w[t]


@inlined
def _turn_back(ar: Any, ai: Any, w: Any, t: int) -> Any:
    """Return a w*."""
    return ar * w[t] + ai * w[t + 1], ai * w[t] - ar * w[t + 1]


@inlined
def _four(ar: Any, ai: Any, br: Any, bi: Any, cr: Any, ci: Any, dr: Any, di: Any) -> Any:
    """Return the transform of four numbers."""
    er, ei, fr, fi = ar + cr, ai + ci, ar - cr, ai - ci
    gr, gi, hr, hi = br + dr, bi + di, br - dr, bi - di
    return er + gr, ei + gi, fr + hi, fi - hr, er - gr, ei - gi, fr - hi, fi + hr


@inlined
def _load4(x: Any, p: int, s: int) -> Any:
    return (
        load(x, p), load(x, p + L), load(x, p + s), load(x, p + s + L),
        load(x, p + 2 * s), load(x, p + 2 * s + L), load(x, p + 3 * s), load(x, p + 3 * s + L),
    )  # fmt: skip


@inlined
def _store4(
    x: Any, p: int, s: int, ar: Any, ai: Any, br: Any, bi: Any, cr: Any, ci: Any, dr: Any, di: Any
) -> None:  # fmt: skip
    store(x, p, ar)
    store(x, p + L, ai)
    store(x, p + s, br)
    store(x, p + s + L, bi)
    store(x, p + 2 * s, cr)
    store(x, p + 2 * s + L, ci)
    store(x, p + 3 * s, dr)
    store(x, p + 3 * s + L, di)


@inlined
def _forth(x: Any, p: int, s: int, w: Any, t: int) -> None:
    """One butterfly of radix 4 on the way to the spectrum."""
    ar, ai, br, bi, cr, ci, dr, di = _load4(x, p, s)
    ar, ai, br, bi, cr, ci, dr, di = _four(ar, ai, br, bi, cr, ci, dr, di)
    br, bi = _turn(br, bi, w, t)
    cr, ci = _turn(cr, ci, w, t + 2)
    dr, di = _turn(dr, di, w, t + 4)
    _store4(x, p, s, ar, ai, br, bi, cr, ci, dr, di)


@inlined
def _back(x: Any, p: int, s: int, w: Any, t: int) -> None:
    """One butterfly of radix 4 on the way back, without the factor 1/4."""
    ar, ai, br, bi, cr, ci, dr, di = _load4(x, p, s)
    br, bi = _turn_back(br, bi, w, t)
    cr, ci = _turn_back(cr, ci, w, t + 2)
    dr, di = _turn_back(dr, di, w, t + 4)
    # backwards, the second and the fourth change places
    ar, ai, dr, di, cr, ci, br, bi = _four(ar, ai, br, bi, cr, ci, dr, di)
    _store4(x, p, s, ar, ai, br, bi, cr, ci, dr, di)


@inlined
def _rotate(ar: Any, ai: Any, power: Any, gain: Any) -> Any:
    """Return a exp(i gain power)."""
    sine, cosine = sincos(power * gain)
    return ar * cosine - ai * sine, ar * sine + ai * cosine


@inlined
def _through4(x: Any, p: int, s: int, w: Any, t: int, gain: Any, peak: Any) -> Any:
    """A butterfly back, the phase of Kerr, and a butterfly forth. Return the peak power."""
    ar, ai, br, bi, cr, ci, dr, di = _load4(x, p, s)
    br, bi = _turn_back(br, bi, w, t)
    cr, ci = _turn_back(cr, ci, w, t + 2)
    dr, di = _turn_back(dr, di, w, t + 4)
    ar, ai, dr, di, cr, ci, br, bi = _four(ar, ai, br, bi, cr, ci, dr, di)
    pa, pb, pc, pd = ar * ar + ai * ai, br * br + bi * bi, cr * cr + ci * ci, dr * dr + di * di
    peak = larger(larger(larger(larger(peak, pa), pb), pc), pd)
    ar, ai = _rotate(ar, ai, pa, gain)
    br, bi = _rotate(br, bi, pb, gain)
    cr, ci = _rotate(cr, ci, pc, gain)
    dr, di = _rotate(dr, di, pd, gain)
    ar, ai, br, bi, cr, ci, dr, di = _four(ar, ai, br, bi, cr, ci, dr, di)
    br, bi = _turn(br, bi, w, t)
    cr, ci = _turn(cr, ci, w, t + 2)
    dr, di = _turn(dr, di, w, t + 4)
    _store4(x, p, s, ar, ai, br, bi, cr, ci, dr, di)
    return peak


@inlined
def _through2(x: Any, p: int, s: int, w: Any, t: int, gain: Any, peak: Any) -> Any:
    """Do the same with two branches."""
    ar, ai, br, bi = load(x, p), load(x, p + L), load(x, p + s), load(x, p + s + L)
    br, bi = _turn_back(br, bi, w, t)
    ar, ai, br, bi = ar + br, ai + bi, ar - br, ai - bi
    pa, pb = ar * ar + ai * ai, br * br + bi * bi
    peak = larger(larger(peak, pa), pb)
    ar, ai = _rotate(ar, ai, pa, gain)
    br, bi = _rotate(br, bi, pb, gain)
    ar, ai, br, bi = ar + br, ai + bi, ar - br, ai - bi
    br, bi = _turn(br, bi, w, t)
    store(x, p, ar)
    store(x, p + L, ai)
    store(x, p + s, br)
    store(x, p + s + L, bi)
    return peak


@compiled
def _top_forth(x: Any, points: int, radix: int, w: Any) -> None:
    """First stage of the transform, over all points."""
    s = points // radix * _POINT
    for j in range(points // radix):
        p = j * _POINT
        if radix == 4:
            _forth(x, p, s, w, 6 * j)
        else:
            ar, ai, br, bi = load(x, p), load(x, p + L), load(x, p + s), load(x, p + s + L)
            store(x, p, ar + br)
            store(x, p + L, ai + bi)
            br, bi = _turn(ar - br, ai - bi, w, 2 * j)
            store(x, p + s, br)
            store(x, p + s + L, bi)


@compiled
def _top_back(x: Any, points: int, radix: int, w: Any) -> None:
    """Last stage of the transform back."""
    s = points // radix * _POINT
    for j in range(points // radix):
        p = j * _POINT
        if radix == 4:
            _back(x, p, s, w, 6 * j)
        else:
            ar, ai = load(x, p), load(x, p + L)
            br, bi = _turn_back(load(x, p + s), load(x, p + s + L), w, 2 * j)
            store(x, p, ar + br)
            store(x, p + L, ai + bi)
            store(x, p + s, ar - br)
            store(x, p + s + L, ai - bi)


@compiled
def _leaf(x: Any, p: int, factor: Any, f: int, w: Any, t: int) -> None:
    """Take 64 points to the spectrum, multiply, and bring them back."""
    last = t + 6 * 16
    for j in range(16):
        _forth(x, p + j * _POINT, 16 * _POINT, w, t + 6 * j)
    for k in range(4):
        for j in range(4):
            _forth(x, p + (16 * k + j) * _POINT, 4 * _POINT, w, last + 6 * j)
    for k in range(16):
        place, q = p + 4 * k * _POINT, f + 8 * k
        ar, ai, br, bi, cr, ci, dr, di = _load4(x, place, _POINT)
        ar, ai, br, bi, cr, ci, dr, di = _four(ar, ai, br, bi, cr, ci, dr, di)
        ar, ai = _turn(ar, ai, factor, q)
        br, bi = _turn(br, bi, factor, q + 2)
        cr, ci = _turn(cr, ci, factor, q + 4)
        dr, di = _turn(dr, di, factor, q + 6)
        ar, ai, dr, di, cr, ci, br, bi = _four(ar, ai, br, bi, cr, ci, dr, di)
        _store4(x, place, _POINT, ar, ai, br, bi, cr, ci, dr, di)
    for k in range(4):
        for j in range(4):
            _back(x, p + (16 * k + j) * _POINT, 4 * _POINT, w, last + 6 * j)
    for j in range(16):
        _back(x, p + j * _POINT, 16 * _POINT, w, t + 6 * j)


@compiled
def _filter(x: Any, points: int, radix: int, factor: Any, w: Any, stages: Any) -> None:
    """Everything between the first stage to the spectrum and the last one back."""
    block = points // radix
    for first in range(0, points, block):
        length, stage = block, 1
        while length > _LEAF:
            for start in range(first, first + block, length):
                for j in range(length // 4):
                    _forth(x, (start + j) * _POINT, length // 4 * _POINT, w, stages[stage] + 6 * j)
            length, stage = length // 4, stage + 1
        for start in range(first, first + block, _LEAF):
            _leaf(x, start * _POINT, factor, 2 * start, w, stages[stage])
        while length < block:
            length, stage = length * 4, stage - 1
            for start in range(first, first + block, length):
                for j in range(length // 4):
                    _back(x, (start + j) * _POINT, length // 4 * _POINT, w, stages[stage] + 6 * j)


@compiled
def _look(x: Any, y: Any, points: int, radix: int, w: Any, stages: Any, edges: Any, seen: Any) -> None:
    """Update the largest shares of the energy at the edges of window and spectrum. `y` is overwritten."""
    zero = spread(np.float32(0))
    total, early = zero, zero
    for k in range(points):
        p = k * _POINT
        ar, ai = load(x, p), load(x, p + L)
        store(y, p, ar)
        store(y, p + L, ai)
        power = ar * ar + ai * ai
        total = total + power
        early = early + power * edges[0, k]
    _top_forth(y, points, radix, w)
    length, stage = points // radix, 1
    while length > 1:
        for start in range(0, points, length):
            for j in range(length // 4):
                _forth(y, (start + j) * _POINT, length // 4 * _POINT, w, stages[stage] + 6 * j)
        length, stage = length // 4, stage + 1
    outer = zero
    for k in range(points):
        p = k * _POINT
        ar, ai = load(y, p), load(y, p + L)
        outer = outer + (ar * ar + ai * ai) * edges[1, k]
    store(y, 0, total)
    store(y, L, early)
    store(y, 2 * L, outer)
    for lane in range(L):
        energy = max(y[lane], np.float32(1e-37))
        seen[1, lane] = max(seen[1, lane], y[L + lane] / energy)
        seen[2, lane] = max(seen[2, lane], y[2 * L + lane] / (energy * np.float32(points)))


@compiled
def _kerr(
    x: Any, y: Any, points: int, radix: int, factor: Any, w: Any, stages: Any, gain: Any, prompt: Any, late: bool,
    peak: Any,
) -> Any:  # fmt: skip
    """Turn all points by their phase, by what was before as well if `late`. Return the peak power."""
    if late:
        for k in range(points):
            p = k * _POINT
            ar, ai = load(x, p), load(x, p + L)
            store(y, p, ar * ar + ai * ai)
            store(y, p + L, spread(np.float32(0)))
        _top_forth(y, points, radix, w)
        _filter(y, points, radix, factor, w, stages)
        _top_back(y, points, radix, w)
    for k in range(points):
        p = k * _POINT
        ar, ai = load(x, p), load(x, p + L)
        power = ar * ar + ai * ai
        peak = larger(peak, power)
        if late:
            power = power * prompt + load(y, p)
        ar, ai = _rotate(ar, ai, power, gain)
        store(x, p, ar)
        store(x, p + L, ai)
    return peak


@compiled
def solve(
    field: Any, room: Any, segments: Any, seen: Any, points: int, radix: int, linear: Any, delayed: Any, w: Any,
    stages: Any, edges: Any, gain: Any, prompt: Any,
) -> None:  # fmt: skip
    """Propagate up to sixteen rows through all segments, in place.

    Args:
        field: Real and imaginary parts, shape `(rows, 2 * points)`.
        room: Two aligned arrays of `32 * points` numbers.
        segments: Steps of each.
        seen: Peak power and the largest shares at the edges, shape `(3, 16)`; written.
        points: Samples.
        radix: Of the first stage.
        linear: Factors of a step in digit-reversed order, over `points`.
        delayed: Likewise of the late response; empty for none.
        w: Twiddle factors.
        stages: Where those of each stage begin.
        edges: 1 at the edges of the window, and of the spectrum in digit-reversed order, else 0.
        gain: Phase of a step per power.
        prompt: Share of the power that acts at once.
    """
    x, y = room[0], room[1]
    rows, late = field.shape[0], delayed.shape[0] > 0
    for k in range(points):
        for part in range(2):
            for lane in range(L):
                x[k * _POINT + part * L + lane] = field[lane, 2 * k + part] if lane < rows else np.float32(0)
    seen[:] = 0
    peak = spread(np.float32(0))
    _look(x, y, points, radix, w, stages, edges, seen)
    for steps in segments:
        peak = _kerr(x, y, points, radix, delayed, w, stages, gain * _HALF, prompt, late, peak)
        _top_forth(x, points, radix, w)
        for _ in range(steps - 1):
            _filter(x, points, radix, linear, w, stages)
            if late:
                _top_back(x, points, radix, w)
                peak = _kerr(x, y, points, radix, delayed, w, stages, gain, prompt, late, peak)
                _top_forth(x, points, radix, w)
            elif radix == 4:
                for j in range(points // 4):
                    peak = _through4(x, j * _POINT, points // 4 * _POINT, w, 6 * j, gain, peak)
            else:
                for j in range(points // 2):
                    peak = _through2(x, j * _POINT, points // 2 * _POINT, w, 2 * j, gain, peak)
        _filter(x, points, radix, linear, w, stages)
        _top_back(x, points, radix, w)
        peak = _kerr(x, y, points, radix, delayed, w, stages, gain * _HALF, prompt, late, peak)
        _look(x, y, points, radix, w, stages, edges, seen)
    store(y, 0, peak)
    for lane in range(L):
        seen[0, lane] = y[lane]
    for k in range(points):
        for part in range(2):
            for lane in range(rows):
                field[lane, 2 * k + part] = x[k * _POINT + part * L + lane]
