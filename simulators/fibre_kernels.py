"""Compiled steps of the multimode Kerr equation: sixteen rows side by side, from the first step to the last.

Import it through `fibre_numba`, which knows what to do without numba. The sixteen rows are one vector of LLVM, so that
all take the same instructions and none sees another; an amplitude is two vectors, real and imaginary part. Continuous
light has one sample in time, pulses many; between the samples there is a Fourier transform, of radix 2, decimated in
frequency on the way to the spectrum and in time on the way back, so that nothing is ever permuted.

The sum over all quadruples of modes is taken in real space, one pair of lines of nodes after the other. Modes are
products of two functions of one coordinate each, so the field on a line is composed in two short sums, first over the
modes of a group, then over the groups; even and odd groups apart, which gives the node and its mirror image at once.
The way back is the same in reverse. Nothing larger than a line is ever held: all of it stays in the first-level cache.

It is one file because numba's cache of a function does not see a change in another file; `lanes` has an edition.

Names: `a` amplitudes, `k` the Kerr term; `v` modes along the lines, (line, mode); `w` across them, (node, group); `t`
what groups add up to on two lines; `e` the field at the pairs of nodes, even and odd part; `r`, `i` parts; `L` lanes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from .lanes import EDITION, FAST, LANES, load, spread, store

_F = TypeVar("_F", bound=Callable[..., Any])
_numba: Any = importlib.import_module("numba")

assert EDITION == 1  # the kernels are compiled anew when this line changes
L = LANES
_TWO, _FOUR = 2 * L, 4 * L
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": set(FAST), "boundscheck": False, "error_model": "numpy"}
_ZERO, _ONE, _HALF, _SIXTH, _THIRD = (np.float32(value) for value in (0.0, 1.0, 1 / 2, 1 / 6, 1 / 3))


def _inlined(function: _F) -> _F:
    return cast(_F, _numba.njit(forceinline=True, **_OPTIONS)(function))


def _compiled(function: _F) -> _F:
    try:
        return cast(_F, _numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # no folder to write a cache to: compile once per process
        return cast(_F, _numba.njit(**_OPTIONS)(function))


@_inlined
def _add_up(x: Any, first: int, last: int, c: Any, p: int, q: int) -> Any:
    """Return two sums over the same numbers, with the factors from `p` and from `q` on."""
    zero = spread(_ZERO)
    ar, ai, br, bi = zero, zero, zero, zero
    for n in range(first, last):
        xr, xi = load(x, _TWO * n), load(x, _TWO * n + L)
        ar, ai = ar + c[p + n] * xr, ai + c[p + n] * xi
        br, bi = br + c[q + n] * xr, bi + c[q + n] * xi
    return ar, ai, br, bi


@_inlined
def _store2(x: Any, p: int, r: Any, i: Any) -> None:
    store(x, p, r)
    store(x, p + L, i)


@_inlined
def _react(e: Any, x: int, weight: Any, er: Any, ei: Any, zr: Any, zi: Any) -> None:
    """Multiply the field at a node and at its image with the intensity there; store the even and the odd part."""
    pr, pi, mr, mi = er + zr, ei + zi, er - zr, ei - zi
    plus, minus = weight * (pr * pr + pi * pi), weight * (mr * mr + mi * mi)
    pr, pi, mr, mi = plus * pr, plus * pi, minus * mr, minus * mi
    _store2(e, _FOUR * x, pr + mr, pi + mi)
    _store2(e, _FOUR * x + _TWO, pr - mr, pi - mi)


@_compiled
def _line(t: Any, row: int, w: Any, weight: Any, first: int, even: int, groups: int, nodes: int, e: Any) -> None:
    """Turn what the groups add up to on one line into what its nodes give back to them, in place."""
    base = row * groups
    for x in range(0, nodes, 2):
        p, q = x * groups - base, (x + 1) * groups - base
        er, ei, fr, fi = _add_up(t, base, base + even, w, p, q)
        zr, zi, hr, hi = _add_up(t, base + even, base + groups, w, p, q)
        _react(e, x, weight[first + x], er, ei, zr, zi)
        _react(e, x + 1, weight[first + x + 1], fr, fi, hr, hi)
    zero = spread(_ZERO)
    for g in range(groups):
        part = 0 if g < even else _TWO
        ar, ai = zero, zero
        for x in range(nodes):
            c = w[x * groups + g]
            ar, ai = ar + c * load(e, _FOUR * x + part), ai + c * load(e, _FOUR * x + part + L)
        _store2(t, _TWO * (base + g), ar, ai)


@_compiled
def _kerr(a: Any, k: Any, tables: Any, t: Any, e: Any) -> None:
    """Write the Kerr term of one sample into `k`."""
    v, w, start, weight, even, nodes, lines = tables
    groups, modes = len(start) - 1, start[-1]
    zero = spread(_ZERO)
    for m in range(2 * modes):
        store(k, m * L, zero)
    for y in range(0, lines, 2):
        p, q = y * modes, (y + 1) * modes
        for g in range(groups):
            ar, ai, br, bi = _add_up(a, start[g], start[g + 1], v, p, q)
            _store2(t, _TWO * g, ar, ai)
            _store2(t, _TWO * (groups + g), br, bi)
        for row in range(2):
            _line(t, row, w, weight, (y + row) * nodes, even, groups, nodes, e)
        for g in range(groups):
            ar, ai = load(t, _TWO * g), load(t, _TWO * g + L)
            br, bi = load(t, _TWO * (groups + g)), load(t, _TWO * (groups + g) + L)
            for m in range(start[g], start[g + 1]):
                c, d, place = v[p + m], v[q + m], _TWO * m
                _store2(k, place, load(k, place) + (c * ar + d * br), load(k, place + L) + (c * ai + d * bi))


@_compiled
def _to_spectrum(x: Any, first: int, apart: int, samples: int, twiddle: Any) -> None:
    """Transform the samples of one mode, `apart` numbers from each other; the spectrum lies in bit-reversed order."""
    half, stride = samples // 2, 1
    while half:
        for block in range(0, samples, 2 * half):
            for j in range(half):
                p = first + apart * (block + j)
                q = p + apart * half
                c, d = twiddle[2 * j * stride], twiddle[2 * j * stride + 1]
                ar, ai, br, bi = load(x, p), load(x, p + L), load(x, q), load(x, q + L)
                _store2(x, p, ar + br, ai + bi)
                ar, ai = ar - br, ai - bi
                _store2(x, q, ar * c - ai * d, ar * d + ai * c)
        half, stride = half // 2, 2 * stride


@_compiled
def _to_samples(x: Any, first: int, apart: int, samples: int, twiddle: Any) -> None:
    """Undo `_to_spectrum`, but for a factor `samples`."""
    half, stride = 1, samples // 2
    while half < samples:
        for block in range(0, samples, 2 * half):
            for j in range(half):
                p = first + apart * (block + j)
                q = p + apart * half
                c, d = twiddle[2 * j * stride], twiddle[2 * j * stride + 1]
                ar, ai, br, bi = load(x, p), load(x, p + L), load(x, q), load(x, q + L)
                br, bi = br * c + bi * d, bi * c - br * d
                _store2(x, p, ar + br, ai + bi)
                _store2(x, q, ar - br, ai - bi)
        half, stride = 2 * half, stride // 2


@_compiled
def _turn(x: Any, half: Any, modes: int, width: int, samples: int, twiddle: Any) -> None:
    """Multiply each mode, at each frequency, with what half a step does to it, and with what rounding took from that.

    The small part goes first into a fused multiply-add, before anything is rounded: added last it would be rounded off.
    """
    apart = _TWO * width
    for m in range(modes):
        if samples > 1:
            _to_spectrum(x, _TWO * m, apart, samples, twiddle)
        for n in range(samples):
            p, f = _TWO * m + apart * n, 4 * (m * samples + n)
            c, d, low_c, low_d = half[f], half[f + 1], half[f + 2], half[f + 3]
            xr, xi = load(x, p), load(x, p + L)
            yr = (xr * c + (xr * low_c - xi * low_d)) - xi * d
            yi = (xr * d + (xr * low_d + xi * low_c)) + xi * c
            _store2(x, p, yr, yi)
        if samples > 1:
            _to_samples(x, _TWO * m, apart, samples, twiddle)


@_compiled
def change(a: Any, k: Any, gain: Any, width: int, samples: int, tables: Any, t: Any, e: Any) -> None:
    """Write `i gain` times the Kerr term of each sample into `k`; arguments as for `advance`."""
    modes = tables[2][-1]
    for n in range(samples):
        x, y = a[n * _TWO * width : (n + 1) * _TWO * width], k[n * _TWO * width : (n + 1) * _TWO * width]
        _kerr(x, y, tables, t, e)
        for m in range(modes):
            kr, ki = load(y, _TWO * m), load(y, _TWO * m + L)
            _store2(y, _TWO * m, (-gain) * ki, gain * kr)


@_inlined
def _add(out: Any, x: Any, c: Any, y: Any, size: int) -> None:
    """Write `x + c y`."""
    for p in range(0, size, L):
        store(out, p, load(x, p) + c * load(y, p))


@_compiled
def _step(a: Any, room: Any, line: Any, tables: Any, t: Any, e: Any) -> None:
    """Take one step, in place: Runge-Kutta of order 4 for what is left without the linear phases."""
    half, gain, width, samples, twiddle = line
    begun, mean, trial, k = room[0], room[1], room[2], room[3]
    modes, size = tables[2][-1], samples * _TWO * width
    for p in range(0, size, L):
        store(begun, p, load(a, p))
    _turn(begun, half, modes, width, samples, twiddle)
    change(a, k, gain, width, samples, tables, t, e)
    _turn(k, half, modes, width, samples, twiddle)
    _add(mean, begun, _SIXTH, k, size)
    _add(trial, begun, _HALF, k, size)
    change(trial, k, gain, width, samples, tables, t, e)
    _add(mean, mean, _THIRD, k, size)
    _add(trial, begun, _HALF, k, size)
    change(trial, k, gain, width, samples, tables, t, e)
    _add(mean, mean, _THIRD, k, size)
    _add(trial, begun, _ONE, k, size)
    _turn(trial, half, modes, width, samples, twiddle)
    change(trial, k, gain, width, samples, tables, t, e)
    _turn(mean, half, modes, width, samples, twiddle)
    _add(a, mean, _SIXTH, k, size)


@_compiled
def _couple(a: Any, k: Any, junction: Any, width: int, samples: int) -> None:
    """Multiply each sample with the matrix of a junction, in place; `k` is room."""
    modes = len(junction)
    zero = spread(_ZERO)
    for n in range(samples):
        base = n * _TWO * width
        for m in range(modes):
            ar, ai = zero, zero
            for o in range(modes):
                p = base + _TWO * o
                c, d, xr, xi = junction[m, o, 0], junction[m, o, 1], load(a, p), load(a, p + L)
                ar, ai = ar + (c * xr - d * xi), ai + (c * xi + d * xr)
            _store2(k, base + _TWO * m, ar, ai)
    for p in range(0, samples * _TWO * width, L):
        store(a, p, load(k, p))


@_compiled
def advance(a: Any, room: Any, line: Any, steps: int, junctions: Any, tables: Any, t: Any, e: Any) -> None:
    """Take sixteen rows through all sections, in place.

    Args:
        a: Amplitudes, (sample, mode, part, row), flat, at a multiple of 64 bytes, like `room`, `t` and `e`. Modes
            beyond the number of modes, up to `width`, are zero.
        room: Four times as much, zeros.
        line: What half a step does to each mode at each frequency, in bit-reversed order and over the number of
            samples: real and imaginary part, and what rounding took from either (each step would change the energy by
            the same 3e-8 otherwise); the gain of the Kerr term in a step; `width`; samples, a power of two; the factors
            of the Fourier transform.
        steps: Of a section.
        junctions: Matrices between the sections, (junction, mode, mode, part).
        tables: Modes along the lines, modes across them, first mode of each group, weights, number of even groups, of
            nodes on half a line, and of lines; even numbers of nodes and lines.
        t: Two amplitudes for each group.
        e: Two numbers for each node on half a line.
    """
    for section in range(len(junctions) + 1):
        if section:
            _couple(a, room[3], junctions[section - 1], line[2], line[3])
        for _ in range(steps):
            _step(a, room, line, tables, t, e)
