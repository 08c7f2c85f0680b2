"""Ports for controls: they name every pass a control's, and can give responses to the wrong samples."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import Passes, PhysicalSystem, Reading
from ..errors import InputError
from ..network import Network
from ..passes import Purpose
from ..port import Port
from ..seeding import stream

# Where the fields of a pass number begin (see `physnet.passes`): the purpose's bit, and the upper two of the layer's.
_PURPOSE, _LAYER_TOP = 59, 21 + 4
_MOST_LAYERS = 16


def as_control(passes: Passes) -> Passes:
    """Return the numbers of a control's passes, each different from the others and from all of the run's.

    What a row is presented for moves into the upper two bits of the layer, so that a control's test shares no noise
    with its training either.

    Args:
        passes: Shape `(n,)`, of the purposes standardise, train, validate or test.

    Raises:
        InputError: Another purpose, or a layer above the 16th.
    """
    purpose, rest = passes >> _PURPOSE, passes & ((1 << _PURPOSE) - 1)
    if passes.size and (int(purpose.max()) > Purpose.TEST or int((rest >> _LAYER_TOP & 3).max()) > 0):
        raise InputError(
            f"a control's passes must be for standardising, training, validation or test, in at most {_MOST_LAYERS} "
            f"layers, got number {int(passes.max())}. Leave controls out for a deeper network."
        )
    return np.int64(Purpose.CONTROL) << _PURPOSE | purpose << _LAYER_TOP | rest


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
        self.parameters, self.values = port.parameters, port.values
        self._shuffle = shuffle

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
