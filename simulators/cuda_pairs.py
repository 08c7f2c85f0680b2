"""Pairs of numbers in the memory that the threads of a CUDA block share, moved eight bytes at a time.

Numba moves a number at a time; half as many instructions do. Import it through a module that knows what to do without
numba.
"""

from __future__ import annotations

import importlib
from typing import Any

from .cuda import is_interpreted
from .cuda_fourier import inlined

_types: Any = importlib.import_module("numba.cuda.types")
SHARED = _types.float32 if is_interpreted() else _types.float64
"""What `cuda.shared.array` is to be made of: on a device every pair takes the place of a number of eight bytes."""

if is_interpreted():

    @inlined
    def get(s: Any, p: Any) -> Any:
        """Return a pair."""
        return s[2 * p], s[2 * p + 1]

    @inlined
    def put(s: Any, p: Any, a: Any) -> Any:
        """Write a pair; return where."""
        s[2 * p], s[2 * p + 1] = a
        return p

else:
    _extending: Any = importlib.import_module("numba.cuda.extending")
    _ir: Any = importlib.import_module("llvmlite.ir")
    _VECTOR: Any = _ir.VectorType(_ir.FloatType(), 2)
    _pair: Any = _types.UniTuple(_types.float32, 2)

    def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())

    @_extending.intrinsic  # type: ignore[untyped-decorator]
    def get(typing: Any, array: Any, index: Any) -> Any:
        """Return a pair."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = builder.load(_place(context, builder, signature.args[0], *arguments))
            vector.align = 8
            parts = [builder.extract_element(vector, _ir.Constant(_ir.IntType(32), k)) for k in range(2)]
            return context.make_tuple(builder, signature.return_type, parts)

        return _pair(array, _types.uint64), generate

    @_extending.intrinsic  # type: ignore[untyped-decorator]
    def put(typing: Any, array: Any, index: Any, pair: Any) -> Any:
        """Write a pair; return where."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = _ir.Constant(_VECTOR, _ir.Undefined)
            for k in range(2):
                part = builder.extract_value(arguments[2], k)
                vector = builder.insert_element(vector, part, _ir.Constant(_ir.IntType(32), k))
            done = builder.store(vector, _place(context, builder, signature.args[0], *arguments[:2]))
            done.align = 8
            return arguments[1]

        return _types.uint64(array, _types.uint64, _pair), generate
