"""A network: physical layers on top of each other, and the slots through which a label enters.

Axis letters: N rows, I inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from .contracts import Stateful
from .errors import InputError, SpecError
from .interrupts import deferred_signals
from .layer import PhysicalLayer
from .passes import DEEPEST
from .port import Port
from .records import PassCount
from .wrapping import innermost


@dataclass(frozen=True, kw_only=True)
class LabelSlots:
    """Reserved inputs that hold a label as one value among zeros.

    Args:
        classes: Number of slots.
        amplitude: Value of the slot of the label, in the unit of the features, > 0. Fixed once, never taken from a
            batch.
    """

    classes: int
    amplitude: float

    def __post_init__(self) -> None:
        if not self.amplitude > 0:
            raise InputError(f"label amplitude must be > 0, got {self.amplitude}.")


class Network:
    """Physical layers, bottom up.

    Entering it opens every system once, however many layers share it; leaving it makes them safe, whatever happened.

    Args:
        layers: At least one; each takes what the one below emits.
        features: Numbers of one sample, without label.
        slots: Where the label goes, for rules that present it; None for rules that don't.
        refed: Whether every layer receives the sample and the slots, instead of what the layer below sends up.

    Raises:
        SpecError: The widths don't fit, there are no slots to feed again, two layers have one name, or two ports have
            one system, perhaps each in impairments of its own.
    """

    def __init__(
        self, layers: Sequence[PhysicalLayer], *, features: int, slots: LabelSlots | None = None, refed: bool = False
    ) -> None:
        self.layers = tuple(layers)
        self.features = features
        self.slots, self.refed = slots, refed
        self._stack = ExitStack()
        expected = features + (slots.classes if slots else 0)
        if not self.layers:
            raise SpecError("a network must have at least one layer, got none.")
        if refed and slots is None:
            raise SpecError("a network whose layers are fed again must have label slots, got none. Set `slots`.")
        for layer in self.layers:
            if layer.inputs != expected:
                raise SpecError(
                    f"{layer.name} must take the {expected} numbers that reach it, got inputs={layer.inputs}."
                )
            expected = expected if refed else layer.width
        # Impaired twice, it would be opened twice, and made safe while the other layer still plays.
        if len({id(innermost(port.system)) for port in self.ports}) < len(self.ports):
            raise SpecError(
                "layers on one system must share one port, got two ports on it. Make one Port, or name one section of "
                "[systems] in both layers, impairments included."
            )
        if len(self.layers) > DEEPEST and any(port.placed.rows for port in self.ports):
            raise SpecError(
                f"a network among whose rows dark or reference rows are placed must have at most {DEEPEST} layers, got "
                f"{len(self.layers)}. Set session.dark_rows and session.reference_rows to 0."
            )
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise SpecError(f"the layers of a network must have different names, got {', '.join(names)}. Set `name`.")
        for layer in self.layers:
            layer.lowest, layer.highest = layer is self.layers[0], layer is self.layers[-1]
        for number, layer in enumerate(self.layers):
            layer.below, layer.above = number, len(self.layers) - 1 - number

    @property
    def ports(self) -> tuple[Port, ...]:
        """Each port once, in the order of the layers."""
        return tuple(dict.fromkeys(layer.port for layer in self.layers))

    @property
    def count(self) -> PassCount:
        """Passes through all ports so far."""
        total = PassCount()
        for port in self.ports:
            total += port.count
        return total

    @property
    def device(self) -> torch.device:
        """Where the digital part lives."""
        return self.layers[0].port.device

    def __iter__(self) -> Iterator[PhysicalLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for port in self.ports:
                stack.enter_context(port)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with deferred_signals():
            self._stack.__exit__(kind, error, trace)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave every system, so that its outputs are safe, and enter it again afterwards.

        What a simulated system remembers is put back as it was.

        Raises:
            InputError: A system can't be opened again. All are left, and safe.
        """
        memories = self.memories()
        self.__exit__(None, None, None)
        yield  # an exception ends the run: nothing is switched on for it again
        self.__enter__()
        self.restore_memories(memories)

    def write_parameters(self) -> None:
        """Write the parameters of every layer that tunes some, where they are not written already.

        Raises:
            DriveError, MeasurementError: See `Port.configure`.
        """
        for layer in self:
            layer.write_parameters()

    def placed(self) -> dict[str, NDArray[Any]]:
        """Return what systems answered at first to placed rows, as `placed/<number>/<kind>`."""
        return {
            f"placed/{number}/{kind}": answer
            for number, port in enumerate(self.ports)
            for kind, answer in port.placed.arrays().items()
        }

    def restore_placed(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `placed` returned, perhaps among others."""
        for number, port in enumerate(self.ports):
            head = f"placed/{number}/"
            port.placed.restore({name.removeprefix(head): arrays[name] for name in arrays if name.startswith(head)})

    def memories(self) -> dict[str, NDArray[Any]]:
        """Return copies of what stateful systems remember, as `system/<number>/<name>`. Benches keep theirs."""
        return {
            f"system/{number}/{name}": np.array(value)
            for number, system in self._stateful()
            for name, value in system.state().items()
        }

    def restore_memories(self, memories: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `memories` returned, perhaps among others. The systems must be open."""
        for number, system in self._stateful():
            prefix = f"system/{number}/"
            system.restore(
                {name.removeprefix(prefix): value for name, value in memories.items() if name.startswith(prefix)}
            )

    def _stateful(self) -> Iterator[tuple[int, Stateful]]:
        for number, port in enumerate(self.ports):
            spec = port.system.spec
            if spec.stateful and spec.kind != "measured" and isinstance(port.system, Stateful):
                yield number, port.system

    def inputs(
        self,
        features_NI: torch.Tensor,
        labels_N: torch.Tensor | None = None,
        *,
        shares_NC: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return what the lowest layer receives: the features, then the label slots where the network has them.

        Args:
            features_NI: Shape `(n, features)`.
            labels_N: Shape `(n,)`: label to present. None leaves the slots empty.
            shares_NC: Shape `(n, classes)`: what to put into the slots instead, as shares of a label, 0 to 1.
        """
        if self.slots is None:
            return features_NI
        slots = features_NI.new_zeros(len(features_NI), self.slots.classes)
        if labels_N is not None:
            slots = functional.one_hot(labels_N, self.slots.classes).to(features_NI.dtype) * self.slots.amplitude
        elif shares_NC is not None:
            slots = shares_NC * self.slots.amplitude
        return torch.cat([features_NI, slots], dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor of every layer, as `layer name/tensor name`."""
        return {f"{layer.name}/{name}": tensor for layer in self for name, tensor in layer.tensors().items()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over tensors saved by `tensors`."""
        for layer in self:
            prefix = f"{layer.name}/"
            layer.load({name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)})
