from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch

import physnet
from physnet.contracts import Passes, Reading, SystemSpec
from physnet.encoders import Absolute
from physnet.errors import InputError, SpecError
from physnet.layer import PhysicalLayer
from physnet.network import LabelSlots, Network
from physnet.port import Port


class Door:
    """A system that notes when it is opened and closed, and may refuse either."""

    def __init__(self, log: list[str], name: str = "bench", *, drives: int = 3, stuck: str = "") -> None:
        self.log, self.stuck = log, stuck
        self.spec: SystemSpec = physnet.system(lambda drive: drive, drives=drives, responses=3, name=name).spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        return Reading(response=drive)

    def __enter__(self) -> Self:
        self.log.append(f"open {self.spec.name}")
        if self.stuck == "open":
            raise OSError("does not open")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.log.append(f"close {self.spec.name}")
        if self.stuck == "close":
            raise OSError("does not close")


def layers(*ports: Port, inputs: int = 3) -> list[PhysicalLayer]:
    return [
        PhysicalLayer(port=port, inputs=inputs, width=3, encoder=Absolute(), seed=number, name=f"layer{number}")
        for number, port in enumerate(ports)
    ]


FEATURES = torch.tensor([[0.1, 0.2], [0.3, 0.4]])


def slotted(slots: LabelSlots) -> Network:
    port = Port(physnet.system(lambda drive: drive, drives=2 + slots.classes, responses=1))
    layer = PhysicalLayer(port=port, inputs=2 + slots.classes, width=3, encoder=Absolute(), seed=0)
    return Network([layer], features=2, slots=slots)


def test_a_label_is_one_value_among_zeros_behind_the_features() -> None:
    network = slotted(LabelSlots(classes=3, amplitude=0.5))
    expected = torch.tensor([[0.1, 0.2, 0, 0, 0.5], [0.3, 0.4, 0.5, 0, 0]])
    assert torch.equal(network.inputs(FEATURES, torch.tensor([2, 0])), expected)


def test_slots_stay_empty_without_a_label() -> None:
    network = slotted(LabelSlots(classes=3, amplitude=0.5))
    assert torch.equal(network.inputs(FEATURES)[:, 2:], torch.zeros(2, 3))


def test_a_network_without_slots_hands_the_features_on() -> None:
    network = Network(layers(Port(Door([]))), features=3)
    rows = torch.rand(4, 3)
    assert torch.equal(network.inputs(rows, torch.zeros(4, dtype=torch.int64)), rows)


@pytest.mark.parametrize("amplitude", [0.0, -1.0, float("nan")])
def test_a_label_without_amplitude_is_refused(amplitude: float) -> None:
    with pytest.raises(InputError, match="amplitude must be > 0"):
        LabelSlots(classes=3, amplitude=amplitude)


def test_layers_that_share_a_port_open_and_close_its_system_once() -> None:
    log: list[str] = []
    port = Port(Door(log))
    network = Network(layers(port, port, port), features=3)
    assert network.ports == (port,)
    with network as entered:
        assert entered is network
        assert log == ["open bench"]
    assert log == ["open bench", "close bench"]


def test_systems_are_made_safe_in_reverse_order_when_something_breaks() -> None:
    log: list[str] = []
    first, second = Port(Door(log, "a")), Port(Door(log, "b"))
    with pytest.raises(KeyboardInterrupt), Network(layers(first, second, first), features=3):
        raise KeyboardInterrupt
    assert log == ["open a", "open b", "close b", "close a"]


def test_a_system_that_does_not_open_leaves_none_open() -> None:
    log: list[str] = []
    network = Network(layers(Port(Door(log, "a")), Port(Door(log, "b", stuck="open"))), features=3)
    with pytest.raises(InputError, match="b can't be opened: does not open"), network:
        pass
    assert log == ["open a", "open b", "close a"]


def test_a_system_that_does_not_close_does_not_keep_the_others_open() -> None:
    log: list[str] = []
    network = Network(layers(Port(Door(log, "a")), Port(Door(log, "b", stuck="close"))), features=3)
    with pytest.raises(OSError, match="does not close"), network:
        pass
    assert log == ["open a", "open b", "close b", "close a"]


def test_a_network_may_be_entered_again() -> None:
    log: list[str] = []
    network = Network(layers(Port(Door(log))), features=3)
    for _ in range(2):
        with network:
            pass
    assert log == ["open bench", "close bench"] * 2


def test_passes_through_a_shared_port_are_counted_once() -> None:
    port, other = Port(Door([])), Port(Door([]))
    network = Network(layers(port, port, other), features=3)
    for layer in network:
        layer.present(torch.rand(4, 3), np.arange(4))
    assert network.count.passes == 12


@pytest.mark.parametrize(("features", "slots"), [(4, None), (2, None), (3, LabelSlots(classes=2, amplitude=1))])
def test_a_first_layer_of_another_width_is_refused(features: int, slots: LabelSlots | None) -> None:
    with pytest.raises(SpecError, match=r"layer0 must take the \d numbers that reach it, got inputs=3"):
        Network(layers(Port(Door([]))), features=features, slots=slots)


def test_layers_that_do_not_fit_are_refused() -> None:
    below = layers(Port(Door([])))
    above = layers(Port(Door([], drives=5)), inputs=5)
    with pytest.raises(SpecError, match="must take the 3 numbers that reach it, got inputs=5"):
        Network(below + above, features=3)


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(SpecError, match="at least one layer"):
        Network([], features=3)


def test_two_layers_of_one_name_are_refused() -> None:
    # Their tensors would share a name: one of them would be neither saved nor restored.
    port = Port(Door([]))
    twins = [PhysicalLayer(port=port, inputs=3, width=3, encoder=Absolute(), seed=seed) for seed in range(2)]
    with pytest.raises(SpecError, match="name"):
        Network(twins, features=3)


def test_layers_are_told_which_is_the_lowest_and_which_the_highest() -> None:
    stack = layers(Port(Door([])), Port(Door([])), Port(Door([])))
    Network(stack, features=3)
    assert [(layer.lowest, layer.highest) for layer in stack] == [(True, False), (False, False), (False, True)]
    Network(stack[:1], features=3)
    assert (stack[0].lowest, stack[0].highest) == (True, True)


def test_saved_tensors_of_all_layers_come_back() -> None:
    source, target = (Network(layers(Port(Door([])), Port(Door([]))), features=3) for _ in range(2))
    for number, tensor in enumerate(source.tensors().values()):
        tensor.fill_(number)
    assert set(source.tensors()) == {
        f"layer{n}/{name}" for n in range(2) for name in ("weight", "bias", "mean", "scale")
    }
    target.load({name: tensor.clone() for name, tensor in source.tensors().items()})
    for name, tensor in source.tensors().items():
        assert torch.equal(target.tensors()[name], tensor)


def test_a_network_counts_iterates_and_knows_its_device() -> None:
    network = Network(layers(Port(Door([])), Port(Door([]))), features=3)
    assert len(network) == 2
    assert list(network) == list(network.layers)
    assert network.device == torch.device("cpu")
