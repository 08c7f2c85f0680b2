"""Which samples belong to which step."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .data import Splits, Subset
from .rules.base import Batch
from .seeding import stream

Part = Literal["train", "validation", "test"]
_PARTS: tuple[Part, ...] = ("train", "validation", "test")


class Minibatches:
    """The samples of a run as tensors, and the minibatches of each epoch, shuffled anew from the seed.

    Args:
        data: Training, validation and test samples.
        size: Samples of a minibatch, or `all`.
        seed: The run's seed.
        like: A tensor with the dtype and device that features are to have.
    """

    def __init__(self, data: Splits, *, size: int | Literal["all"], seed: int, like: torch.Tensor) -> None:
        self._seed = seed
        self.features = {part: _tensor(getattr(data, part), like) for part in _PARTS}
        self.labels = {part: torch.from_numpy(getattr(data, part).y).to(like.device) for part in _PARTS}
        self.samples = len(data.train.y)
        self.size = self.samples if size == "all" else min(size, self.samples)
        self._order, self._epoch = np.empty(0, np.int64), -1

    @property
    def per_epoch(self) -> int:
        """Minibatches of an epoch. The last may be smaller; a single sample that is left joins the one before it."""
        full, left = divmod(self.samples, self.size)
        return max(1, full + (left > 1 or (left == 1 and self.size == 1)))

    def length(self, place: int) -> int:
        """Samples of a step; the last of an epoch takes all that are left."""
        return self.samples - place * self.size if place == self.per_epoch - 1 else self.size

    def rows(self, epoch: int, place: int) -> NDArray[np.int64]:
        """Return the rows of the training split that a step takes."""
        if self._epoch != epoch:
            self._order, self._epoch = stream(self._seed, "data order", epoch).permutation(self.samples), epoch
        start = place * self.size
        return self._order[start : start + self.length(place)]

    def batch(
        self, rows: NDArray[np.int64], *, epoch: int, place: int, epochs: int, before: int | None = None
    ) -> Batch:
        """Return rows as a minibatch.

        Args:
            rows: Of the training split.
            epoch: From 0.
            place: Step within the epoch.
            epochs: Epochs of the whole run, or of the part of it that this belongs to.
            before: Epochs of that part that are over; those of the whole run when None.
        """
        index = torch.from_numpy(rows).to(self.labels["train"].device)
        return Batch(
            features_NI=self.features["train"][index],
            labels_N=self.labels["train"][index],
            seed=self._seed,
            epoch=epoch,
            step=place,
            progress=min(1.0, ((epoch if before is None else before) + place / self.per_epoch) / epochs),
        )


def _tensor(subset: Subset, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(subset.x)).to(like.device, like.dtype)
