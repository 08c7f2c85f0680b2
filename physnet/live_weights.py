"""Weights by name: what a network and its rule hold, and how they are put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from .errors import InputError
from .network import Network
from .records import Tensors
from .rules.base import Learner


def live_tensors(network: Network, learners: Sequence[Learner]) -> dict[str, torch.Tensor]:
    """Return every tensor of a network and its learners by name; not copies."""
    own = network.tensors()
    for layer, learner in zip(network, learners, strict=True):
        own |= {f"{layer.name}/rule/{name}": tensor for name, tensor in learner.tensors().items()}
    return own


def load_tensors(live: Mapping[str, torch.Tensor], saved: Tensors) -> None:
    """Copy saved tensors into live ones.

    Raises:
        InputError: One is missing, left over, or of another shape.
    """
    for name, own in live.items():
        if name not in saved:
            raise InputError(f"saved weights lack {name}. They belong to another network or rule.")
        if tuple(saved[name].shape) != tuple(own.shape):
            raise InputError(
                f"saved {name} must have shape {tuple(own.shape)}, got {saved[name].shape}. They belong to "
                f"another network."
            )
    left = set(saved) - set(live)
    if left:
        raise InputError(f"saved weights hold {min(left)}, which this network has not. They belong to another one.")
    for name, own in live.items():
        own.copy_(torch.from_numpy(np.array(saved[name], order="C")))
