"""Compiled steps of the multimode Kerr equation: sixteen columns side by side, for continuous light from end to end.

Import it through `fibre_numba`, which knows what to do without numba. The sixteen columns are one vector of LLVM, so
that all take the same instructions and none sees another; an amplitude is two vectors, real and imaginary part.

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
_ZERO, _HALF, _SIXTH, _THIRD = (np.float32(value) for value in (0.0, 1 / 2, 1 / 6, 1 / 3))


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
    """Write the Kerr term of sixteen columns into `k`."""
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


@_inlined
def _turn(xr: Any, xi: Any, half: Any, m: int) -> Any:
    """Return a number times what half a step does to mode `m`, and times what rounding took from that.

    The small part goes first into a fused multiply-add, before anything is rounded: added last it would be rounded off.
    """
    c, d, low_c, low_d = half[4 * m], half[4 * m + 1], half[4 * m + 2], half[4 * m + 3]
    return (
        (xr * c + (xr * low_c - xi * low_d)) - xi * d,
        (xr * d + (xr * low_d + xi * low_c)) + xi * c,
    )


@_inlined
def _load_change(k: Any, m: int, gain: Any) -> Any:
    """Return `i gain k`."""
    return (-gain) * load(k, _TWO * m + L), gain * load(k, _TWO * m)


@_compiled
def _step(a: Any, room: Any, half: Any, gain: Any, tables: Any, t: Any, e: Any) -> None:
    """Take one step, in place: Runge-Kutta of order 4 for what is left without the linear phases."""
    begun, mean, trial, k = room[0], room[1], room[2], room[3]
    modes = tables[2][-1]
    _kerr(a, k, tables, t, e)
    for m in range(modes):
        p = _TWO * m
        br, bi = _turn(load(a, p), load(a, p + L), half, m)
        kr, ki = _load_change(k, m, gain)
        kr, ki = _turn(kr, ki, half, m)
        _store2(begun, p, br, bi)
        _store2(mean, p, br + _SIXTH * kr, bi + _SIXTH * ki)
        _store2(trial, p, br + _HALF * kr, bi + _HALF * ki)
    for stage in range(2):
        _kerr(trial, k, tables, t, e)
        for m in range(modes):
            p = _TWO * m
            kr, ki = _load_change(k, m, gain)
            br, bi = load(begun, p), load(begun, p + L)
            _store2(mean, p, load(mean, p) + _THIRD * kr, load(mean, p + L) + _THIRD * ki)
            if stage == 0:
                _store2(trial, p, br + _HALF * kr, bi + _HALF * ki)
            else:
                tr, ti = _turn(br + kr, bi + ki, half, m)
                _store2(trial, p, tr, ti)
    _kerr(trial, k, tables, t, e)
    for m in range(modes):
        p = _TWO * m
        kr, ki = _load_change(k, m, gain)
        mr, mi = _turn(load(mean, p), load(mean, p + L), half, m)
        _store2(a, p, mr + _SIXTH * kr, mi + _SIXTH * ki)


@_compiled
def _couple(a: Any, k: Any, junction: Any) -> None:
    """Multiply with the matrix of a junction, in place; `k` is room."""
    modes = len(junction)
    zero = spread(_ZERO)
    for m in range(modes):
        ar, ai = zero, zero
        for n in range(modes):
            c, d, xr, xi = junction[m, n, 0], junction[m, n, 1], load(a, _TWO * n), load(a, _TWO * n + L)
            ar, ai = ar + (c * xr - d * xi), ai + (c * xi + d * xr)
        _store2(k, _TWO * m, ar, ai)
    for m in range(2 * modes):
        store(a, m * L, load(k, m * L))


@_compiled
def advance(a: Any, room: Any, half: Any, gain: Any, steps: int, junctions: Any, tables: Any, t: Any, e: Any) -> None:
    """Take sixteen rows of continuous light through all sections, in place.

    Args:
        a: Amplitudes, (mode, part, row), flat, at a multiple of 64 bytes, like `room`, `t` and `e`.
        room: Four times as much.
        half: What half a step does to each mode: real and imaginary part, and what rounding took from either. Each
            step would change the energy by the same 3e-8 otherwise.
        gain: Of the Kerr term in a step.
        steps: Of a section.
        junctions: Matrices between the sections, (junction, mode, mode, part).
        tables: Modes along the lines, modes across them, first mode of each group, weights, number of even groups, of
            nodes on half a line, and of lines; even numbers of nodes and lines.
        t: Two amplitudes for each group.
        e: Two numbers for each node on half a line.
    """
    for section in range(len(junctions) + 1):
        if section:
            _couple(a, room[3], junctions[section - 1])
        for _ in range(steps):
            _step(a, room, half, gain, tables, t, e)


@_compiled
def change(wave: Any, out: Any, samples: int, gain: Any, tables: Any, room: Any, t: Any, e: Any) -> None:
    """Write `i gain` times the Kerr term of a pulse, all its samples, into `out`.

    Args:
        wave: Amplitudes, (mode, sample, part), flat.
        out: The same.
        samples: A multiple of 16.
        gain: Of the Kerr term in a step.
        tables: As for `advance`.
        room: As for `advance`.
        t: As for `advance`.
        e: As for `advance`.
    """
    a, k = room[0], room[1]
    modes = tables[2][-1]
    for first in range(0, samples, L):
        for m in range(modes):
            place, there = 2 * (m * samples + first), _TWO * m
            for n in range(L):
                a[there + n] = wave[place + 2 * n]
                a[there + L + n] = wave[place + 2 * n + 1]
        _kerr(a, k, tables, t, e)
        for m in range(modes):
            place, there = 2 * (m * samples + first), _TWO * m
            for n in range(L):
                out[place + 2 * n] = -gain * k[there + L + n]
                out[place + 2 * n + 1] = gain * k[there + n]
