"""Answers in text, read strictly: what is not exactly a number is not one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import TransportError

_NUMBER = re.compile(r"[ \t]*([+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?)[ \t]*", re.ASCII)
_ENTRY = re.compile(r'[ \t]*([+-]?\d{1,9})[ \t]*,[ \t]*"([^\r\n]{0,1024})"[ \t]*', re.ASCII)

# SCPI-99, volume 1, section 7.2.1.5.
_CODES = {9.91e37: math.nan, 9.9e37: math.inf, -9.9e37: -math.inf}
_NAMES = {math.inf: "9.9E37, an overload", -math.inf: "-9.9E37, a negative overload"}


@dataclass(frozen=True, kw_only=True)
class QueuedError:
    """An entry of an instrument's error queue.

    Args:
        code: Its number; 0 means no error.
        text: What it says.
    """

    code: int
    text: str


def parse_number(answer: str, *, resource: str) -> float:
    """Read one number.

    Returns:
        The number; NaN for the code 9.91E37, and an infinity for the overload codes 9.9E37 and -9.9E37.

    Raises:
        TransportError: It is no number, or too large for one.
    """
    found = _NUMBER.fullmatch(answer)
    if not found:
        raise _garbled(answer, resource, "the answer is not a number")
    value = float(found[1])
    if not math.isfinite(value):
        raise _garbled(answer, resource, "the answer is too large for a number")
    return _CODES.get(value, value)


def parse_numbers(answer: str, count: int, *, resource: str) -> NDArray[np.float64]:
    """Read numbers separated by commas, exactly `count` of them; the codes become NaN and infinities.

    Raises:
        TransportError: There are more or fewer, or one is no number.
    """
    parts = answer.split(",", count) if count else []  # one part too many is enough to know
    if len(parts) != count or (not count and answer.strip()):
        raise _garbled(answer, resource, f"there must be {count} numbers, and there are {answer.count(',') + 1}")
    return np.array([parse_number(part, resource=resource) for part in parts], np.float64)


def name_code(value: float) -> str:
    """Return what a value that is not finite stands for, for people."""
    return _NAMES.get(value, "9.91E37, not a number")


def parse_queued_error(answer: str, *, resource: str) -> QueuedError:
    """Read an answer to `SYSTem:ERRor?`: a number, a comma, a text in quotes.

    Raises:
        TransportError: It is none.
    """
    found = _ENTRY.fullmatch(answer)
    if not found:
        raise _garbled(answer, resource, "the answer is no entry of an error queue, such as '0,\"No error\"'")
    return QueuedError(code=int(found[1]), text=found[2])


def _garbled(answer: str, resource: str, problem: str) -> TransportError:
    advice = "It may answer another query, or the instrument's data format differs from what was set."
    received = answer.encode("ascii", "backslashreplace")
    return TransportError(problem, kind="garbled", resource=resource, received=received, advice=advice)
