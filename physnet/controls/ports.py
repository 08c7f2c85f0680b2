"""Ports for controls: they name every pass a control's, and can give responses to the wrong samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import Passes, PhysicalSystem, Reading
from ..network import Network
from ..passes import as_control
from ..port import Port
from ..seeding import stream


class ControlPort(Port):
    """A port whose passes are a control's.

    Args:
        port: The port whose place it takes; its seed, retries and device are kept.
        system: What to present rows to.
        shuffle: Give each response to another row of the same presentation, whatever its sample and hypothesis. No row
            keeps its own, unless it is alone.
    """

    def __init__(self, port: Port, system: PhysicalSystem, *, shuffle: bool = False) -> None:
        real = port.dtype.to_real() if port.dtype.is_complex else port.dtype
        super().__init__(system, seed=port.seed, retries=port.retries, device=port.device, dtype=real)
        # A control has what the network has: numbers to train, though they may do nothing.
        self.parameters = port.parameters
        self._stands_for, self._shuffle = port, shuffle

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """Copies of the parameters of the system whose place it takes."""
        return self._stands_for.values

    def measure(self, drive: torch.Tensor | NDArray[Any], passes: Passes, *, ordered: bool = False) -> Reading:
        """Present rows; see `Port.measure`."""
        numbers = as_control(passes)
        reading = super().measure(drive, numbers, ordered=ordered)
        return permuted(reading, _cycle(self.seed, numbers)) if self._shuffle else reading


def present_through(network: Network, ports: dict[Port, ControlPort]) -> None:
    """Let a network's layers present through other ports, one for each that they have. Before it is entered."""
    for layer in network:
        layer.port = ports[layer.port]


def permuted(reading: Reading, source: NDArray[np.int64]) -> Reading:
    """Return a reading whose row `i` is the old row `source[i]`, all that belongs to the row included."""

    def taken(array: Any) -> Any:
        if isinstance(array, torch.Tensor):
            return array[torch.from_numpy(source).to(array.device)]
        return None if array is None else array[source]

    return dataclasses.replace(
        reading,
        response=taken(reading.response),
        valid=taken(reading.valid),
        flags=taken(reading.flags),
        spread=taken(reading.spread),
    )


def _cycle(seed: int, passes: Passes) -> NDArray[np.int64]:
    """Return a random cyclic permutation: unlike a plain one it leaves no row in its place."""
    order = stream(seed, "shuffled responses", int(passes[0])).permutation(len(passes))
    source = np.empty_like(order)
    source[order] = np.roll(order, 1)
    return source
