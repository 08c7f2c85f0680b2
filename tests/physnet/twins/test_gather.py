"""What twins are fitted to goes through many weights, and leaves none of them behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from physnet.encoders import Absolute
from physnet.exchange import Exchange
from physnet.layer import DigitalMap, PhysicalLayer
from physnet.network import Network
from physnet.port import Port
from physnet.simulators.scattering import ScatteringMedium
from physnet.twins.gather import twins_of

INPUTS, WIDTH, ROWS = 6, 8, 3 * 128


def network() -> Network:
    layers = []
    for number, inputs in enumerate((INPUTS, WIDTH)):
        before = DigitalMap.make("random", inputs, 5, seed=number)
        port = Port(ScatteringMedium(drives=5, responses=9, seed=number))
        layers.append(
            PhysicalLayer(
                port=port, inputs=inputs, width=WIDTH, encoder=Absolute(), seed=number, before=before, name=f"l{number}"
            )
        )
    return Network(layers, features=INPUTS)


def test_weights_are_drawn_anew_at_every_turn_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("physnet.twins.gather.KINDS", ("linear",))  # what is fitted does not matter here
    made = network()
    made.layers[0].bias_O += 0.5
    seen: list[dict[str, torch.Tensor]] = []
    with made:
        for layer in made:
            layer.fit_standardisation(layer.present(torch.rand(40, layer.inputs), np.arange(40)).reading)
        start = {name: tensor.clone() for name, tensor in made.tensors().items()}
        lower, upper = made.ports

        def look(exchange: Exchange) -> None:
            pass

        upper.on_exchange = look
        present = PhysicalLayer.present

        def listening(layer: PhysicalLayer, *words: object, **options: object) -> object:
            if layer is made.layers[0]:
                seen.append({name: tensor.clone() for name, tensor in made.tensors().items()})
            return present(layer, *words, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(PhysicalLayer, "present", listening)
        rows = torch.rand(ROWS, INPUTS, generator=torch.Generator().manual_seed(0))
        twins = twins_of(made, rows, seed=3)
        assert upper.on_exchange is look
    assert set(twins) == {lower, upper}
    own = made.tensors()
    assert all(torch.equal(own[name], tensor) for name, tensor in start.items())
    assert len(seen) == ROWS // 128
    for name, tensor in own.items():
        same = [torch.equal(turn[name], tensor) for turn in seen]
        assert not any(same) if name.endswith("/weight") else all(same), name
    for turn in seen:
        # The RMS of 72 normal numbers is theirs to 1 / sqrt(2 x 72); five times that.
        size = turn["l0/weight"].square().mean().sqrt() / own["l0/weight"].square().mean().sqrt()
        assert abs(float(size) - 1) < 5 / 12
    assert not torch.equal(seen[0]["l0/weight"], seen[1]["l0/weight"])
