"""Definite-length blocks of IEEE 488.2: `#`, a digit d, d digits that say N, N bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from physnet.errors import InputError, TransportError, TransportFault

from .transport import Deadline, Transport

_LARGEST = 999_999_999  # bytes that nine digits can say


def encode_block(values: NDArray[Any]) -> bytes:
    """Return an array as a block, in the byte order of its dtype.

    Raises:
        InputError: It has more bytes than a header can say, or its elements are no numbers.
    """
    _check_dtype(values.dtype)
    if values.nbytes > _LARGEST:
        raise InputError(f"a block must be <= {_LARGEST} bytes, got {values.nbytes}. Send it in parts.")
    digits = str(values.nbytes).encode()
    return b"#%d%b%b" % (len(digits), digits, values.tobytes())


def read_block(
    transport: Transport,
    dtype: DTypeLike,
    count: int,
    *,
    terminator: bytes = b"\n",
    deadline: Deadline,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Read a block that must hold exactly `count` numbers, and the end of the answer behind it.

    Memory is taken for what was declared, whatever the header says. A block of indefinite length (`#0`) is refused on
    a stream, where nothing marks its end.

    Args:
        transport: Where it comes from.
        dtype: Type of the elements with its byte order, such as `">f4"`.
        count: How many there must be.
        terminator: What ends an answer.
        deadline: When it must all have come.
        out: Where the numbers go: `count` of them, of this dtype, contiguous. After an error what it holds means
            nothing.

    Returns:
        Shape `(count,)`, an array of its own; `out` where it was given.

    Raises:
        InputError: `dtype` is no type of numbers, `count` is not >= 0, or `out` does not fit.
        TransportError: The block is not what was declared, or did not come. What follows it is unknown then.

    Source:
        IEEE Std 488.2-1992, sections 8.7.9 and 8.7.10.
    """
    kind = block_dtype(dtype, count, out)
    expected = count * kind.itemsize
    length = _read_length(transport, deadline)
    if length is not None and length % kind.itemsize:
        raise _error(transport, f"a block of {length} bytes holds no whole number of {kind.str!r}", "garbled")
    if length is not None and length != expected:
        raise _error(
            transport,
            f"the block must hold {count} numbers of {kind.str!r}, {expected} bytes, and says {length} bytes",
            "garbled",
            "Record length or data format of the instrument differ from what was set, or this answers another query.",
        )
    values = np.empty(count, kind) if out is None else out
    if expected:
        transport.read_into(values.reshape(-1).view(np.uint8).data, deadline)
    transport.read_end(terminator, deadline)
    return values


def block_dtype(dtype: DTypeLike, count: int, out: NDArray[Any] | None = None) -> np.dtype[Any]:
    """Return the dtype of a block, checked.

    Raises:
        InputError: It is no type of numbers, `count` of them don't fit into a block, or the block not into `out`.
    """
    try:
        kind = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"dtype must be a NumPy type with its byte order, such as '>f4', got {dtype!r}.") from error
    _check_block(kind, count)
    if out is not None and not (
        out.dtype == kind and out.size == count and out.flags.c_contiguous and out.flags.writeable
    ):
        raise InputError(
            f"out must be contiguous, writeable, and hold {count} numbers of {kind.str!r}, got shape {out.shape} of "
            f"{out.dtype.str!r}. Leave it out for a new array."
        )
    return kind


@lru_cache(maxsize=64)
def _check_block(kind: np.dtype[Any], count: int) -> None:
    _check_dtype(kind)
    if not 0 <= count * kind.itemsize <= _LARGEST:
        raise InputError(f"count must be 0 to {_LARGEST // kind.itemsize} numbers of {kind.str!r}, got {count}.")


def _read_length(transport: Transport, deadline: Deadline) -> int | None:
    """Read the header; return the number of bytes it says, None for "until the end of the message"."""
    start = transport.read_exactly(2, deadline)
    if start[:1] != b"#" or not start[1:].isdigit():
        raise _error(transport, "a block must begin with '#' and a digit", "garbled", received=start)
    digits = int(start[1:])
    if not digits:
        if transport.stream:
            raise _error(
                transport,
                "a block of indefinite length has no end on a stream",
                "garbled",
                "Set the instrument to definite-length blocks, or use its USB, GPIB or HiSLIP connection.",
                received=start,
            )
        return None
    number = transport.read_exactly(digits, deadline)
    if not number.isdigit():
        raise _error(transport, f"the length of a block must be {digits} digits", "garbled", received=start + number)
    return int(number)


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iufc" or not dtype.itemsize:
        raise InputError(f"a block must hold integers, floats or complex numbers, got dtype {dtype.str!r}.")


def _error(
    transport: Transport, problem: str, kind: TransportFault, advice: str = "", received: bytes = b""
) -> TransportError:
    return TransportError(problem, kind=kind, resource=transport.resource, received=received, advice=advice)
