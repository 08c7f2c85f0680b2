"""A board on a serial line in the rack of a bench: opened, made safe and recovered like any other instrument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from physnet.errors import InputError, MeasurementError, TransportError, TransportFault

from ..boards.serial_board import SerialBoard


class BoardInstrument:
    """The instrument that a board is to a rack.

    Args:
        board: The board; its rows are played through `board.measure`.
        port: Its port.
        simulated: Whether it is a simulated one; the board itself refuses to be opened as the wrong kind.
    """

    def __init__(self, board: SerialBoard, *, port: str, simulated: bool) -> None:
        self._board, self._port, self._simulated = board, port, simulated
        self._opened = False

    @property
    def resource(self) -> str:
        """Name of its port."""
        return self._port

    @property
    def identity(self) -> str:
        """Model, number and firmware of the board; empty before it was opened."""
        if not self._opened:
            return ""
        board = self._board.board
        return f"{board.name},{board.unique_id},{board.firmware}"

    @property
    def simulated(self) -> bool:
        """Whether it says that its outputs are simulated."""
        return self._simulated

    @property
    def faults(self) -> Mapping[str, int]:
        """Faults of its line, by kind."""
        return self._board.faults

    def open(self) -> None:
        """Open its port; the board makes its outputs safe and says what it is."""
        try:
            self._board.__enter__()
        except InputError as error:
            raise self._fault("refused", error) from error
        self._opened = True

    def close(self) -> None:
        """Close its port; never raises."""
        if not self._opened:
            return
        self._opened = False
        try:
            self._board.__exit__(None, None, None)
        except MeasurementError:  # unsafe outputs were told by `make_safe` before
            return

    def make_safe(self) -> None:
        """Make its outputs safe, and make sure of it."""
        try:
            self._board.make_safe()
        except (MeasurementError, InputError) as error:
            raise self._fault("disconnected", error) from error

    def recover(self) -> Literal["cleared", "reopened"]:
        """Get a lost line back; without one there is nothing to clear, for a frame is whole or is none."""
        lost = bool(self._board.link.lost)
        try:
            self._board.recover()
        except MeasurementError as error:
            raise self._fault("disconnected", error) from error
        return "reopened" if lost else "cleared"

    def check_errors(self) -> None:
        """Nothing to do: a board refuses a frame at once or not at all."""

    def _fault(self, kind: TransportFault, error: Exception) -> TransportError:
        return TransportError(str(error).rstrip("."), kind=kind, resource=self._port)
