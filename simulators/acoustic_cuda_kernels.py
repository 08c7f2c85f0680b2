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

Import it through `acoustic_cuda`; `acoustic_cuda_tables` names what the tables hold. It is one file because the
interpreter puts its stand-in for the module `numba.cuda` into the module of the kernel alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .acoustic_cuda_plan import Plan
from .cuda import is_interpreted, kernel

CHECK_EVERY = 64
_numba: Any = importlib.import_module("numba")
_cuda: Any = importlib.import_module("numba.cuda")
_U: Any = int if is_interpreted() else _numba.uint64  # an unsigned index needs no test for a negative one


def _inlined(function: Callable[..., Any]) -> Any:
    return function if is_interpreted() else _cuda.jit(device=True, inline="always")(function)


@cache
def make_kernel(plan: Plan) -> Any:
    """Return the kernel for one plan; what `solve` takes, `acoustic_cuda_tables` makes."""
    scalar: Any = np.float32 if plan.single else np.float64
    real = _numba.float32 if plan.single else _numba.float64
    lines, groups, halo, wide, uniform = plan.lines, plan.groups, plan.halo, plan.order == 4, plan.uniform
    threads, columns, width, narrow = plan.threads, plan.columns, plan.width, plan.narrow
    height, across = plan.shape
    low_y, high_y = plan.slabs[:2]
    along_y, along_x = plan.size_y > 0, plan.size_x > 0
    at_phi_x, size_x, at_phi_y, size_y = plan.at_phi_x, plan.size_x, plan.at_phi_y, plan.size_y
    at_profile, at_single, rows, volume = (
        plan.at_profile,
        plan.at_single_cells,
        plan.zero_line,
        plan.zero_line * columns,
    )
    zero, one, two, piece = scalar(0), scalar(1), scalar(2), min(lines, 8)
    far, skew = scalar(-1 / 16), scalar(-1 / 8)  # of the second ring, in units of the first: of f'' and of f'
    slope, share = (scalar(2 / 3), scalar(3 / 4)) if wide else (scalar(1 / 2), one)  # weight of f'; 1 / that of f''
    bend, half = (scalar(4 / 3), scalar(15 / 8)) if wide else (one, two)  # that of f''; of the cell itself, in units

    def make_step(layers: bool) -> Any:
        def step(
            shared: Any, u: Any, d: Any, left: Any, right: Any, ends: Any, place: Any, maps: Any, plain: Any,
            layer: Any, phi: Any, phi_new: Any, zeta: Any, start: Any,
        ) -> None:  # fmt: skip
            left1, left2 = left
            right1, right2 = right
            above1, above2, below1, below2 = ends
            ring, past, open_, size = plain
            a, b, s, ab, gain = layer
            for k in range(start, start + piece):
                down = _U(k * width)
                low, high = shared[left1 + down], shared[right1 + down]
                up1 = u[k - 1] if k > 0 else above1
                down1 = u[k + 1] if k < lines - 1 else below1
                beside, upright = low + high, up1 + down1
                if wide:
                    low2, high2 = shared[left2 + down], shared[right2 + down]
                    up2 = u[k - 2] if k > 1 else (above1 if k == 1 else above2)
                    down2 = u[k + 2] if k < lines - 2 else (below1 if k == lines - 2 else below2)
                    beside += far * (low2 + high2)
                    upright += far * (up2 + down2)
                if not uniform:
                    at = place + _U(k * columns)
                    ring, past, open_ = maps[at], maps[size + at], maps[size + size + at]
                if not layers:
                    d[k] = past * d[k] + ring * ((beside + upright) - open_ * u[k])
                else:
                    to = _U(k * narrow)
                    second = _cuda.fma(-half, u[k], beside)
                    change = past * d[k] + ring * ((upright - (open_ - half) * u[k]) + second)
                    slant, rise = high - low, shared[phi + to + _U(1)] - shared[phi + to - _U(1)]
                    if wide:
                        slant += skew * (high2 - low2)
                        rise += skew * (shared[phi + to + _U(2)] - shared[phi + to - _U(2)])
                    bent = bend * b * second
                    moved = (bent + s * slant) + slope * rise
                    memory = a * shared[zeta + to] + (b * moved + bent)
                    shared[phi_new + to] = a * shared[phi + to] + ab * slant
                    d[k] = change + (gain if uniform else ring * gain) * (moved + memory)
                    shared[zeta + to] = memory

        return _inlined(step)

    step, step_in_layers = make_step(False), make_step(True)

    @_inlined
    def absorb(
        shared: Any, u: Any, d: Any, ends: Any, place: Any, maps: Any, plain: Any, line: Any, first: Any, last: Any,
        phi: Any, phi_new: Any, zeta: Any,
    ) -> None:  # fmt: skip
        """Add to the changes what the layers along y do in the cells `first` to `last` of a strip."""
        above1, above2, below1, below2 = ends
        ring, _, _, _ = plain
        profile, at = _U(at_profile) + line, phi + _U(first * columns)
        before, centre, after = shared[at - _U(columns)], shared[at], shared[at + _U(columns)]
        before2, after2 = zero, zero
        if wide:
            before2 = shared[at - _U(2 * columns)]
        for k in range(lines):
            if first <= k and k < last:
                to, number = _U(k * columns), profile + _U(k)
                up1 = u[k - 1] if k > 0 else above1
                down1 = u[k + 1] if k < lines - 1 else below1
                a, b, s = shared[number], shared[number + _U(rows)], shared[number + _U(2 * rows)]
                second = (up1 - u[k]) + (down1 - u[k])  # not as in `step`: a sum kept from there costs registers
                slant = down1 - up1
                rise = after - before
                if wide:
                    after2 = shared[phi + to + _U(2 * columns)]
                    up2 = u[k - 2] if k > 1 else (above1 if k == 1 else above2)
                    down2 = u[k + 2] if k < lines - 2 else (below1 if k == lines - 2 else below2)
                    second += far * ((up2 - u[k]) + (down2 - u[k]))
                    slant += skew * (down2 - up2)
                    rise += skew * (after2 - before2)
                bent = bend * b * second
                moved = bent + slope * (s * slant + rise)
                kept = a * shared[zeta + to] + (b * moved + bent)
                shared[zeta + to] = kept
                shared[phi_new + to] = a * (centre + b * (slope * slant))
                if not uniform:
                    ring = maps[place + to]
                d[k] += ring * share * (moved + kept)
                if wide:
                    before2, before, centre, after = before, centre, after, after2
                else:
                    before, centre, after = centre, after, shared[phi + to + _U(2 * columns)]

    @_inlined
    def work_out(
        shared: Any, i: Any, cells: Any, links: Any, n: Any, t: Any, source: Any, numbers: Any, patch: Any,
        patch_numbers: Any, heard: Any,
    ) -> None:  # fmt: skip
        """Work out what is added to the change of a single cell, and what the sum is multiplied by."""
        term_start, term_cell, term_numbers = links
        own = _U(at_single) + _U(i)
        u, before = shared[_U(patch[i, 0])], shared[own + _U(2) * cells]
        added = zero
        for j in range(term_start[i], term_start[i + 1]):
            value = shared[_U(term_cell[j])]
            x = value * numbers[4]
            root = one / _sqrt(one + x * x)
            added += term_numbers[j, 1] * (numbers[5] * value * (x * x) * (root * root * root))
            added -= term_numbers[j, 0] * value
        for j in range(patch[i, 3], patch[i, 4]):
            added += patch_numbers[i, 0] * source[n, heard[j], t]
        if patch[i, 2] >= 0:
            q, q_before = shared[own + _U(3) * cells], shared[own + _U(4) * cells]
            added -= patch_numbers[i, 1] * (u - q)
            shared[own + _U(3) * cells] = numbers[6] * q - numbers[7] * q_before + numbers[8] * (u - q)
            shared[own + _U(4) * cells] = q
        x = u * numbers[4]
        added -= patch_numbers[i, 2] * u / _sqrt(one + x * x)
        beta = patch_numbers[i, 3] / (one + x * x)
        shared[own] = added - beta * (u - before)
        shared[own + cells] = one / (one + beta)
        shared[own + _U(2) * cells] = u

    def solve(
        source: Any, trace: Any, wild: Any, now: Any, earlier: Any, memory: Any, swing: Any, resume: Any, keep: Any,
        numbers: Any, maps: Any, end_table: Any, column_table: Any, column_numbers: Any, profiles: Any,
        microphones: Any, owners: Any, patch: Any, patch_numbers: Any, term_start: Any, term_cell: Any,
        term_numbers: Any, heard: Any,
    ) -> None:  # fmt: skip
        """Step a row of a batch; see `acoustic_cuda_tables` for the arguments."""
        shared = _cuda.shared.array(0, real)
        u = _cuda.local.array(lines, real)
        d = _cuda.local.array(lines, real)
        n, thread = _cuda.blockIdx.x, _cuda.threadIdx.x
        strip = thread // 32 // groups
        # So that each of the four schedulers has warps with layers of both kinds.
        x = (thread // 32 + strip) % groups * 32 + thread % 32
        line, steps, cells, links = (
            strip * lines,
            source.shape[2],
            _U(len(patch)),
            (term_start, term_cell, term_numbers),
        )
        count = min(lines, height - line)
        own, place = _U(halo + line * width + x), _U(line * columns + x)
        left = _U(column_table[x, 0] + line * width), _U(column_table[x, 1] + line * width)
        right = _U(column_table[x, 2] + line * width), _U(column_table[x, 3] + line * width)
        phi_x = _U(at_phi_x + column_table[x, 4] + line * narrow)
        in_layer, beside_layer = column_table[x, 5] == 2, column_table[x, 5] > 0  # the latter holds for a whole warp
        is_cell, mask, slot = x < across, owners[thread, 0], owners[thread, 1]
        ring = numbers[0] if is_cell else zero
        plain = ring, numbers[1], numbers[2], _U(volume)
        layer = (
            column_numbers[x, 0], column_numbers[x, 1], column_numbers[x, 2], column_numbers[x, 3],
            column_numbers[x, 4] * ring if uniform else column_numbers[x, 4],
        )  # fmt: skip
        low_first, low_last = 0, min(max(low_y - line, 0), lines)
        high_first, high_last = max(height - high_y - line, 0), count if high_y else 0
        phi_low = _U(at_phi_y + (halo + line) * columns + x)
        phi_high = _U(at_phi_y + (2 * halo + low_y + high_y + line) * columns + x) - _U(height * columns)
        above1_at, above2_at = _U(end_table[strip, 0] + x), _U(end_table[strip, 1] + x)
        below1_at, below2_at = _U(end_table[strip, 2] + x), _U(end_table[strip, 3] + x)
        for i in range(thread, at_single + 5 * len(patch), threads):
            shared[_U(i)] = zero
        for k in range(lines):
            u[k], d[k] = zero, zero
        _cuda.syncthreads()
        if along_y:
            for i in range(thread, 3 * rows, threads):
                shared[_U(at_profile + i)] = profiles[i]
        stride, size = _U(across + 2 * halo), _U((height + 2 * halo) * (across + 2 * halo))
        place_in_padded = _U(line + halo) * stride + _U(x + halo)
        if resume:
            base = _U(n) * size + place_in_padded
            if is_cell:
                for k in range(count):
                    shared[own + _U(k * width)] = now[base + _U(k) * stride]
            for k in range(lines):
                u[k] = shared[own + _U(k * width)]
            if is_cell:
                for k in range(count):
                    shared[own + _U(k * width)] = earlier[base + _U(k) * stride]
            for k in range(lines):
                d[k] = u[k] - shared[own + _U(k * width)]
                shared[own + _U(k * width)] = u[k]
            base = _U(4 * n) * size + place_in_padded
            if along_x and in_layer:
                for k in range(count):
                    p = base + _U(2) * size + _U(k) * stride
                    shared[phi_x + _U(k * narrow)] = memory[p]
                    shared[phi_x + _U(2 * size_x + k * narrow)] = memory[p + size]
            if along_y and is_cell:
                for side in range(2):
                    phi = phi_high if side else phi_low
                    for k in range(high_first if side else low_first, high_last if side else low_last):
                        shared[phi + _U(k * columns)] = memory[base + _U(k) * stride]
                        shared[phi + _U(2 * size_y + k * columns)] = memory[base + size + _U(k) * stride]
            for i in range(thread, len(patch), threads):
                at = _U(at_single) + _U(i)
                shared[at + _U(2) * cells] = earlier[_U(n) * size + _U(patch[i, 1])]
                if patch[i, 2] >= 0:
                    shared[at + _U(3) * cells] = swing[n, 0, patch[i, 2]]
                    shared[at + _U(4) * cells] = swing[n, 1, patch[i, 2]]
        _cuda.syncthreads()

        for t in range(steps):
            odd = t % 2
            if t > 0:
                for m in range(thread, len(microphones), threads):
                    trace[n, m, t - 1] = shared[_U(microphones[m])]
            for i in range(thread, len(patch), threads):
                work_out(shared, i, cells, links, n, t, source, numbers, patch, patch_numbers, heard)
            above1, above2, below1, below2 = shared[above1_at], zero, shared[below1_at], zero
            if wide:
                above2, below2 = shared[above2_at], shared[below2_at]
            if count < lines:  # beyond the last line: what the stencil reads there
                for k in range(lines):
                    if k == count:
                        u[k] = below1
                    if wide and k == count + 1:
                        u[k] = below2
                if count == lines - 1:
                    below1 = below2
            ends = above1, above2, below1, below2
            old, new, zeta = phi_x + _U(odd * size_x), phi_x + _U((1 - odd) * size_x), phi_x + _U(2 * size_x)
            if along_x and beside_layer:
                step_in_layers(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 0)
                if lines > 8:
                    step_in_layers(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 8)
                if lines > 16:
                    step_in_layers(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 16)
                if lines > 24:
                    step_in_layers(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 24)
            else:
                step(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 0)
                if lines > 8:
                    step(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 8)
                if lines > 16:
                    step(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 16)
                if lines > 24:
                    step(shared, u, d, left, right, ends, place, maps, plain, layer, old, new, zeta, 24)
            if along_y and low_first < low_last:
                absorb(
                    shared, u, d, ends, place, maps, plain, _U(line), low_first, low_last,
                    phi_low + _U(odd * size_y), phi_low + _U((1 - odd) * size_y), phi_low + _U(2 * size_y),
                )  # fmt: skip
            if along_y and high_first < high_last:
                absorb(
                    shared, u, d, ends, place, maps, plain, _U(line), high_first, high_last,
                    phi_high + _U(odd * size_y), phi_high + _U((1 - odd) * size_y), phi_high + _U(2 * size_y),
                )  # fmt: skip
            _cuda.syncthreads()
            if mask:
                at = _U(at_single) + _U(slot)
                for k in range(lines):
                    if mask & (1 << k):
                        d[k] = (d[k] + shared[at]) * shared[at + cells]
                        at += _U(1)
            for k in range(lines):
                u[k] += d[k]
                shared[own + _U(k * width)] = u[k]
            if ((t + 1) % CHECK_EVERY == 0 or t + 1 == steps) and is_cell:
                bad = False
                for k in range(lines):
                    bad |= k < count and not abs(u[k]) <= numbers[3]
                if bad:
                    wild[n] = 1
            _cuda.syncthreads()

        if steps > 0:
            for m in range(thread, len(microphones), threads):
                trace[n, m, steps - 1] = shared[_U(microphones[m])]
        if keep:
            odd, base = steps % 2, _U(n) * size + place_in_padded
            _cuda.syncthreads()
            if is_cell:
                for k in range(count):
                    now[base + _U(k) * stride] = shared[own + _U(k * width)]
            for k in range(lines):
                shared[own + _U(k * width)] = u[k] - d[k]
            if is_cell:
                for k in range(count):
                    earlier[base + _U(k) * stride] = shared[own + _U(k * width)]
            base = _U(4 * n) * size + place_in_padded
            if along_x and in_layer:
                for k in range(count):
                    p = base + _U(2) * size + _U(k) * stride
                    memory[p] = shared[phi_x + _U(odd * size_x + k * narrow)]
                    memory[p + size] = shared[phi_x + _U(2 * size_x + k * narrow)]
            if along_y and is_cell:
                for side in range(2):
                    phi = phi_high if side else phi_low
                    for k in range(high_first if side else low_first, high_last if side else low_last):
                        memory[base + _U(k) * stride] = shared[phi + _U(odd * size_y + k * columns)]
                        memory[base + size + _U(k) * stride] = shared[phi + _U(2 * size_y + k * columns)]
            for i in range(thread, len(patch), threads):
                at = _U(at_single) + _U(i)
                if patch[i, 2] >= 0:
                    swing[n, 0, patch[i, 2]] = shared[at + _U(3) * cells]
                    swing[n, 1, patch[i, 2]] = shared[at + _U(4) * cells]

    return kernel(solve, launch_bounds=threads)


_sqrt: Any = np.sqrt if is_interpreted() else importlib.import_module("math").sqrt
