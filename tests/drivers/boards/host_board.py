"""The firmware's host build behind a pseudo-terminal, with a record of what its outputs did."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class HostBoard:
    """A running firmware, the port that leads to it, and the record of its outputs."""

    def __init__(self, program: Path, log: Path, options: tuple[str, ...]) -> None:
        self.log = log
        # The firmware alone holds the master: when it dies, the port is gone, as when a cable is pulled.
        master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.process = subprocess.Popen([program, "--log", log, *options], stdin=master, stdout=master)
        os.close(master)

    def events(self) -> list[str]:
        """What the outputs did, in order: `safe`, `out <codes>`, `pattern <hex>`, `trigger`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.partition(" ")[2] for line in lines]

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Wait for the outputs to be as they should, 10 s at most, and return the events."""
        deadline = time.monotonic() + 10
        while not condition(events := self.events()):
            assert time.monotonic() < deadline, events[-10:]
        return events

    def unplug(self) -> None:
        """Take the board away."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        os.close(self._slave)


Plug = Callable[..., HostBoard]


def transfer(values: NDArray[Any], *, responses: int = 4, full: int = 4095) -> NDArray[np.int64]:
    """What the simulated board answers to codes less their middle, or to bits times 128 less 64."""
    i, j = np.arange(values.shape[1])[:, None], np.arange(responses)
    total = values.astype(np.int64) @ ((7 * i + 13 * j + i * j) % 17 - 8)
    codes: NDArray[np.int64] = np.clip(full // 2 + (total >> 3) + (((total >> 6) ** 2) >> 4), 0, full)
    return codes
