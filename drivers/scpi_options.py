"""How an SCPI session talks, and what it may send."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from physnet.errors import InputError

from .transport import QUIET, Deadline

_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_REMEMBERED = 256  # characters
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True, kw_only=True)
class ScpiOptions:
    """How a session talks.

    Args:
        timeout: Longest time of one exchange, writes and reads together, in s.
        terminator: What ends a line, in both directions.
        answer_limit: Longest answer in text, in bytes.
        quiet: Time without a byte after which a stream counts as drained, in s.
        backoff: Waits between two attempts to reopen, in s; one more attempt is made than there are waits.
        safe: Commands sent after each reopening, once the identity is proved and before anything else: what switches
            outputs off.
        expect: Regular expression to be found in the identity. Empty: any instrument will do.
        error_query: What reads one entry of the error queue.
        errors_at_most: Entries read before the queue counts as endless.

    Raises:
        InputError: A number is out of its range, or a text can't be sent.
    """

    timeout: float = 5.0
    terminator: bytes = b"\n"
    answer_limit: int = 1 << 16
    quiet: float = QUIET
    backoff: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    safe: tuple[str, ...] = ()
    expect: str = ""
    error_query: str = "SYST:ERR?"
    errors_at_most: int = 32

    def __post_init__(self) -> None:
        Deadline.after(self.timeout)
        Deadline.after(self.quiet)
        if not self.terminator or self.answer_limit < 1 or self.errors_at_most < 1:
            raise InputError("terminator must not be empty, answer_limit and errors_at_most must be >= 1.")
        if not all(0 <= wait < 3600 for wait in self.backoff):
            raise InputError(f"backoff must be waits of 0 to 3600 s, got {self.backoff}.")
        try:
            re.compile(self.expect)
        except re.error as error:
            raise InputError(f"expect must be a regular expression, got {self.expect!r} ({error}).") from error
        for text in self.safe:
            check_command(text, query=False)
        check_command(self.error_query, query=True)


def check_command(text: str, *, query: bool) -> bytes:
    """Return a command as bytes, without its terminator.

    Raises:
        InputError: It is empty, not printable ASCII, or asks where it must not, or does not where it must.
    """
    # A waveform in text is as long as it is rare: only what comes again and again is remembered.
    return _checked(text, query) if len(text) <= _REMEMBERED else _check(text, query)


def _check(text: str, query: bool) -> bytes:
    if not printable(text):
        raise InputError(f"a command must be printable ASCII without a line end, got {text!r}. Send one at a time.")
    if ("?" in _QUOTED.sub("", text)) != query:
        way = "Use `query`: its answer must be read." if not query else "Use `write`: it has no answer to wait for."
        raise InputError(f"a command must {'' if query else 'not '}ask here, got {text!r}. {way}")
    return text.encode("ascii")


_checked = lru_cache(maxsize=256)(_check)


def printable(text: str) -> bool:
    """Return whether a text is printable ASCII, and not empty."""
    return bool(_PRINTABLE.fullmatch(text))
