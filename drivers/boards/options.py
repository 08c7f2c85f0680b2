"""How a board on a serial line is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from physnet.contracts import Cost
from physnet.errors import SpecError

from .frames import encoded_size

Place = Literal["medium", "detector", "digital"]


@dataclass(frozen=True, kw_only=True)
class SerialOptions:
    """How a board is reached; the boards document each.

    Args:
        port: Serial port.
        baud: Line rate in bit/s.
        settle: Wait between output and input, in s.
        watchdog: Silence of the host that the outputs survive, in s; None for the board's own.
        timeout: Longest wait for an answer, in s.
        open_timeout: Longest wait for a board that starts, in s.
        reopen_timeout: Longest attempt to get a lost line back, in s.
        unique_id: The only board that is accepted; empty for any.
        simulated: The board is the host build of the firmware, without outputs.
    """

    port: str
    baud: int
    settle: float
    watchdog: float | None
    timeout: float
    open_timeout: float
    reopen_timeout: float
    unique_id: str
    simulated: bool

    @property
    def kind(self) -> Literal["measured", "simulated"]:
        """What its responses are."""
        return "simulated" if self.simulated else "measured"

    def cost(self, *, sent: int, received: int) -> Cost:
        """Estimate the cost of a row from its payloads in bytes: ten bits a byte on the line."""
        line = 10 / self.baud * (encoded_size(sent) + encoded_size(received))
        return Cost(per_pass=self.settle + line, per_batch=4 * 10 / self.baud * encoded_size(8), settle=self.settle)

    def check(self, name: str) -> None:
        """Refuse what no board could honour.

        Raises:
            SpecError: An option is out of its range.
        """
        for label, value in (("settle", self.settle), ("reopen_timeout", self.reopen_timeout)):
            if not 0 <= value < math.inf:
                raise SpecError(f"{label} of {name} must be >= 0 s, got {value} s.")
        for label, value in (("timeout", self.timeout), ("open_timeout", self.open_timeout)):
            if not 0 < value < math.inf:
                raise SpecError(f"{label} of {name} must be > 0 s, got {value} s.")
        if self.watchdog is not None and not 0.001 <= self.watchdog < math.inf:
            raise SpecError(f"watchdog of {name} must be >= 0.001 s, got {self.watchdog} s.")
        if self.baud < 1 or not self.port:
            raise SpecError(f"{name} needs a port and a rate >= 1 bit/s, got {self.port!r}, {self.baud}.")
