"""What the boards share: opening, playing rows, and safe outputs whatever happens.

Outputs are live during `measure` alone: every batch arms the board, plays its rows and makes the outputs safe again. So
a host that thinks for a minute between two batches leaves nothing on, and one that dies within a batch is found silent
by the board's own watchdog.

Axis letters: N rows; D drive channels; R response channels.
"""

from __future__ import annotations

import struct
import sys
import time
from abc import abstractmethod
from collections import Counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.drives import check_drive, fit_drive
from physnet.errors import DriveError, InputError, MeasurementError
from physnet.interrupts import deferred_signals

from .link import BoardLink, Outcome
from .messages import BoardIdentity, Kind
from .options import Place, SerialOptions
from .rows import ROW_SIZE, read_rows
from .stream import ByteStream, SerialStream

_ARM = struct.Struct("<II")
_BACKOFF = (0.02, 0.5)  # first and longest pause between two attempts to reopen, in s


class SerialBoard(PhysicalSystem):
    """A board that plays a row and reads its inputs, one frame each way.

    Args:
        options: How to reach it.
        name: Name in the spec.
        drive: What may be played.
        response: What comes back; in unit `count` the codes themselves.
        payload: Bytes of a row of drive.
        max_batch: Most rows of one call.
        nonlinearity: Where the system is nonlinear.
        stateful: It remembers earlier rows.
    """

    _row_kind: Kind

    def __init__(
        self,
        options: SerialOptions,
        *,
        name: str,
        drive: DriveSpec,
        response: ResponseSpec,
        payload: int,
        max_batch: int,
        nonlinearity: tuple[Place, ...],
        stateful: bool,
    ) -> None:
        options.check(name)
        self._options = options
        self._link: BoardLink | None = None
        self._board: BoardIdentity | None = None
        self._faults: Counter[str] = Counter()
        # The spec keeps this very dictionary: which unit it is is known once the port is open.
        self._found: dict[str, Any] = {}
        self._spec = SystemSpec(
            name=name,
            kind=options.kind,
            drive=drive,
            response=response,
            nonlinearity=frozenset(nonlinearity),
            stateful=stateful,
            cost=options.cost(sent=payload, received=ROW_SIZE + 2 * response.channels),
            resource=f"serial:{options.port}",
            max_batch=max_batch,
            identity={
                "model": type(self).__name__,
                "port": options.port,
                "settle": options.settle,
                "found": self._found,
            },
        )

    @property
    def spec(self) -> SystemSpec:
        """The board's description; once open, its identity tells the unit and its firmware."""
        return self._spec

    @property
    def link(self) -> BoardLink:
        """The open line.

        Raises:
            InputError: The board is not open.
        """
        if self._link is None:
            raise InputError(f"{self._spec.name} must be entered first: `with` opens its port.")
        return self._link

    @property
    def board(self) -> BoardIdentity:
        """What the board said about itself when it was opened."""
        _ = self.link
        assert self._board is not None  # set before the link
        return self._board

    @property
    def faults(self) -> Counter[str]:
        """Faults of the line since the board was made, by kind: lost and damaged answers, refusals, lines lost."""
        link = self._link
        return self._faults + (link.faults + link.dropped if link is not None else Counter())

    def open_stream(self) -> ByteStream:
        """Open the port. Override it for another kind of line.

        Raises:
            OSError: It can't be opened.
        """
        return SerialStream(self._options.port, baud=self._options.baud)

    def measure(self, drive: NDArray[Any], passes: Passes) -> Reading:
        """Play rows and read the inputs after each.

        A row whose answer was lost or damaged is marked invalid, so that it is measured again.

        Raises:
            DriveError: A drive is not allowed; not a byte was sent.
            MeasurementError: The line is gone, the watchdog tripped, or the board played something else. It carries
                the rows before.
        """
        limit = self._spec.max_batch
        if limit is not None and len(drive) > limit:
            raise DriveError(f"a batch of {self._spec.name} must have at most {limit} rows, got {len(drive)}.")
        tensor = torch.from_numpy(np.array(drive))  # a copy: the caller's may be read-only
        check_drive(self._spec, tensor)
        payloads = self._pack(fit_drive(self._spec.drive, tensor).numpy())
        self._get_back()
        started = time.time()
        outcomes: list[Outcome] = []
        try:
            self.link.exchange(Kind.ARM, self._arming())
            outcomes = self.link.exchange_many(self._row_kind, payloads)
        finally:
            unsafe = self._make_safe()
            _note(unsafe)
            self._found["faults"] = dict(self.faults)
        return self._read(payloads, outcomes, started, unsafe)

    def make_safe(self) -> None:
        """Make the outputs safe now, and make sure of it.

        Raises:
            MeasurementError: The board did not say so.
        """
        if unsafe := self._make_safe():
            raise MeasurementError(unsafe)

    def recover(self) -> None:
        """Reopen the line if it is lost; the board that answers makes its outputs safe first.

        Raises:
            MeasurementError: It stays away, or another board answers.
        """
        self._get_back()

    def __enter__(self) -> Self:
        if self._link is not None:
            raise InputError(f"{self._spec.name} is open already: one program, one `with`.")
        try:
            self._connect()
        except OSError as error:
            raise InputError(
                f"{self._options.port} can't be opened for {self._spec.name}: {error}. Check the name of the port, "
                "its cable, and that no other program holds it."
            ) from error
        except MeasurementError as error:
            raise InputError(f"{self._spec.name} can't be opened: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._link is None:
            return
        unsafe = self._make_safe()
        with deferred_signals():
            self._drop_link()
        if unsafe and error is not None:
            error.add_note(unsafe)
        elif unsafe:
            raise MeasurementError(unsafe)

    @abstractmethod
    def _pack(self, drive_ND: NDArray[Any]) -> list[bytes]:
        """Turn checked rows into payloads."""

    @abstractmethod
    def _check_board(self, board: BoardIdentity) -> None:
        """Raise InputError unless the board has what the spec promises."""

    @abstractmethod
    def _responses(self, codes_NR: NDArray[np.int32]) -> NDArray[Any]:
        """Turn codes into responses, in the unit and type of the spec."""

    def _connect(self) -> None:
        options = self._options
        link = BoardLink(
            self.open_stream(), name=self._spec.name, timeout=options.timeout, seconds_per_byte=10 / options.baud
        )
        try:
            board = link.identify(timeout=options.open_timeout)
            self._check_identity(board)
            self._check_board(board)
            link.settle = options.settle
        except BaseException:
            link.close()
            raise
        self._found["instruments"] = {"board": f"{board.name}, {board.unique_id}, firmware {board.firmware}"}
        self._board, self._link = board, link

    def _check_identity(self, board: BoardIdentity) -> None:
        name, options, before = self._spec.name, self._options, self._board
        expected = options.unique_id or (before.unique_id if before is not None else board.unique_id)
        if board.unique_id != expected:
            raise InputError(
                f"{name} must be the board {expected}, got {board.unique_id} at {options.port}. Connect the other one, "
                "or change unique_id."
            )
        if board.simulated != options.simulated:
            found, wanted = ("a simulated", "true") if board.simulated else ("a real", "false")
            raise InputError(
                f"{name} at {options.port} is {found} board. Set simulated = {wanted}, so that the session says so."
            )
        if options.settle > board.max_settle:
            raise InputError(f"settle of {name} must be at most {board.max_settle:g} s, got {options.settle:g} s.")
        if options.watchdog is not None and options.watchdog > board.watchdog:
            raise InputError(f"watchdog of {name} must be at most {board.watchdog:g} s, got {options.watchdog:g} s.")

    def _get_back(self) -> None:
        """Reopen a lost line; the board that answers makes its outputs safe first, and must be the same one."""
        if not self.link.lost:
            return
        why = self.link.lost
        until = time.monotonic() + self._options.reopen_timeout
        pause, longest = _BACKOFF
        self._drop_link(keep=True)
        while True:
            try:
                self._connect()
                return
            except InputError as error:  # another board: nothing that waiting would mend
                raise MeasurementError(f"the line to {self._spec.name} was lost ({why}): {error}") from error
            except (OSError, MeasurementError) as error:
                if time.monotonic() + pause > until:
                    raise MeasurementError(
                        f"the line to {self._spec.name} was lost ({why}) and did not come back within "
                        f"{self._options.reopen_timeout:g} s: {error}. {self._unreached()}"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def _drop_link(self, *, keep: bool = False) -> None:
        assert self._link is not None
        old, self._link = self._link, self._link if keep else None
        self._faults += old.faults + old.dropped
        old.faults.clear()
        old.dropped.clear()
        old.close()

    def _arming(self) -> bytes:
        watchdog = self._options.watchdog if self._options.watchdog is not None else self.board.watchdog
        return _ARM.pack(round(self._options.settle * 1e6), round(watchdog * 1e3))

    def _make_safe(self) -> str:
        """Tell the board to make its outputs safe. Return why that is not certain; empty when the board said so."""
        with deferred_signals():
            try:
                self.link.exchange(Kind.SAFE)
            except MeasurementError as error:
                return f"{self._spec.name} did not confirm safe outputs: {error} {self._unreached()}"
        return ""

    def _unreached(self) -> str:
        return f"Its own watchdog makes them safe within {self.board.watchdog:g} s of silence; look at the bench."

    def _read(self, payloads: list[bytes], outcomes: list[Outcome], started: float, unsafe: str) -> Reading:
        spec, board, lost = self._spec, self.board, self.link.lost
        rows = read_rows(
            payloads,
            outcomes,
            channels=spec.response.channels,
            full=2**board.adc_bits - 1,
            low_clips=board.adc_range[0] < 0,
            silence=f"the line is gone ({lost})" if lost else "it stopped answering",
        )
        reading = Reading(
            response=self._responses(rows.codes_NR),
            valid=rows.valid,
            flags=rows.flags,
            started=started,
            stopped=time.time(),
        )
        if rows.fault or unsafe:
            where = f"{spec.name} stopped at row {len(reading)} of {len(payloads)}: {rows.fault}."
            message = " ".join(text for text in (where if rows.fault else "", unsafe) if text)
            raise MeasurementError(message, reading=reading if len(reading) else None)
        return reading


def _note(text: str) -> None:
    """Add a note to the exception that is on its way, if any."""
    error = sys.exception()
    if text and error is not None:
        error.add_note(text)
