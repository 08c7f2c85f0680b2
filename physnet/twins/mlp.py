"""A twin that is a small network: for systems of which nothing is known.

Axis letters: N rows; F features; H hidden units; O outputs.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from ..seeding import torch_stream
from .model import Model, split_complex, squareplus
from .pairs import Part

_EPOCHS, _PATIENCE, _BATCH, _RATE = 400, 40, 64, 3e-3


def fit_mlp(
    features_NF: NDArray[np.float64],
    train: Part,
    features_of_validation: NDArray[np.float64],
    validation: Part,
    *,
    hidden: int = 128,
    seed: int = 0,
) -> Model:
    """Fit two hidden layers by Adam, stopping early: the validation part says when, and which weights are kept.

    Args:
        features_NF: Features of the training part.
        train: What to fit on.
        features_of_validation: Features of the validation part.
        validation: What to stop by.
        hidden: Units of each hidden layer.
        seed: Of the first weights and of the order.
    """
    target_NO = split_complex(train.response_NR)
    mean_F, mean_O = features_NF.mean(axis=0), target_NO.mean(axis=0)
    # One scale for all: a channel that hardly moves is not blown up.
    scale = float(np.sqrt(np.square(features_NF - mean_F).mean())) or 1.0
    spread = float(np.sqrt(np.square(target_NO - mean_O).mean())) or 1.0
    x_NF = torch.from_numpy((features_NF - mean_F) / scale).float()
    y_NO = torch.from_numpy((target_NO - mean_O) / spread).float()
    x_of_validation = torch.from_numpy((features_of_validation - mean_F) / scale).float()
    y_of_validation = torch.from_numpy((split_complex(validation.response_NR) - mean_O) / spread).float()

    generator = torch_stream(seed, "twin mlp")
    sizes = (x_NF.shape[1], hidden, hidden, y_NO.shape[1])
    maps = []
    for inputs, outputs in itertools.pairwise(sizes):
        weight = torch.randn((inputs, outputs), generator=generator) / math.sqrt(inputs)
        maps.append((weight.requires_grad_(), torch.zeros(outputs, requires_grad=True)))
    tensors = [tensor for pair in maps for tensor in pair]
    optimiser = torch.optim.AdamW(tensors, lr=_RATE, weight_decay=1e-4)
    steps = _EPOCHS * math.ceil(len(x_NF) / _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    kept, lowest, waited = [tensor.detach().clone() for tensor in tensors], math.inf, 0
    for _ in range(_EPOCHS):
        order = torch.randperm(len(x_NF), generator=generator)
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            optimiser.zero_grad()
            with torch.enable_grad():
                loss = (_forward(maps, x_NF[rows]) - y_NO[rows]).square().mean()
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            error = float((_forward(maps, x_of_validation) - y_of_validation).square().mean())
        waited += 1
        if error < lowest:
            kept, lowest, waited = [tensor.detach().clone() for tensor in tensors], error, 0
        if waited > _PATIENCE:
            break
    arrays = [tensor.numpy().astype(np.float64) for tensor in kept]
    arrays[0] = arrays[0] / scale
    arrays[-2], arrays[-1] = arrays[-2] * spread, arrays[-1] * spread + mean_O
    single = [array.astype(np.float32) for array in arrays]
    return Model(
        kind="mlp",
        head="complex" if np.iscomplexobj(train.response_NR) else "plain",
        mean_F=mean_F.astype(np.float32),
        maps=tuple(zip(single[::2], single[1::2], strict=True)),
    )


def _forward(maps: list[tuple[torch.Tensor, torch.Tensor]], value: torch.Tensor) -> torch.Tensor:
    for number, (weight, bias) in enumerate(maps):
        value = (squareplus(value) if number else value) @ weight + bias
    return value
