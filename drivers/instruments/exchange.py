"""Exchanges that instruments of this folder have in common."""

from __future__ import annotations

from collections.abc import Collection

from physnet.errors import TransportError

from ..answers import parse_number, parse_queued_error
from ..scpi import ScpiSession

_LOOKS = 8  # at an error queue that should hold one entry


def complete(session: ScpiSession, *commands: str, timeout: float | None = None) -> None:
    """Send commands, and wait until all of them are carried out.

    Raises:
        TransportError: That is not certain.
    """
    is_complete(session.query("*OPC?", before=commands, timeout=timeout), resource=session.resource)


def is_complete(answer: str, *, resource: str) -> None:
    """Check an answer to `*OPC?`.

    Raises:
        TransportError: It is not 1.
    """
    if parse_number(answer, resource=resource) != 1:
        raise TransportError("*OPC? must answer 1", kind="garbled", resource=resource, received=answer.encode())


def ask_whole(session: ScpiSession, query: str, low: int, high: int, *, timeout: float | None = None) -> int:
    """Ask for a whole number, such as a register or a count.

    Raises:
        TransportError: The answer is none of `low` to `high`.
    """
    value = parse_number(session.query(query, timeout=timeout), resource=session.resource)
    if not low <= value <= high or value != int(value):
        raise TransportError(
            f"{query} must answer a whole number of {low} to {high}, got {value:g}",
            kind="garbled",
            resource=session.resource,
        )
    return int(value)


def drop_errors(session: ScpiSession, query: str, codes: Collection[int]) -> None:
    """Empty an error queue that should hold nothing else than entries of these codes.

    Raises:
        TransportError: It holds another one (`rejected`; the session is sound), or could not be read.
    """
    for _ in range(_LOOKS):
        entry = parse_queued_error(session.query(query), resource=session.resource)
        if not entry.code:
            return
        if entry.code not in codes:
            break
    raise TransportError(
        f"the instrument reports {entry.code} {entry.text}", kind="rejected", resource=session.resource
    )
