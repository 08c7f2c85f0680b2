"""What goes over the line as the answer to one message, with or without a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .commands import Answer
from .faults import ANSWER_FAULTS, BLOCK_FAULTS, FaultKind, FaultPlan

_STRAY = b"1"
_GARBAGE = 40  # bytes


@dataclass(frozen=True)
class Reply:
    """What is sent back.

    Args:
        data: The bytes.
        delay: Time before the first of them in s.
        pause: Time between two of them in s; 0 to send them together.
        hang_up: Whether the connection is dropped instead.
        refuse: Whether new connections are refused then.
    """

    data: bytes = b""
    delay: float = 0.0
    pause: float = 0.0
    hang_up: bool = False
    refuse: bool = False


def possible(answers: Sequence[Answer], previous: bytes, overloaded: Sequence[Answer] | None) -> frozenset[FaultKind]:
    """Return the kinds of fault that can act on a message with these answers."""
    kinds = ANSWER_FAULTS | {FaultKind.QUEUED_ERROR}
    if not previous:
        kinds -= {FaultKind.STALE}
    if any(isinstance(answer, bytes) for answer in answers):
        kinds |= BLOCK_FAULTS
    if overloaded is not None:
        kinds |= {FaultKind.OVERLOAD}
    return kinds


def encode(answers: Iterable[Answer], terminator: bytes, digits: int = 0) -> bytes:
    """Return the bytes of answers: blocks with their header, semicolons between, a terminator behind."""
    parts = [_block(answer, digits) if isinstance(answer, bytes) else answer.encode("ascii") for answer in answers]
    return b";".join(parts) + terminator if parts else b""


def spoil(
    kind: FaultKind | None,
    answers: Sequence[Answer],
    *,
    previous: bytes,
    terminator: bytes,
    digits: int,
    plan: FaultPlan,
    exchange: int,
) -> Reply:
    """Return what is sent when a fault acts on the answers; None: nothing goes wrong."""
    sound = encode(answers, terminator, digits)
    match kind:
        case FaultKind.DELAY:
            return Reply(sound, delay=plan.delay)
        case FaultKind.STALL:
            return Reply()
        case FaultKind.DRIBBLE:
            return Reply(sound, pause=plan.pause)
        case FaultKind.DROPPED | FaultKind.REFUSED:
            return Reply(hang_up=True, refuse=kind is FaultKind.REFUSED)
        case FaultKind.EXTRA:
            return Reply(sound + _STRAY + terminator)
        case FaultKind.GARBAGE:
            return Reply(plan.noise(exchange, _GARBAGE) + terminator)
        case FaultKind.STALE:
            return Reply(previous)
        case FaultKind.TRUNCATED:
            return Reply(
                _change_block(answers, digits, lambda data: _header(len(data), digits) + data[: len(data) // 2])
            )
        case FaultKind.WRONG_LENGTH:
            wrong = _change_block(answers, digits, lambda data: _header(max(0, len(data) - 1), digits) + data)
            return Reply(wrong + terminator)
        case _:
            return Reply(sound)


def _header(length: int, digits: int) -> bytes:
    text = str(length).zfill(digits).encode()
    return b"#%d%b" % (len(text), text)


def _block(data: bytes, digits: int) -> bytes:
    return _header(len(data), digits) + data


def _change_block(answers: Sequence[Answer], digits: int, change: Callable[[bytes], bytes]) -> bytes:
    """Encode the answers up to the first block, and the block otherwise; nothing follows it."""
    index = next(index for index, answer in enumerate(answers) if isinstance(answer, bytes))
    start = encode(answers[:index], b";", digits)
    block = answers[index]
    assert isinstance(block, bytes)
    return start + change(block)
