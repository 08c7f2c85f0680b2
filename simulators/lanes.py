"""Sixteen single-precision numbers in a register, as a type of numba: what compiled loops over rows are made of.

A loop over sixteen rows that numba's compiler may or may not turn into vectors is written with them as one operation on
a vector. LLVM splits it where registers are narrower, so the same source runs everywhere, and each row takes the same
operations.

Import it through a module that knows what to do without numba. A change here needs a new `EDITION`, and the same one in
the kernels that use it: numba's cache of a function sees changes in the function's own file only.
"""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

_F = TypeVar("_F", bound=Callable[..., Any])
_numba: Any = importlib.import_module("numba")
_types: Any = importlib.import_module("numba.core.types")
_extending: Any = importlib.import_module("numba.extending")
_typing: Any = importlib.import_module("numba.core.typing.templates")
_cgutils: Any = importlib.import_module("numba.core.cgutils")
_ir: Any = importlib.import_module("llvmlite.ir")

EDITION = 1
LANES = 16
FAST = ("contract", "nsz")
"""What may be done to sums and products: fused multiply-adds, and either sign of zero."""
_VECTOR: Any = _ir.VectorType(_ir.FloatType(), LANES)


class _Lanes(_types.Type):  # type: ignore[misc]
    """Sixteen numbers in a register."""

    def __init__(self) -> None:
        super().__init__(name="lanes16")


_lanes = _Lanes()


@_extending.register_model(_Lanes)
class _LanesModel(_extending.models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _splat(builder: Any, number: Any) -> Any:
    index = _ir.IntType(32)
    nothing = _ir.Constant(_VECTOR, _ir.Undefined)
    first = builder.insert_element(nothing, number, _ir.Constant(index, 0))
    return builder.shuffle_vector(first, nothing, _ir.Constant(_ir.VectorType(index, LANES), [0] * LANES))


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@_extending.intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return sixteen numbers of an array, which lie at a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_place(context, builder, signature.args[0], *arguments))
        value.align = 64
        return value

    return _lanes(array, _types.intp), generate


@_extending.intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write sixteen numbers into an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        done = builder.store(arguments[2], _place(context, builder, signature.args[0], *arguments[:2]))
        done.align = 64
        return context.get_dummy_value()

    return _types.void(array, _types.intp, _lanes), generate


@_extending.intrinsic  # type: ignore[untyped-decorator]
def spread(typing: Any, number: Any) -> Any:
    """Return a number sixteen times."""
    return _lanes(_types.float32), lambda context, builder, signature, arguments: _splat(builder, arguments[0])


@_extending.intrinsic  # type: ignore[untyped-decorator]
def larger(typing: Any, one: Any, other: Any) -> Any:
    """Return the larger of each pair; of one that is no number and another, the former."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<=", *arguments), arguments[1], arguments[0])

    return _lanes(_lanes, _lanes), generate


@_extending.intrinsic  # type: ignore[untyped-decorator]
def nearest(typing: Any, value: Any) -> Any:
    """Return the nearest whole numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _ir.FunctionType(_VECTOR, [_VECTOR])
        rint = _cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{LANES}f32")
        return builder.call(rint, arguments)

    return _lanes(_lanes), generate


def _define(name: str, function: Any) -> None:
    """Let numba add, subtract or multiply lanes, and lanes with a number."""
    pairs = ((_lanes, _lanes), (_types.float32, _lanes), (_lanes, _types.float32))

    def generic(self: Any, arguments: Any, _: Any) -> Any:
        return _typing.signature(_lanes, *arguments) if tuple(arguments) in pairs else None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        both = [
            value if kind is _lanes else _splat(builder, value)
            for value, kind in zip(arguments, signature.args, strict=True)
        ]
        return getattr(builder, name)(*both, flags=FAST)

    _typing.infer_global(function)(type(f"_Lanes_{name}", (_typing.AbstractTemplate,), {"generic": generic}))
    for pair in pairs:
        _extending.lower_builtin(function, *pair)(generate)


for _name, _function in (("fadd", operator.add), ("fsub", operator.sub), ("fmul", operator.mul)):
    _define(_name, _function)

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": set(FAST), "boundscheck": False, "error_model": "numpy"}


def inlined(function: _F) -> _F:
    """Compile a part of a kernel, for the kernel alone."""
    return cast(_F, _numba.njit(forceinline=True, **_OPTIONS)(function))


def compiled(function: _F) -> _F:
    """Compile a kernel, or take it from numba's cache."""
    try:
        return cast(_F, _numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # no folder to write a cache to: compile once per process
        return cast(_F, _numba.njit(**_OPTIONS)(function))


_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_PER_PI, _PI_HIGH = np.float32(1 / math.pi), np.float32(201 / 64)  # 8 bits: times a whole number below 2^16 it is exact
_PI_LOW = np.float32(math.pi - 201 / 64)
# Taylor series on |r| <= pi/2: what is left out is below r^13 / 13! = 6e-8 (sine) and r^14 / 14! = 7e-9 (cosine).
_S3, _S5, _S7, _S9, _S11 = (np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in range(1, 6))
_C2, _C4, _C6, _C8, _C10, _C12 = (np.float32((-1) ** k / math.factorial(2 * k)) for k in range(1, 7))


@inlined
def sincos(phase: Any) -> Any:
    """Return sine and cosine, within 2^-23 + 2^-23 |phase|."""
    n = nearest(phase * _PER_PI)
    odd = n - _TWO * nearest(_HALF * n)
    r = (phase - n * _PI_HIGH) - n * _PI_LOW
    z = r * r
    sine = r + r * (z * (_S3 + z * (_S5 + z * (_S7 + z * (_S9 + z * _S11)))))
    cosine = _ONE + z * (_C2 + z * (_C4 + z * (_C6 + z * (_C8 + z * (_C10 + z * _C12)))))
    sign = _ONE - _TWO * (odd * odd)
    return sine * sign, cosine * sign
