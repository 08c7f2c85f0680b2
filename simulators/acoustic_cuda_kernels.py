"""The acoustic field's CUDA kernel: one block steps one row of a batch from its first step to its last.

Every thread owns a strip of `lines` cells of one column. Their field u and its last change d stay in its registers, as
does the memory zeta of the layers along x; neighbours within the strip are its own. The columns beside it and the ends
of the strip are read from shared memory, where the whole field lies a second time. A step is
    d <- past d + ring (sum of the neighbours - open u) + what layers and single cells add,    u <- u + d,
which is that of `acoustic_media` written as a change, so that nothing has to be swapped: `ring` is the weight of a
first neighbour, `open` the sum of the weights of all that sound gets to, in units of it. One barrier stands between
reading and writing, one between writing and reading.

Layers: phi has two copies that take turns, since neighbours read what a thread renews. Single cells are few: one thread
each works out what is added to the change and what it is multiplied by, and the owner of the cell does both.

Import it through `acoustic_cuda`; `acoustic_cuda_tables` names what the tables hold, `acoustic_cuda_steps` does the
arithmetic of the cells. What refers to `numba.cuda` is here: an interpreter puts a stand-in for it into the module of
the kernel alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .acoustic_cuda_plan import Plan
from .acoustic_cuda_steps import make_absorb, make_step
from .cuda import is_interpreted, kernel

CHECK_EVERY = 64
_numba: Any = importlib.import_module("numba")
_cuda: Any = importlib.import_module("numba.cuda")
_U: Any = int if is_interpreted() else _numba.uint64  # an unsigned index needs no test for a negative one


def _inlined(function: Callable[..., Any]) -> Any:
    return function if is_interpreted() else _cuda.jit(device=True, inline="always")(function)


class _Interpreted:
    """Stands in for `numba.cuda` outside this module."""

    @staticmethod
    def fma(a: Any, b: Any, c: Any) -> Any:
        return a * b + c


@cache
def make_kernel(plan: Plan) -> Any:
    """Return the kernel for one plan; what `solve` takes, `acoustic_cuda_tables` makes."""
    scalar: Any = np.float32 if plan.single else np.float64
    real = _numba.float32 if plan.single else _numba.float64
    lines, groups, halo, wide, uniform = plan.lines, plan.groups, plan.halo, plan.order == 4, plan.uniform
    nonlinear = plan.nonlinear
    threads, columns, width, narrow = plan.threads, plan.columns, plan.width, plan.narrow
    height, across = plan.shape
    strips, rest = plan.strips, plan.shape[0] - (plan.strips - 1) * plan.lines  # lines of the last strip
    along_y, along_x = plan.size_y > 0, plan.size_x > 0
    at_phi_x, size_x, size_y = plan.at_phi_x, plan.size_x, plan.size_y
    at_profile, at_single, rows = plan.at_profile, plan.at_single_cells, plan.zero_line
    volume, kept, some = rows * columns, plan.kept, max(plan.kept, 1)
    zero, one = scalar(0), scalar(1)
    tools: dict[str, Any] = {"unsigned": _U, "library": _Interpreted if is_interpreted() else _cuda}
    step = _inlined(make_step(plan, layers=False, **tools))
    step_in_layers = _inlined(make_step(plan, layers=True, **tools))
    bounds = [*plan.parts_of_layers, *[(0, 0)] * 4]
    absorb_1, absorb_2, absorb_3, absorb_4 = (_inlined(make_absorb(plan, *pair, **tools)) for pair in bounds[:4])
    parts = len(plan.parts_of_layers)

    @_inlined
    def work_out(shared: Any, i: Any, counts: Any, integers: Any, numbers: Any, source: Any, played: Any) -> None:
        """Work out what is added to the change of a single cell, and what the sum is multiplied by."""
        table, cells, terms, steps, next_one = counts
        own, row, weights = _U(at_single) + i, table + _U(5) * i, _U(9) + _U(4) * i
        starts, term_weights = table + _U(5) * cells + i, _U(9) + _U(4) * cells
        places = table + _U(6) * cells + _U(1)
        u, added = shared[_U(integers[row])], zero
        j, end = _U(integers[starts]), _U(integers[starts + _U(1)])
        while j < end:
            value, pair = shared[_U(integers[places + j])], term_weights + _U(2) * j
            added -= numbers[pair] * value
            if nonlinear:
                x = value * numbers[4]
                root = one / _sqrt(one + x * x)
                added += numbers[pair + _U(1)] * (numbers[5] * value * (x * x) * (root * root * root))
            j += next_one
        j, end = _U(integers[row + _U(3)]), _U(integers[row + _U(4)])
        while j < end:
            added += numbers[weights] * source[played + _U(integers[places + terms + j]) * steps]
            j += next_one
        if integers[row + _U(2)] >= 0:
            q, q_before = shared[own + _U(3) * cells], shared[own + _U(4) * cells]
            added -= numbers[weights + _U(1)] * (u - q)
            shared[own + _U(3) * cells] = numbers[6] * q - numbers[7] * q_before + numbers[8] * (u - q)
            shared[own + _U(4) * cells] = q
        if nonlinear:
            x = u * numbers[4]
            added -= numbers[weights + _U(2)] * u / _sqrt(one + x * x)
            beta = numbers[weights + _U(3)] / (one + x * x)
            added -= beta * (u - shared[own + _U(2) * cells])
            shared[own + cells] = one / (one + beta)
            shared[own + _U(2) * cells] = u
        shared[own] = added

    def solve(
        source: Any, trace: Any, wild: Any, now: Any, earlier: Any, memory: Any, swing: Any, steps: Any, sources: Any,
        microphones: Any, resonators: Any, cells: Any, terms: Any, resume: Any, keep: Any, integers: Any, numbers: Any,
        maps: Any, end_table: Any, column_table: Any, layers: Any, profiles: Any, owners: Any,
    ) -> None:  # fmt: skip
        """Step a row of a batch; all arrays are flat."""
        shared = _cuda.shared.array(0, real)
        u = _cuda.local.array(lines, real)
        d = _cuda.local.array(lines, real)
        z = _cuda.local.array(some, real)
        n, thread = _U(_cuda.blockIdx.x), _U(_cuda.threadIdx.x)
        ears, single = _U(microphones), _U(cells)
        table = _U(1) + ears
        warp = _cuda.threadIdx.x // 32
        strip = warp // groups
        # So that each of the four schedulers has warps with layers of both kinds.
        x = (warp + strip) % groups * 32 + _cuda.threadIdx.x % 32
        line = strip * lines
        count, is_cell = rest if strip == strips - 1 else lines, x < across
        own, place = _U(halo + line * width + x), _U(line * columns + x)
        column, down = _U(6 * x), _U(line * width)
        left = _U(column_table[column]) + down, _U(column_table[column + _U(1)]) + down
        right = _U(column_table[column + _U(2)]) + down, _U(column_table[column + _U(3)]) + down
        phi_x = _U(column_table[column + _U(4)]) + _U(at_phi_x + line * narrow)
        layered = column_table[column + _U(5)]  # 2 in a layer, 1 beside one in the same warp
        ring = numbers[0] if is_cell else zero
        plain = ring, numbers[1], numbers[2], _U(volume)
        ends_at = _U(8 * strip)
        above1_at, above2_at = _U(end_table[ends_at] + x), _U(end_table[ends_at + _U(1)] + x)
        below1_at, below2_at = _U(end_table[ends_at + _U(2)] + x), _U(end_table[ends_at + _U(3)] + x)
        for i in range(thread, _U(at_single) + _U(5) * single, _U(threads)):
            shared[i] = zero
        for k in range(lines):
            u[k], d[k] = zero, zero
        for k in range(kept):
            z[k] = zero
        _cuda.syncthreads()
        if along_y:
            for i in range(thread, _U(4 * rows), _U(threads)):
                shared[_U(at_profile) + i] = profiles[i]
        stride, size = _U(across + 2 * halo), _U((height + 2 * halo) * (across + 2 * halo))
        field_at = n * size + _U((line + halo) * (across + 2 * halo) + x + halo)
        memory_at = field_at + _U(3) * n * size
        if resume:
            if is_cell:
                for k in range(count):
                    shared[own + _U(k * width)] = now[field_at + _U(k) * stride]
            for k in range(lines):
                u[k] = shared[own + _U(k * width)]
            if is_cell:
                for k in range(count):
                    shared[own + _U(k * width)] = earlier[field_at + _U(k) * stride]
            for k in range(lines):
                d[k] = u[k] - shared[own + _U(k * width)]
                shared[own + _U(k * width)] = u[k]
            if along_x and layered == 2:
                for k in range(count):
                    p = memory_at + _U(2) * size + _U(k) * stride
                    shared[phi_x + _U(k * narrow)] = memory[p]
                    shared[phi_x + _U(2 * size_x + k * narrow)] = memory[p + size]
                for k in range(kept):
                    z[k] = shared[phi_x + _U(2 * size_x + k * narrow)]
            if along_y and is_cell:
                phi_y = _U(end_table[ends_at + _U(5)] + x)
                for k in range(end_table[ends_at + _U(6)], end_table[ends_at + _U(7)]):
                    p = memory_at + _U(k) * stride
                    shared[phi_y + _U(k * columns)] = memory[p]
                    shared[phi_y + _U(2 * size_y + k * columns)] = memory[p + size]
            for i in range(thread, single, _U(threads)):
                at, resonator = _U(at_single) + i, integers[table + _U(5) * i + _U(2)]
                shared[at + _U(2) * single] = earlier[n * size + _U(integers[table + _U(5) * i + _U(1)])]
                if resonator >= 0:
                    p = _U(2) * n * _U(resonators) + _U(resonator)
                    shared[at + _U(3) * single] = swing[p]
                    shared[at + _U(4) * single] = swing[p + _U(resonators)]
        _cuda.syncthreads()

        for t in range(steps):
            odd = t % 2
            # A zero, but the compiler does not know. It would unroll these loops otherwise, and keep what they need for
            # their first round in registers all the time.
            nothing = _U(integers[0])
            next_one, threads_at_work = _U(1) + nothing, _U(threads) + nothing
            counts = _U(1) + ears + nothing, single + nothing, _U(terms) + nothing, _U(steps), next_one
            m = thread + nothing
            while t > 0 and m < ears:
                trace[(n * ears + m) * _U(steps) + _U(t - 1)] = shared[_U(integers[_U(1) + m])]
                m += threads_at_work
            i = thread + nothing
            while i < single:
                played = n * _U(sources) * _U(steps) + _U(t)
                work_out(shared, i, counts, integers, numbers, source, played)
                i += threads_at_work
            above1, above2, below1, below2 = shared[above1_at], zero, shared[below1_at], zero
            if wide:
                above2, below2 = shared[above2_at], shared[below2_at]
            if rest < lines and strip == strips - 1:  # beyond the last line: what the stencil reads there
                u[rest] = below1
                if wide and rest < lines - 1:
                    u[rest + 1] = below2
                else:
                    below1 = below2
            ends = above1, above2, below1, below2
            old, new, zeta = phi_x + _U(odd * size_x), phi_x + _U((1 - odd) * size_x), phi_x + _U(2 * size_x)
            if along_x and layered:
                # Read anew at every step for the same reason.
                a, b, s = layers[_U(x)], layers[_U(columns + x)], layers[_U(2 * columns + x)]
                ab, gain = layers[_U(3 * columns + x)], layers[_U(4 * columns + x)]
                if uniform:
                    gain *= ring
                layer = a, b, s, ab, gain
                step_in_layers(shared, u, d, z, left, right, ends, place, maps, plain, layer, old, new, zeta, 0)
                if lines > 8:
                    step_in_layers(shared, u, d, z, left, right, ends, place, maps, plain, layer, old, new, zeta, 8)
                if lines > 16:
                    step_in_layers(shared, u, d, z, left, right, ends, place, maps, plain, layer, old, new, zeta, 16)
                if lines > 24:
                    step_in_layers(shared, u, d, z, left, right, ends, place, maps, plain, layer, old, new, zeta, 24)
            else:
                step(shared, u, d, z, left, right, ends, place, maps, plain, plain, old, new, zeta, 0)
                if lines > 8:
                    step(shared, u, d, z, left, right, ends, place, maps, plain, plain, old, new, zeta, 8)
                if lines > 16:
                    step(shared, u, d, z, left, right, ends, place, maps, plain, plain, old, new, zeta, 16)
                if lines > 24:
                    step(shared, u, d, z, left, right, ends, place, maps, plain, plain, old, new, zeta, 24)
            part = end_table[ends_at + _U(4)] if along_y else 0
            if along_y and part:
                phi_y, profile = _U(end_table[ends_at + _U(5)] + x), _U(at_profile + 4 * line)
                phi_old, phi_new = phi_y + _U(odd * size_y), phi_y + _U((1 - odd) * size_y)
                zeta = phi_y + _U(2 * size_y)
                if part == 1:
                    absorb_1(shared, u, d, ends, place, maps, plain, profile, phi_old, phi_new, zeta)
                if parts >= 2 and part == 2:
                    absorb_2(shared, u, d, ends, place, maps, plain, profile, phi_old, phi_new, zeta)
                if parts >= 3 and part == 3:
                    absorb_3(shared, u, d, ends, place, maps, plain, profile, phi_old, phi_new, zeta)
                if parts >= 4 and part == 4:
                    absorb_4(shared, u, d, ends, place, maps, plain, profile, phi_old, phi_new, zeta)
            _cuda.syncthreads()
            mask = owners[_U(2) * thread]
            if mask:
                at = _U(at_single) + _U(owners[_U(2) * thread + _U(1)])
                for k in range(lines):
                    if mask & (1 << k):
                        d[k] += shared[at]
                        if nonlinear:
                            d[k] *= shared[at + single]
                        at += _U(1)
            for k in range(lines):
                u[k] += d[k]
                shared[own + _U(k * width)] = u[k]
            if ((t + 1) % CHECK_EVERY == 0 or t + 1 == steps) and is_cell:
                bad, limit = False, numbers[3]
                for k in range(lines):
                    bad |= k < count and not abs(u[k]) <= limit
                if bad:
                    wild[n] = 1
            _cuda.syncthreads()

        if steps > 0:
            for m in range(thread, ears, _U(threads)):
                trace[(n * ears + m) * _U(steps) + _U(steps - 1)] = shared[_U(integers[_U(1) + m])]
        if keep:
            odd = steps % 2
            _cuda.syncthreads()
            if is_cell:
                for k in range(count):
                    now[field_at + _U(k) * stride] = shared[own + _U(k * width)]
            for k in range(lines):
                shared[own + _U(k * width)] = u[k] - d[k]
            if is_cell:
                for k in range(count):
                    earlier[field_at + _U(k) * stride] = shared[own + _U(k * width)]
            if along_x and layered == 2:
                for k in range(kept):
                    shared[phi_x + _U(2 * size_x + k * narrow)] = z[k]
                for k in range(count):
                    p = memory_at + _U(2) * size + _U(k) * stride
                    memory[p] = shared[phi_x + _U(odd * size_x + k * narrow)]
                    memory[p + size] = shared[phi_x + _U(2 * size_x + k * narrow)]
            if along_y and is_cell:
                phi_y = _U(end_table[ends_at + _U(5)] + x)
                for k in range(end_table[ends_at + _U(6)], end_table[ends_at + _U(7)]):
                    p = memory_at + _U(k) * stride
                    memory[p] = shared[phi_y + _U(odd * size_y + k * columns)]
                    memory[p + size] = shared[phi_y + _U(2 * size_y + k * columns)]
            for i in range(thread, single, _U(threads)):
                at, resonator = _U(at_single) + i, integers[table + _U(5) * i + _U(2)]
                if resonator >= 0:
                    p = _U(2) * n * _U(resonators) + _U(resonator)
                    swing[p] = shared[at + _U(3) * single]
                    swing[p + _U(resonators)] = shared[at + _U(4) * single]

    return kernel(solve, launch_bounds=(threads, plan.rows))


_sqrt: Any = np.sqrt if is_interpreted() else importlib.import_module("math").sqrt
