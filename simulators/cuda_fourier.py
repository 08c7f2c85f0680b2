"""Fourier transforms of up to sixteen complex numbers in the registers of one CUDA thread.

A complex number is a pair `(real, imaginary)`. Bins come in their natural order. Import it through a module that knows
what to do without numba.

There is no transform back: with the parts of all numbers changed over, going in and coming out, the transform forth is
the one back, and a factor w acts as its conjugate.

Names: `a` to `h` numbers; `x` many of them; `w` factors.

Source:
    C. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, section 2.4.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from .cuda import is_interpreted

_F = TypeVar("_F", bound=Callable[..., Any])
_numba_cuda: Any = importlib.import_module("numba.cuda")
W1, W2, W3, W6, W9 = (
    (np.float32(math.cos(math.pi * k / 8)), np.float32(-math.sin(math.pi * k / 8))) for k in (1, 2, 3, 6, 9)
)
"""Powers of the sixteenth root of 1."""


def inlined(function: _F) -> _F:
    """Compile a part of a kernel into the kernel; the interpreter takes it as it is."""
    if is_interpreted():
        return function
    return cast(_F, _numba_cuda.jit(device=True, forceinline=True)(function))


def each(function: Callable[[Any], Any]) -> Any:
    """Return what applies an inlined function to each of sixteen things."""

    def apply(x: Any) -> Any:
        return (
            function(x[0]), function(x[1]), function(x[2]), function(x[3]), function(x[4]), function(x[5]),
            function(x[6]), function(x[7]), function(x[8]), function(x[9]), function(x[10]), function(x[11]),
            function(x[12]), function(x[13]), function(x[14]), function(x[15]),
        )  # fmt: skip

    return inlined(apply)


def each_pair(function: Callable[[Any, Any], Any]) -> Any:
    """Return what applies an inlined function to each of sixteen things and a partner."""

    def apply(x: Any, y: Any) -> Any:
        return (
            function(x[0], y[0]), function(x[1], y[1]), function(x[2], y[2]), function(x[3], y[3]),
            function(x[4], y[4]), function(x[5], y[5]), function(x[6], y[6]), function(x[7], y[7]),
            function(x[8], y[8]), function(x[9], y[9]), function(x[10], y[10]), function(x[11], y[11]),
            function(x[12], y[12]), function(x[13], y[13]), function(x[14], y[14]), function(x[15], y[15]),
        )  # fmt: skip

    return inlined(apply)


def each_with(function: Callable[[Any, Any, Any], Any]) -> Any:
    """Return what applies an inlined function to each of sixteen things and two that all share."""

    def apply(x: Any, c: Any, d: Any) -> Any:
        return (
            function(x[0], c, d), function(x[1], c, d), function(x[2], c, d), function(x[3], c, d),
            function(x[4], c, d), function(x[5], c, d), function(x[6], c, d), function(x[7], c, d),
            function(x[8], c, d), function(x[9], c, d), function(x[10], c, d), function(x[11], c, d),
            function(x[12], c, d), function(x[13], c, d), function(x[14], c, d), function(x[15], c, d),
        )  # fmt: skip

    return inlined(apply)


@inlined
def turned(a: Any, w: Any) -> Any:
    """Return a w."""
    return a[0] * w[0] - a[1] * w[1], a[0] * w[1] + a[1] * w[0]


@inlined
def added(a: Any, b: Any) -> Any:
    """Return a + b."""
    return a[0] + b[0], a[1] + b[1]


@inlined
def less(a: Any, b: Any) -> Any:
    """Return a - b."""
    return a[0] - b[0], a[1] - b[1]


@inlined
def four(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the transform of four numbers."""
    e, f, g, h = added(a, c), less(a, c), added(b, d), less(b, d)
    return added(e, g), (f[0] + h[1], f[1] - h[0]), less(e, g), (f[0] - h[1], f[1] + h[0])


@inlined
def eight(x: Any) -> Any:
    """Return the transform of eight numbers."""
    a, b = four(x[0], x[2], x[4], x[6]), four(x[1], x[3], x[5], x[7])
    f, g, h = turned(b[1], W2), (b[2][1], -b[2][0]), turned(b[3], W6)
    return (
        added(a[0], b[0]), added(a[1], f), added(a[2], g), added(a[3], h),
        less(a[0], b[0]), less(a[1], f), less(a[2], g), less(a[3], h),
    )  # fmt: skip


@inlined
def sixteen(x: Any) -> Any:
    """Return the transform of sixteen numbers."""
    a, b = four(x[0], x[4], x[8], x[12]), four(x[1], x[5], x[9], x[13])
    c, d = four(x[2], x[6], x[10], x[14]), four(x[3], x[7], x[11], x[15])
    e = four(a[0], b[0], c[0], d[0])
    f = four(a[1], turned(b[1], W1), turned(c[1], W2), turned(d[1], W3))
    g = four(a[2], turned(b[2], W2), (c[2][1], -c[2][0]), turned(d[2], W6))
    h = four(a[3], turned(b[3], W3), turned(c[3], W6), turned(d[3], W9))
    return (
        e[0], f[0], g[0], h[0], e[1], f[1], g[1], h[1], e[2], f[2], g[2], h[2], e[3], f[3], g[3], h[3],
    )  # fmt: skip


@inlined
def eights(x: Any) -> Any:
    """Return the transforms of two times eight numbers."""
    a, b = eight(x[0:8]), eight(x[8:16])
    return (
        a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
    )  # fmt: skip


@inlined
def fours(x: Any) -> Any:
    """Return the transforms of four times four numbers."""
    a, b = four(x[0], x[1], x[2], x[3]), four(x[4], x[5], x[6], x[7])
    c, d = four(x[8], x[9], x[10], x[11]), four(x[12], x[13], x[14], x[15])
    return (
        a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3],
    )  # fmt: skip


@inlined
def twos(x: Any) -> Any:
    """Return the transforms of eight times two numbers."""
    return (
        added(x[0], x[1]), less(x[0], x[1]), added(x[2], x[3]), less(x[2], x[3]),
        added(x[4], x[5]), less(x[4], x[5]), added(x[6], x[7]), less(x[6], x[7]),
        added(x[8], x[9]), less(x[8], x[9]), added(x[10], x[11]), less(x[10], x[11]),
        added(x[12], x[13]), less(x[12], x[13]), added(x[14], x[15]), less(x[14], x[15]),
    )  # fmt: skip
