"""Drives and responses of a network's own systems, to fit twins to before anything is trained on them.

Axis letters: N rows, I inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import Array
from ..errors import InputError
from ..exchange import Exchange
from ..network import Network
from ..passes import Purpose, pass_numbers
from ..port import Port
from ..raw.hashes import hashed
from ..seeding import derive_seed, torch_stream
from .fit import Twin, fit_pairs
from .model import KINDS
from .pairs import LEAST, deal_out

_TURN = 128
"""Rows that are presented through one draw of the weights."""


def twins_of(network: Network, rows_NI: torch.Tensor, *, seed: int) -> dict[Port, Twin]:
    """Present samples through a network, and fit a twin to what each of its systems answered: the best of every kind.

    What upper layers are driven with depends on the weights below, which training is going to change: every 128 rows go
    through weights drawn anew, of the size of those that the layers have. Afterwards the layers have theirs again.

    Args:
        network: The network, its systems open, standardised.
        rows_NI: What to present to the lowest layer, shape `(n, inputs)`: one pass each in every layer, counted.
        seed: Of the weights and the fits.

    Raises:
        InputError: There are too few different drives to fit to.
        DriveError, ResponseError, MeasurementError: See `Port.measure`.
    """
    collected: dict[Port, list[tuple[NDArray[Any], NDArray[Any]]]] = {port: [] for port in network.ports}

    def collect(port: Port, exchange: Exchange) -> None:
        if exchange.reading is not None:
            count = len(exchange.reading)
            kept = exchange.usable[:count]
            drive, response = _numpy(exchange.drive)[:count], _numpy(exchange.reading.response)
            collected[port].append((drive[kept].copy(), response[kept].copy()))

    own = {name: tensor.clone() for name, tensor in network.tensors().items()}
    before = {port: port.on_exchange for port in network.ports}
    try:
        for port in network.ports:
            port.on_exchange = lambda exchange, port=port: collect(port, exchange)
        for turn, part_NI in enumerate(torch.split(rows_NI, _TURN)):
            _redraw(network, own, derive_seed(seed, "gather", turn))
            _present(network, part_NI, turn)
    finally:
        for port, observer in before.items():
            port.on_exchange = observer
        network.load(own)
    return {port: _fitted(port, parts, seed=seed) for port, parts in collected.items()}


def _present(network: Network, inputs_NI: torch.Tensor, turn: int) -> None:
    for number, layer in enumerate(network):
        passes = pass_numbers(Purpose.CALIBRATE, step=turn, layer=number, rows=len(inputs_NI))
        inputs_NI = layer.outputs(layer.present(inputs_NI, passes).features_NF)


def _redraw(network: Network, own: dict[str, torch.Tensor], seed: int) -> None:
    """Give all layers random weights of the size of their own. Biases, which start at zero, and maps before stay."""
    for number, layer in enumerate(network):
        size = own[f"{layer.name}/weight"].square().mean().sqrt()
        drawn = torch.randn(layer.weight_FO.shape, generator=torch_stream(seed, "weight", number))
        layer.weight_FO.copy_(size * drawn.to(layer.weight_FO))


def _fitted(port: Port, parts: list[tuple[NDArray[Any], NDArray[Any]]], *, seed: int) -> Twin:
    drive, response = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    different = len(np.unique(hashed(drive)))
    if different < LEAST:
        raise InputError(
            f"a twin of {port.spec.name} needs at least {LEAST} different drives, got {different}. Give it more "
            "training samples."
        )
    pairs = deal_out(drive, response, seed=seed)
    fits = [fit_pairs(port.spec, pairs, kind, system=port.spec.name, seed=seed) for kind in KINDS]
    return min(fits, key=lambda twin: twin.report.error)


def _numpy(array: Array) -> NDArray[Any]:
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
