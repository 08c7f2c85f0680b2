"""A simulated board on a serial line: the reference firmware's protocol, with a medium between outputs and inputs."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from .board_hardware import OutputEvent, SimulatedHardware
from .board_protocol import BoardProtocol
from .faults import FaultPlan
from .frame_faults import FrameFaults
from .serial_line import Line

_SLICE = 0.02  # s: how often a quiet board looks whether it is to stop


class SimulatedBoard:
    """Answers at its line, on a thread of its own, from entering to leaving.

    Outputs are safe at start, when a host says so or introduces itself, when the watchdog finds the host silent in real
    time, and when it is left.

    Args:
        hardware: Its outputs and inputs.
        line: Where it is served. The board closes it.
        faults: What goes wrong on the line; None for nothing.
    """

    def __init__(self, hardware: SimulatedHardware, line: Line, *, faults: FaultPlan | None = None) -> None:
        self.hardware = hardware
        self.faults = faults
        self._line = line
        self._stopped = threading.Event()
        self._wire = FrameFaults(line, faults, self._stopped.wait)
        self._protocol = BoardProtocol(hardware, self._wire.send, wait=self._stopped.wait)
        self._thread = threading.Thread(target=self._serve, name="simulated board", daemon=True)

    @property
    def port(self) -> str:
        """What a driver opens: the path of a pseudo-terminal, or a `socket://` URL."""
        return self._line.port

    @property
    def record(self) -> tuple[OutputEvent, ...]:
        """What the outputs did, in order."""
        return tuple(self.hardware.record.copy())

    @property
    def trips(self) -> int:
        """How often the watchdog made the outputs safe."""
        return self._protocol.trips

    @property
    def rows(self) -> int:
        """Rows played."""
        return self._protocol.rows

    @property
    def exchanges(self) -> int:
        """Requests so far, those that a fault met included; without a plan of faults they are not counted."""
        return self._wire.exchanges

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Make the outputs safe and stop answering; closing twice does nothing."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._line.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _serve(self) -> None:
        try:
            while not self._stopped.is_set():
                data = self._line.read(min(self._protocol.due, _SLICE))
                self._protocol.receive(self._wire.receive(data))
                self._protocol.poll()
        finally:
            self.hardware.make_safe()
