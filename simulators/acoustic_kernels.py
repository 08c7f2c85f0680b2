"""The field solver's compiled inner loops: a few rows of a batch from their first step to their last.

Import it through `acoustic_numba`, which knows what to do without numba. `lanes` rows lie side by side in every cell,
so that even a narrow absorbing layer fills a vector register. Several steps are taken at once on a few lines of the
grid that stay in the cache: step k + 1 follows step k at the distance of the stencil's reach, and overwrites what
nobody needs any more. Every quantity is that of `acoustic_torch`, summed in another order. A call costs as much as a
few lines, since numba counts the references to every array that it passes on: so calls do many lines each. It is one
file because numba's cache of a function does not see a change in another file.

Names: `cur` the field, `new` the field before it, which becomes the one after it; `width` cells of a padded line;
`L` lanes. Indices are unsigned, which spares a test for negative ones in the innermost loops.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

_F = TypeVar("_F", bound=Callable[..., Any])
_numba: Any = importlib.import_module("numba")
_compiler: Any = importlib.import_module("numba.core.compiler")
_U: Any = _numba.uint64


class _Apart(_compiler.Compiler):  # type: ignore[misc]
    """Tells LLVM that the arrays of a call don't overlap, which it would check before every short loop."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


def _compiled(**extra: Any) -> Callable[[_F], _F]:
    # "contract" allows fused multiply-adds; NaN and infinity keep their meaning, for a field that runs away.
    options = {"nogil": True, "fastmath": {"contract", "nsz"}, "boundscheck": False, "error_model": "numpy", **extra}

    def decorate(function: _F) -> _F:
        try:
            return cast(_F, _numba.njit(cache=True, **options)(function))
        except RuntimeError:  # no folder to write a cache to: compile once per process
            return cast(_F, _numba.njit(**options)(function))

    return decorate


@_compiled(pipeline_class=_Apart)
def _step(
    cur: Any, new: Any, phi_y: Any, phi_y_new: Any, zeta_y: Any, phi_x: Any, phi_x_new: Any, zeta_x: Any,
    centre: Any, past: Any, ring: Any, gain: Any, a_y: Any, b_y: Any, slope_y: Any, a_x: Any, b_x: Any, slope_x: Any,
    y0: int, y1: int, width: int, L: int, order: int, is_plain: bool, absorbing: bool, is_whole: bool, block: int,
    plain: Any, weights: Any, slabs: Any,
) -> None:  # fmt: skip
    """Take the step of the lines y0 to y1, but for single cells.

    In blocks of columns, each line by line: what the next line and the layers read again is still in the first-level
    cache then. `is_whole` takes the lines in one stretch instead and leaves rubbish in the padding beside them.
    """
    c, d, v1, v2 = plain
    w, w2, f, f2, r1, r2 = weights
    x, y, x2, y2 = _U(L), _U(width * L), _U(2 * L), _U(2 * width * L)
    edge, length, piece, lines = _U(order // 2 * L), _U(width * L), _U(block), y1 - y0
    span = length
    if is_whole:
        span, piece, lines = length * _U(lines), length * _U(lines), 1
    for number in range((span - edge - edge + piece - _U(1)) // piece):
        lo = edge + number * piece
        hi = min(lo + piece, span - edge)
        for line in range(y0, y0 + lines):
            base = _U(line) * length
            if order == 2 and is_plain:
                for i in range(base + lo, base + hi):
                    near = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
                    new[i] = c * cur[i] + v1 * near - d * new[i]
            elif order == 2:
                for i in range(base + lo, base + hi):
                    near = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
                    new[i] = centre[i] * cur[i] + ring[i] * near - past[i] * new[i]
            elif is_plain:
                for i in range(base + lo, base + hi):
                    near = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
                    far = (cur[i - x2] + cur[i + x2]) + (cur[i - y2] + cur[i + y2])
                    new[i] = c * cur[i] + v1 * near + v2 * far - d * new[i]
            else:
                for i in range(base + lo, base + hi):
                    near = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
                    far = (cur[i - x2] + cur[i + x2]) + (cur[i - y2] + cur[i + y2])
                    new[i] = centre[i] * cur[i] + ring[i] * (r1 * near + r2 * far) - past[i] * new[i]
            if not absorbing:
                continue
            off = base if is_plain else _U(0)
            if slabs[0, 0, 0] <= line < slabs[0, 0, 1] or slabs[0, 1, 0] <= line < slabs[0, 1, 1]:
                a, b, slope = a_y[line], b_y[line], slope_y[line]
                if order == 2:
                    for p in range(base + lo, base + hi):
                        mid, up, down = cur[p], cur[p + y], cur[p - y]
                        second, slant = w * ((up - mid) + (down - mid)), f * (up - down)
                        change = b * second + slope * slant + f * (phi_y[p + y] - phi_y[p - y])
                        memory = b * (second + change) + a * zeta_y[p]
                        zeta_y[p] = memory
                        new[p] += gain[p - off] * (change + memory)
                        phi_y_new[p] = a * (b * slant + phi_y[p])
                else:
                    for p in range(base + lo, base + hi):
                        mid, up, down, up2, down2 = cur[p], cur[p + y], cur[p - y], cur[p + y2], cur[p - y2]
                        second = w * ((up - mid) + (down - mid)) + w2 * ((up2 - mid) + (down2 - mid))
                        slant = f * (up - down) + f2 * (up2 - down2)
                        rise = f * (phi_y[p + y] - phi_y[p - y]) + f2 * (phi_y[p + y2] - phi_y[p - y2])
                        change = b * second + slope * slant + rise
                        memory = b * (second + change) + a * zeta_y[p]
                        zeta_y[p] = memory
                        new[p] += gain[p - off] * (change + memory)
                        phi_y_new[p] = a * (b * slant + phi_y[p])
            for side in range(2):
                first, last = max(_U(slabs[1, side, 0] * L), lo), min(_U(slabs[1, side, 1] * L), hi)
                if order == 2:
                    for i in range(first, last):
                        p = base + i
                        mid, up, down = cur[p], cur[p + x], cur[p - x]
                        second, slant = w * ((up - mid) + (down - mid)), f * (up - down)
                        change = b_x[i] * second + slope_x[i] * slant + f * (phi_x[p + x] - phi_x[p - x])
                        memory = b_x[i] * (second + change) + a_x[i] * zeta_x[p]
                        zeta_x[p] = memory
                        new[p] += gain[p - off] * (change + memory)
                        phi_x_new[p] = a_x[i] * (b_x[i] * slant + phi_x[p])
                else:
                    for i in range(first, last):
                        p = base + i
                        mid, up, down, up2, down2 = cur[p], cur[p + x], cur[p - x], cur[p + x2], cur[p - x2]
                        second = w * ((up - mid) + (down - mid)) + w2 * ((up2 - mid) + (down2 - mid))
                        slant = f * (up - down) + f2 * (up2 - down2)
                        rise = f * (phi_x[p + x] - phi_x[p - x]) + f2 * (phi_x[p + x2] - phi_x[p - x2])
                        change = b_x[i] * second + slope_x[i] * slant + rise
                        memory = b_x[i] * (second + change) + a_x[i] * zeta_x[p]
                        zeta_x[p] = memory
                        new[p] += gain[p - off] * (change + memory)
                        phi_x_new[p] = a_x[i] * (b_x[i] * slant + phi_x[p])


@_compiled()
def _local(
    cur: Any, new: Any, y0: int, y1: int, lanes: int, cut: Any, state: Any, elements: Any, resonators: Any,
    oscillator: Any,
) -> None:  # fmt: skip
    """Add what happens on single cells of the lines y0 to y1: rigid faces, equation of state, stiffness, resonators."""
    L = _U(lanes)
    start, target, source, weight = cut
    for i in range(start[y0], start[y1]):
        for j in range(L):
            new[target[i] * L + j] -= weight[i] * cur[source[i] * L + j]
    e_start, e_cell, e_stiffness, _, (inverse, speed, one) = elements
    start, target, source, weight = state
    for i in range(start[y0], start[y1]):
        for j in range(L):
            u = cur[e_cell[source[i]] * L + j]
            square = (u * inverse) * (u * inverse)
            root = one / np.sqrt(one + square)
            new[target[i] * L + j] += weight[i] * (speed * u * square * root * root * root)
    for i in range(e_start[y0], e_start[y1]):
        for j in range(L):
            u = cur[e_cell[i] * L + j]
            square = (u * inverse) * (u * inverse)
            new[e_cell[i] * L + j] -= e_stiffness[i] * u / np.sqrt(one + square)
    r_start, r_cell, r_load, (two, past, pull) = resonators
    for i in range(r_start[y0], r_start[y1]):
        for j in range(L):
            q, before = oscillator[0, i * L + j], oscillator[1, i * L + j]
            stretch = cur[r_cell[i] * L + j] - q
            new[r_cell[i] * L + j] -= r_load[i] * stretch
            oscillator[0, i * L + j] = two * q - past * before + pull * stretch
            oscillator[1, i * L + j] = q


@_compiled()
def _fill(field: Any, y0: int, y1: int, height: int, width: int, reach: int, lanes: int, sides: Any) -> None:
    """Write the padding of the lines y0 to y1: 0 closed, 2 periodic; 1 is silent and stays as it is."""
    top, bottom, left, right = sides
    L, last = _U(lanes), width - 1
    for k in range(reach):
        for far, near, kind in (
            (reach - 1 - k if left == 0 else k, reach + k if left == 0 else last - 2 * reach + 1 + k, left),
            (
                last - reach + 1 + k if right == 0 else last - k,
                last - reach - k if right == 0 else 2 * reach - 1 - k,
                right,
            ),
        ):
            if kind != 1:
                for y in range(_U(y0), _U(y1)):
                    to, start = (y * _U(width) + _U(far)) * L, (y * _U(width) + _U(near)) * L
                    for j in range(L):
                        field[to + j] = field[start + j]
    if top != 1 and y0 < 2 * reach:  # shown above the top if that mirrors, below the bottom if it wraps
        for y in range(y0, min(y1, 2 * reach)):
            _copy(field, 2 * reach - 1 - y if top == 0 else height - 2 * reach + y, y, width * lanes)
    if bottom != 1 and y1 > height - 2 * reach:
        for y in range(max(y0, height - 2 * reach), y1):
            _copy(field, 2 * (height - reach) - 1 - y if bottom == 0 else y - (height - 2 * reach), y, width * lanes)


@_compiled()
def _copy(field: Any, to: int, start: int, length: int) -> None:
    for i in range(_U(length)):
        field[_U(to * length) + i] = field[_U(start * length) + i]


@_compiled()
def _has_run_away(field: Any, reach: int, height: int, width: int, L: int, limit: Any) -> bool:
    for y in range(reach, height - reach):
        wild = 0
        for i in range(_U((y * width + reach) * L), _U(((y + 1) * width - reach) * L)):
            wild += not abs(field[i]) <= limit
        if wild:
            return True
    return False


@_compiled()
def _hush(field: Any, y0: int, y1: int, width: int, reach: int, lanes: int) -> None:
    """Silence the padding beside the lines y0 to y1."""
    edge, length = _U(reach * lanes), _U(width * lanes)
    for y in range(_U(y0), _U(y1)):
        for i in range(edge):
            field[y * length + i] = 0
            field[(y + _U(1)) * length - edge + i] = 0


@_compiled()
def solve(
    begin: Any, end: Any, source: Any, trace: Any, work: Any, plan: Any, plain: Any, maps: Any, sides: Any, slabs: Any,
    profiles: Any, weights: Any, places: Any, cut: Any, state: Any, elements: Any, resonators: Any, limit: Any,
) -> int:  # fmt: skip
    """Step groups of rows, one after the other; return the first that ran away, or -1.

    Args:
        begin: Fields now and before, `(g, P L)`; layer memories `(g, A, P L)`; resonators `(g, 2, R L)`. With no
            groups, silence.
        end: The same, to be written; with no groups when nobody wants them.
        source: `(g, T, S L)`, times the gain of each source.
        trace: To be written, `(g, T, M, L)`.
        work: Room for two fields and, with layers, six memories of a group, zeros; lines may be longer than `P L`.
        plan: Lines and columns of the padded grid, lanes, order, whether coefficients are plain, whether there are
            layers, lines per tile, steps at once, numbers per block of a line, steps between two looks at the size of
            the field.
        plain: Coefficients `centre, past, weight` of the first and of the second ring, as numbers.
        maps: `centre, past`, weight of a ring, and weight of the Laplacian for the layers, as arrays, `(P L,)`; of
            the last one line where all cells are alike.
        sides: Kind of each side, as in `_fill`.
        slabs: First and last of the lines and columns with absorbing layers, `(2, 2, 2)`.
        profiles: Of the layers, along y, and along x once per lane.
        weights: Second and first differences of both rings, and whole weights of the rings; zero for no second one.
        places: Sources: first of each line, cells, their channel; microphones: the same.
        cut: Links cut by rigid cells: first of each line, target, source, weight.
        state: Equation of state: the same.
        elements: First of each line, cells, stiffness, damping, numbers.
        resonators: First of each line, cells, loads, numbers.
        limit: Size beyond which a field has run away.
    """
    height, width, L, order, is_plain, absorbing, tile, together, block, check = plan
    reach, lanes = order // 2, _U(L)
    s_start, s_cell, s_number, m_start, m_cell, m_number = places
    e_start, e_cell, _, e_damping, (inverse, _, one) = elements
    steps = source.shape[1]
    is_whole = not absorbing and width * L <= block
    is_busy = len(cut[1]) + len(state[1]) + len(e_cell) + len(resonators[1]) > 0
    cells = height * width * L
    fields, layers = work[:2, :cells], work[2:, :cells]
    kept = np.zeros(len(e_cell) * L, source.dtype)
    oscillator = np.zeros((2, len(resonators[1]) * L), source.dtype)
    even, uneven = work[0, :cells], work[1, :cells]
    py0, py1, zeta_y, px0, px1, zeta_x = even, even, even, even, even, even
    if absorbing:
        py0, py1, zeta_y = work[2, :cells], work[3, :cells], work[4, :cells]
        px0, px1, zeta_x = work[5, :cells], work[6, :cells], work[7, :cells]
    (a_y, b_y, slope_y), (a_x, b_x, slope_x) = profiles
    for n in range(len(source)):
        if len(begin[0]):
            fields[0], fields[1], oscillator[:] = begin[0][n], begin[1][n], begin[3][n]
        else:
            fields[:] = 0
            oscillator[:] = 0
        layers[:] = 0
        if absorbing and len(begin[0]):
            layers[0], layers[2], layers[3], layers[5] = begin[2][n, 0], begin[2][n, 1], begin[2][n, 2], begin[2][n, 3]
        for field in (even, uneven):  # a state may hold anything in its padding, and silent sides are never written
            _hush(field, 0, height, width, reach, L)
            field[: reach * width * L] = 0
            field[(height - reach) * width * L :] = 0
        _fill(even, reach, height - reach, height, width, reach, L, sides)
        t = 0
        while t < steps:
            levels = min(together, steps - t)
            for first in range(reach, height - reach + (levels - 1) * reach, tile):
                for k in range(levels):
                    y0 = max(first - k * reach, reach)
                    y1 = min(first + tile - k * reach, height - reach)
                    if y0 >= y1:
                        continue
                    odd = (t + k) % 2
                    cur, new = (uneven, even) if odd else (even, uneven)
                    for i in range(e_start[y0], e_start[y1]):
                        for j in range(lanes):
                            kept[i * lanes + j] = new[e_cell[i] * lanes + j]
                    phi_y, phi_y_new = (py1, py0) if odd else (py0, py1)
                    phi_x, phi_x_new = (px1, px0) if odd else (px0, px1)
                    _step(
                        cur, new, phi_y, phi_y_new, zeta_y, phi_x, phi_x_new, zeta_x, maps[0], maps[1], maps[2],
                        maps[3], a_y, b_y, slope_y, a_x, b_x, slope_x, y0, y1, width, L, order, is_plain, absorbing,
                        is_whole, block, plain, weights, slabs,
                    )  # fmt: skip
                    if is_busy:
                        _local(cur, new, y0, y1, L, cut, state, elements, resonators, oscillator)
                    for i in range(s_start[y0], s_start[y1]):
                        for j in range(lanes):
                            new[s_cell[i] * lanes + j] += source[n, t + k, s_number[i] * lanes + j]
                    for i in range(e_start[y0], e_start[y1]):
                        for j in range(lanes):
                            p = e_cell[i] * lanes + j
                            x = cur[p] * inverse
                            beta = e_damping[i] / (one + x * x)
                            new[p] = (new[p] + beta * kept[i * lanes + j]) / (one + beta)
                    if is_whole:
                        _hush(new, y0, y1, width, reach, L)
                    _fill(new, y0, y1, height, width, reach, L, sides)
                    for i in range(m_start[y0], m_start[y1]):
                        for j in range(lanes):
                            trace[n, t + k, m_number[i], j] = new[m_cell[i] * lanes + j]
            t += levels
            if (t % check < levels or t == steps) and _has_run_away(
                work[t % 2, :cells], reach, height, width, L, limit
            ):
                return n
        if len(end[0]):
            odd = steps % 2
            end[0][n], end[1][n], end[3][n] = fields[odd], fields[1 - odd], oscillator
            if absorbing:
                end[2][n, 0], end[2][n, 1] = layers[odd], layers[2]
                end[2][n, 2], end[2][n, 3] = layers[3 + odd], layers[5]
    return -1
