"""Labels as rules show them: wrong ones for negatives, every one to classify, and the error of a softmax.

Axis letters: N rows, I inputs, C classes.
"""

from __future__ import annotations

import torch

from ..errors import InputError
from ..network import Network
from ..seeding import stream
from .base import Batch


def wrong_labels(batch: Batch, classes: int) -> torch.Tensor:
    """Return a wrong label for every sample, uniformly random, new at every step and the same for every layer."""
    random = stream(batch.seed, "negatives", batch.epoch, batch.step)
    shift = torch.from_numpy(random.integers(1, classes, len(batch.labels_N))).to(batch.labels_N.device)
    return (batch.labels_N + shift) % classes


def labelled_pairs(network: Network, batch: Batch, *, rule: str) -> torch.Tensor:
    """Return every sample with its label in the slots, then every sample with a wrong one: shape `(2 n, inputs)`.

    Raises:
        InputError: The network has slots for fewer than two classes; names `rule`.
    """
    classes = network.slots.classes if network.slots else 0
    if classes < 2:
        raise InputError(f"{rule} needs label slots for at least 2 classes, got {classes}.")
    wrong = wrong_labels(batch, classes)
    return torch.cat([network.inputs(batch.features_NI, batch.labels_N), network.inputs(batch.features_NI, wrong)])


def every_label(network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
    """Return every sample with each label in the slots, label by label: shape `(classes * n, inputs)`."""
    labels = torch.arange(classes, device=features_NI.device).repeat_interleave(len(features_NI))
    return network.inputs(features_NI.repeat(classes, 1), labels)


def softmax_error(scores_NC: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Return the derivative of the mean cross-entropy by the scores: softmax minus one-hot, divided by the rows."""
    error_NC = torch.softmax(scores_NC, dim=1)
    error_NC[torch.arange(len(labels_N), device=labels_N.device), labels_N] -= 1
    error_NC /= len(labels_N)
    return error_NC


def one_hot(labels_N: torch.Tensor, classes: int, like: torch.Tensor) -> torch.Tensor:
    """Return one-hot rows, shape `(n, classes)`, in the precision and on the device of `like`."""
    return torch.nn.functional.one_hot(labels_N, classes).to(like)
