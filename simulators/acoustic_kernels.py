"""The field solver's compiled inner loops: a few rows of a batch from their first step to their last.

Import it through `acoustic_numba`, which knows what to do without numba. `lanes` rows lie side by side in every cell,
so that even a narrow absorbing layer fills a vector register. Several steps are taken at once on a few lines of the
grid that stay in the cache: step k + 1 follows step k at the distance of the stencil's reach, and overwrites what
nobody needs any more. Every quantity is that of `acoustic_torch`, summed in another order.

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
def _plain(cur: Any, new: Any, lo: int, hi: int, width: int, L: int, order: int, numbers: Any) -> None:
    """Take the step of a uniform medium on whole lines; what it writes into the padding is overwritten by `_fill`."""
    a, d, v1, v2 = numbers
    x, y, x2, y2 = _U(L), _U(width * L), _U(2 * L), _U(2 * width * L)
    if order == 2:
        for i in range(_U(lo * L), _U(hi * L)):
            new[i] = a * cur[i] + v1 * ((cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])) - d * new[i]
    else:
        for i in range(_U(lo * L), _U(hi * L)):
            ring = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
            ring2 = (cur[i - x2] + cur[i + x2]) + (cur[i - y2] + cur[i + y2])
            new[i] = a * cur[i] + v1 * ring + v2 * ring2 - d * new[i]


@_compiled(pipeline_class=_Apart)
def _mapped(
    cur: Any, new: Any, lo: int, hi: int, width: int, L: int, order: int, w1: Any, w2: Any, a: Any, d: Any, v: Any
) -> None:
    """Take the step of a medium that differs from cell to cell."""
    x, y, x2, y2 = _U(L), _U(width * L), _U(2 * L), _U(2 * width * L)
    if order == 2:
        for i in range(_U(lo * L), _U(hi * L)):
            ring = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
            new[i] = a[i] * cur[i] + v[i] * ring - d[i] * new[i]
    else:
        for i in range(_U(lo * L), _U(hi * L)):
            ring = (cur[i - x] + cur[i + x]) + (cur[i - y] + cur[i + y])
            ring2 = (cur[i - x2] + cur[i + x2]) + (cur[i - y2] + cur[i + y2])
            new[i] = a[i] * cur[i] + v[i] * (w1 * ring + w2 * ring2) - d[i] * new[i]


@_compiled(pipeline_class=_Apart)
def _layer_x(
    cur: Any, new: Any, phi: Any, phi_new: Any, zeta: Any, v: Any, start: int, first: int, v_start: int, count: int,
    L: int, order: int, weights: Any, a: Any, b: Any, slope: Any,
) -> None:  # fmt: skip
    """Add what an absorbing layer changes on its stretch of a line across it."""
    w, w2, f, f2 = weights
    x, x2 = _U(L), _U(2 * L)
    base, column, gain = _U(start * L), _U(first * L), _U(v_start * L)
    if order == 2:
        for i in range(_U(count * L)):
            p, k = base + i, column + i
            mid, up, down = cur[p], cur[p + x], cur[p - x]
            second = w * ((up - mid) + (down - mid))
            slant = b[k] * (f * (up - down))
            change = b[k] * second + slope[k] * (f * (up - down)) + f * (phi[p + x] - phi[p - x])
            memory = b[k] * (second + change) + a[k] * zeta[p]
            zeta[p] = memory
            new[p] += v[gain + i] * (change + memory)
            phi_new[p] = a[k] * (slant + phi[p])
    else:
        for i in range(_U(count * L)):
            p, k = base + i, column + i
            mid, up, down, up2, down2 = cur[p], cur[p + x], cur[p - x], cur[p + x2], cur[p - x2]
            second = w * ((up - mid) + (down - mid)) + w2 * ((up2 - mid) + (down2 - mid))
            slant = f * (up - down) + f2 * (up2 - down2)
            rise = f * (phi[p + x] - phi[p - x]) + f2 * (phi[p + x2] - phi[p - x2])
            change = b[k] * second + slope[k] * slant + rise
            memory = b[k] * (second + change) + a[k] * zeta[p]
            zeta[p] = memory
            new[p] += v[gain + i] * (change + memory)
            phi_new[p] = a[k] * (b[k] * slant + phi[p])


@_compiled(pipeline_class=_Apart)
def _layer_y(
    cur: Any, new: Any, phi: Any, phi_new: Any, zeta: Any, v: Any, start: int, v_start: int, count: int, width: int,
    L: int, order: int, weights: Any, a: Any, b: Any, slope: Any,
) -> None:  # fmt: skip
    """Add what an absorbing layer changes on one line along it."""
    w, w2, f, f2 = weights
    x, x2 = _U(width * L), _U(2 * width * L)
    base, gain = _U(start * L), _U(v_start * L)
    if order == 2:
        for i in range(_U(count * L)):
            p = base + i
            mid, up, down = cur[p], cur[p + x], cur[p - x]
            second = w * ((up - mid) + (down - mid))
            slant = f * (up - down)
            change = b * second + slope * slant + f * (phi[p + x] - phi[p - x])
            memory = b * (second + change) + a * zeta[p]
            zeta[p] = memory
            new[p] += v[gain + i] * (change + memory)
            phi_new[p] = a * (b * slant + phi[p])
    else:
        for i in range(_U(count * L)):
            p = base + i
            mid, up, down, up2, down2 = cur[p], cur[p + x], cur[p - x], cur[p + x2], cur[p - x2]
            second = w * ((up - mid) + (down - mid)) + w2 * ((up2 - mid) + (down2 - mid))
            slant = f * (up - down) + f2 * (up2 - down2)
            rise = f * (phi[p + x] - phi[p - x]) + f2 * (phi[p + x2] - phi[p - x2])
            change = b * second + slope * slant + rise
            memory = b * (second + change) + a * zeta[p]
            zeta[p] = memory
            new[p] += v[gain + i] * (change + memory)
            phi_new[p] = a * (b * slant + phi[p])


@_compiled()
def _absorb(
    cur: Any, new: Any, layers: Any, odd: int, y0: int, y1: int, width: int, L: int, order: int, is_plain: bool,
    v: Any, weights: Any, slabs: Any, along_y: Any, along_x: Any,
) -> None:  # fmt: skip
    """Add what the absorbing layers change on the lines y0 to y1. Of a uniform medium `v` is the first line."""
    reach = order // 2
    a, b, slope = along_y
    for y in range(y0, y1):
        line = y * width
        v_line = 0 if is_plain else line
        for k in range(2):
            if slabs[0, k, 0] <= y < slabs[0, k, 1]:
                _layer_y(
                    cur, new, layers[odd], layers[1 - odd], layers[2], v, line + reach, v_line + reach,
                    width - 2 * reach, width, L, order, weights, a[y], b[y], slope[y],
                )  # fmt: skip
        for k in range(2):
            first, last = slabs[1, k, 0], slabs[1, k, 1]
            if first < last:
                _layer_x(
                    cur, new, layers[3 + odd], layers[4 - odd], layers[5], v, line + first, first, v_line + first,
                    last - first, L, order, weights, along_x[0], along_x[1], along_x[2],
                )  # fmt: skip


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
    """Write the padding beside, above and below the lines y0 to y1: 0 closed, 1 silent, 2 periodic."""
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
            silence = field[0] * 0
            for y in range(_U(y0), _U(y1)):
                to, start = (y * _U(width) + _U(far)) * L, (y * _U(width) + _U(near)) * L
                if kind == 1:
                    for j in range(L):
                        field[to + j] = silence
                else:
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
        for i in range((y * width + reach) * L, ((y + 1) * width - reach) * L):
            if not abs(field[i]) <= limit:
                return True
    return False


@_compiled()
def solve(
    begin: Any, end: Any, source: Any, trace: Any, plan: Any, plain: Any, maps: Any, sides: Any, slabs: Any,
    profiles: Any, weights: Any, places: Any, cut: Any, state: Any, elements: Any, resonators: Any, limit: Any,
) -> int:  # fmt: skip
    """Step groups of rows, one after the other; return the first that ran away, or -1.

    Args:
        begin: Fields now and before, `(g, P L)`; layer memories `(g, A, P L)`; resonators `(g, 2, R L)`. With no
            groups, silence.
        end: The same, to be written; with no groups when nobody wants them.
        source: `(g, T, S L)`, times the gain of each source.
        trace: To be written, `(g, T, M, L)`.
        plan: Lines and columns of the padded grid, lanes, order, whether coefficients are plain, whether there are
            layers, lines per tile, steps at once, steps between two looks at the size of the field.
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
    height, width, L, order, is_plain, absorbing, tile, together, check = plan
    reach, lanes = order // 2, _U(L)
    s_start, s_cell, s_number, m_start, m_cell, m_number = places
    e_start, e_cell, _, e_damping, (inverse, _, one) = elements
    steps = source.shape[1]
    fields = np.zeros((2, height * width * L), source.dtype)
    layers = np.zeros((6, height * width * L if absorbing else 0), source.dtype)
    kept = np.zeros(len(e_cell) * L, source.dtype)
    oscillator = np.zeros((2, len(resonators[1]) * L), source.dtype)
    even, uneven = fields[0], fields[1]
    for n in range(len(source)):
        if len(begin[0]):
            fields[0], fields[1], oscillator[:] = begin[0][n], begin[1][n], begin[3][n]
        else:
            fields[:] = 0
            oscillator[:] = 0
        layers[:] = 0
        if absorbing and len(begin[0]):
            layers[0], layers[2], layers[3], layers[5] = begin[2][n, 0], begin[2][n, 1], begin[2][n, 2], begin[2][n, 3]
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
                    if is_plain:
                        _plain(cur, new, y0 * width, y1 * width, width, L, order, plain)
                    else:
                        _mapped(
                            cur, new, y0 * width, y1 * width, width, L, order, weights[4], weights[5], maps[0],
                            maps[1], maps[2],
                        )  # fmt: skip
                    if absorbing:
                        _absorb(
                            cur, new, layers, odd, y0, y1, width, L, order, is_plain, maps[3], weights[:4], slabs,
                            profiles[0], profiles[1],
                        )  # fmt: skip
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
                    _fill(new, y0, y1, height, width, reach, L, sides)
                    for i in range(m_start[y0], m_start[y1]):
                        for j in range(lanes):
                            trace[n, t + k, m_number[i], j] = new[m_cell[i] * lanes + j]
            t += levels
            if (t % check < levels or t == steps) and _has_run_away(fields[t % 2], reach, height, width, L, limit):
                return n
        if len(end[0]):
            odd = steps % 2
            end[0][n], end[1][n], end[3][n] = fields[odd], fields[1 - odd], oscillator
            if absorbing:
                end[2][n, 0], end[2][n, 1] = layers[odd], layers[2]
                end[2][n, 2], end[2][n, 3] = layers[3 + odd], layers[5]
    return -1
