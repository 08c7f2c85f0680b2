"""Who is at a port: it is opened, asked once, and closed.

Opening a serial port can reset the board behind it, and any port may be in use by a colleague. So a line that a bench
on this computer holds is left alone, and serial ports are opened only when they are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from physnet import registry
from physnet.errors import MeasurementError, PhysnetError, TransportError

from .benches.locks import BenchLock
from .boards.link import BoardLink
from .boards.stream import SerialStream
from .finding import Found, fitting
from .own_thread import OwnThread
from .resources import transport_for
from .scpi_options import printable
from .serial_transport import SerialOptions, SerialTransport
from .transport import Deadline, Transport

_ASKED = ("::INSTR", "::SOCKET")  # not interfaces, crates and memory
_LIMIT = 4096  # bytes of an answer
_BAUD = 115200  # bit/s; the USB ports of boards ignore it
_SERIAL = re.compile(r"(?:ASRL)?(/dev/.+?|COM\d+|\d+)(?:::INSTR)?", re.IGNORECASE)
_SPARE = 1.0  # s for a library that does not keep to the deadline it was given

Lines = Callable[[Found], Transport]


def chosen(found: Iterable[Found], names: Sequence[str]) -> list[Found]:
    """Return what is to be asked: what is named, also where it was not found, or every VISA instrument.

    Args:
        found: What was found.
        names: Names of VISA resources and serial ports; none for all that may be opened unasked.
    """
    known = {one.name.casefold(): one for one in found if one.kind != "sound"}
    if not names:
        return [
            one for one in known.values() if one.kind == "visa" and one.name.upper().endswith(("::INSTR", "SOCKET"))
        ]
    asked = []
    for name in dict.fromkeys(names):
        serial = _SERIAL.fullmatch(name)
        port = f"COM{serial[1]}" if serial and serial[1].isdigit() else serial[1] if serial else name
        asked.append(known.get(port.casefold()) or Found(kind="serial" if serial else "visa", name=port))
    return asked


def line_of(one: Found) -> Transport:
    """Return the line to something that was found, closed."""
    if one.kind == "serial":
        return SerialTransport(one.name, SerialOptions(baud=_BAUD))
    return transport_for(one.name, backend=f"@{one.backend}" if one.backend else "")


def identify(
    one: Found, *, seconds: float = 2.0, lines: Lines = line_of, entries: registry.Entries = registry.installed
) -> Found:
    """Open it, ask who it is, and close it; it never raises because of the instrument.

    It is asked `*IDN?`, and nothing else is sent; a serial port that does not answer is asked as a board, which makes
    its outputs safe.

    Args:
        one: What was found.
        seconds: Longest time of each attempt, in s.
        lines: Makes the line to it.
        entries: Registered drivers.

    Returns:
        The same with its identity and the drivers that fit it, or with its problem.
    """
    try:
        with BenchLock("this bench", [one.name]):
            identity = _limited(one, seconds, lines)
    except (PhysnetError, OSError) as error:
        return replace(one, problem=str(error))
    return replace(one, identity=identity, fits=fitting(identity, entries) or one.fits)


def _limited(one: Found, seconds: float, lines: Lines) -> str:
    """Ask within some time, whatever the library under it does."""
    thread = OwnThread(one.name)
    deadline = Deadline.after(2 * seconds + _SPARE)
    try:
        return thread.run(lambda: _answer(one, seconds, lines), deadline, "asking who it is")
    finally:
        thread.close(deadline)


def _answer(one: Found, seconds: float, lines: Lines) -> str:
    try:
        return _ask(lines(one), seconds)
    except TransportError as error:
        if one.kind != "serial" or error.kind not in ("timeout", "garbled"):
            raise
        try:
            return _ask_board(one.name, seconds)
        except (MeasurementError, OSError) as silence:
            raise TransportError(
                f"nothing answers *IDN? at {_BAUD} bit/s, nor as a board",
                kind="timeout",
                resource=one.name,
                advice="It may need another rate, or more time after it was opened.",
            ) from silence


def _ask(transport: Transport, seconds: float) -> str:
    deadline = Deadline.after(seconds)
    try:
        transport.open(deadline)
        transport.write(b"*IDN?\n", deadline)
        received = transport.read_until(b"\n", _LIMIT, deadline)
    finally:
        transport.close()
    answer = received.decode("ascii", "backslashreplace").strip()
    if not printable(answer):
        raise TransportError(
            "its answer is not printable", kind="garbled", resource=transport.resource, received=received
        )
    return answer


def _ask_board(port: str, seconds: float) -> str:
    link = BoardLink(SerialStream(port, baud=_BAUD), name=port, timeout=seconds)
    try:
        board = link.identify(timeout=seconds)
    finally:
        link.close()
    return f"{board.name},{board.unique_id},{board.firmware}{',SIMULATED' if board.simulated else ''}"
