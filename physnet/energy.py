"""Energy drawn by the machine, where something tells: processors (RAPL), graphics cards (NVML), instruments.

What nothing tells is left out, not estimated. Counters of a processor or a card count everything that runs on it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .contracts import Metered
from .network import Network

_RAPL = Path("/sys/class/powercap")
_PAUSE = 0.1  # s between two readings: counters advance in ms, and reading one takes tens of microseconds


class EnergyMeter:
    """Reads every energy counter there is, at most ten times a second.

    Args:
        network: Its systems may have counters of their own.
        rapl: Folder of the processor's counters.
    """

    def __init__(self, network: Network, *, rapl: Path = _RAPL) -> None:
        self._counters = [*_processors(rapl), *_cards(), *_instruments(network)]
        self._last = [read() for read in self._counters]
        self._read_at = time.monotonic()

    def joules(self) -> float:
        """Return the energy since the last call that had a number, in J; NaN where nothing tells, or too soon."""
        if not self._counters or time.monotonic() - self._read_at < _PAUSE:
            return math.nan
        self._read_at = time.monotonic()
        now = [read() for read in self._counters]
        # an instrument that was opened again begins at zero
        total = sum(new - old if new >= old else new for new, old in zip(now, self._last, strict=True))
        self._last = now
        return total


def _processors(folder: Path) -> Iterator[Callable[[], float]]:
    """Counters of whole processor packages; on most machines only the administrator may read them."""
    for package in sorted(folder.glob("intel-rapl:[0-9]*")):
        if package.name.count(":") > 1:
            continue  # a part of a package that is counted already
        with contextlib.suppress(OSError, ValueError):
            counter = _Wrapping(package / "energy_uj", int((package / "max_energy_range_uj").read_text()))
            counter()
            yield counter


class _Wrapping:
    """A counter in uJ that begins again at zero after its largest value."""

    def __init__(self, path: Path, largest: int) -> None:
        self._path, self._largest = path, largest
        self._turns, self._last = 0, 0

    def __call__(self) -> float:
        value = int(self._path.read_text())
        self._turns += value < self._last
        self._last = value
        return (self._turns * (self._largest + 1) + value) / 1e6


def _cards() -> Iterator[Callable[[], float]]:
    """Counters of NVIDIA cards, where the package nvidia-ml-py and the driver are installed."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        cards = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # whatever the driver says: there is nothing to read then
        return
    for card in cards:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlDeviceGetTotalEnergyConsumption(card)
            yield functools.partial(_card, nvml, card)


def _card(nvml: Any, card: Any) -> float:
    return float(nvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1e3


def _instruments(network: Network) -> Iterator[Callable[[], float]]:
    for port in network.ports:
        if isinstance(port.system, Metered):
            yield port.system.joules
