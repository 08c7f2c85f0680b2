"""What the acoustic field's CUDA kernel does to the cells of a strip: the plain step, and the layers along both axes.

Functions are made for one plan, whose numbers are constants in them: then loops over cells are unrolled, and the arrays
u and d of a thread are registers. They call nothing of `numba.cuda`, for which an interpreter has a stand-in in the
module of the kernel alone. `acoustic_layers` has the formulas of the layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .acoustic_cuda_plan import Plan


def _weights(plan: Plan) -> tuple[Any, ...]:
    """Return the weights of the stencil.

    Of the second ring in units of the first, of f'' and of f'; of the first, of f'' and of f'; 1 / the first of f''; of
    the cell itself in f'', in units of the first.
    """
    real: Any = np.float32 if plan.single else np.float64
    if plan.order == 2:
        return real(0), real(0), real(1), real(1 / 2), real(1), real(2)
    return real(-1 / 16), real(-1 / 8), real(4 / 3), real(2 / 3), real(3 / 4), real(15 / 8)


def make_step(plan: Plan, *, layers: bool, unsigned: Any, library: Any) -> Callable[..., None]:
    """Return what renews the changes of eight cells, all but layers along y.

    Args:
        plan: How a row is shared out.
        layers: Whether the warp has a part of a layer along x.
        unsigned: Makes an index that is known not to be negative.
        library: Has `fma(a, b, c)`, a b + c, which is rounded once where it is compiled.
    """
    far, skew, bend, slope, _, half = _weights(plan)
    lines, columns, width, narrow, kept = plan.lines, plan.columns, plan.width, plan.narrow, plan.kept
    wide, uniform, piece = plan.order == 4, plan.uniform, min(plan.lines, 8)

    def step(
        shared: Any, u: Any, d: Any, z: Any, left: Any, right: Any, ends: Any, place: Any, maps: Any, plain: Any,
        layer: Any, phi: Any, phi_new: Any, zeta: Any, start: Any,
    ) -> None:  # fmt: skip
        left1, left2 = left
        right1, right2 = right
        above1, above2, below1, below2 = ends
        ring, past, open_, size = plain
        if layers:
            a, b, s, ab, gain = layer
        for k in range(start, start + piece):
            down = unsigned(k * width)
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
                at = place + unsigned(k * columns)
                ring, past, open_ = maps[at], maps[size + at], maps[size + size + at]
            if not layers:
                d[k] = past * d[k] + ring * ((beside + upright) - open_ * u[k])
            else:
                to = unsigned(k * narrow)
                second = library.fma(-half, u[k], beside)
                change = past * d[k] + ring * ((upright - (open_ - half) * u[k]) + second)
                slant, rise = high - low, shared[phi + to + unsigned(1)] - shared[phi + to - unsigned(1)]
                if wide:
                    slant += skew * (high2 - low2)
                    rise += skew * (shared[phi + to + unsigned(2)] - shared[phi + to - unsigned(2)])
                bent = bend * b * second
                moved = (bent + s * slant) + slope * rise
                memory = library.fma(a, z[k] if k < kept else shared[zeta + to], library.fma(b, moved, bent))
                shared[phi_new + to] = a * shared[phi + to] + ab * slant
                d[k] = change + (gain if uniform else ring * gain) * (moved + memory)
                if k < kept:
                    z[k] = memory
                else:
                    shared[zeta + to] = memory

    return step


def make_absorb(plan: Plan, first: int, last: int, *, unsigned: Any, library: Any) -> Callable[..., None]:
    """Return what adds the layers along y to the changes of the cells `first` to `last` of a strip.

    The bounds are constant: no cell asks whether it is in the layer, and phi moves on from cell to cell by name alone.
    Arguments as for `make_step`.
    """
    far, skew, bend, slope, share, _ = _weights(plan)
    lines, columns = plan.lines, plan.columns
    wide, uniform, zero = plan.order == 4, plan.uniform, type(far)(0)

    def absorb(
        shared: Any, u: Any, d: Any, ends: Any, place: Any, maps: Any, plain: Any, profile: Any, phi: Any,
        phi_new: Any, zeta: Any,
    ) -> None:  # fmt: skip
        above1, above2, below1, below2 = ends
        ring, _, _, _ = plain
        at = phi + unsigned(first * columns)
        before, centre, after = shared[at - unsigned(columns)], shared[at], shared[at + unsigned(columns)]
        before2, after2 = zero, zero
        if wide:
            before2 = shared[at - unsigned(2 * columns)]
        for k in range(first, last):
            to, number = unsigned(k * columns), profile + unsigned(4 * k)
            up1 = u[k - 1] if k > 0 else above1
            down1 = u[k + 1] if k < lines - 1 else below1
            a, b = shared[number], shared[number + unsigned(1)]
            s, ab = shared[number + unsigned(2)], shared[number + unsigned(3)]
            second = (up1 - u[k]) + (down1 - u[k])  # not as in `step`: a sum kept from there costs registers
            slant = down1 - up1
            rise = after - before
            if wide:
                after2 = shared[phi + to + unsigned(2 * columns)]
                up2 = u[k - 2] if k > 1 else (above1 if k == 1 else above2)
                down2 = u[k + 2] if k < lines - 2 else (below1 if k == lines - 2 else below2)
                second += far * ((up2 - u[k]) + (down2 - u[k]))
                slant += skew * (down2 - up2)
                rise += skew * (after2 - before2)
            bent = bend * b * second
            moved = (bent + s * slant) + slope * rise
            memory = library.fma(a, shared[zeta + to], library.fma(b, moved, bent))
            shared[zeta + to] = memory
            shared[phi_new + to] = a * centre + ab * slant
            if not uniform:
                ring = maps[place + to]
            d[k] += ring * share * (moved + memory)
            if wide:
                before2, before, centre, after = before, centre, after, after2
            else:
                before, centre, after = centre, after, shared[phi + to + unsigned(2 * columns)]

    return absorb
