"""The digital neighbour: a network trained by backpropagation on the samples, with as much arithmetic to classify."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..assembly import Samples
from ..controls.training import rows_of
from ..data import FeatureScaling, Subset
from ..errors import InputError
from ..seeding import stream, torch_stream
from .store import Outcome
from .tasks import Task

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
"""Step sizes of Adam, of which the validation split takes one. The first that is the best."""
USUAL_RATE = 1e-3
"""Step size where no validation split is there to choose."""


def hidden_width(target: int, *, features: int, classes: int, depth: int) -> int:
    """Return the width of equal hidden layers that bring a dense network nearest to a number of multiply-adds.

    Args:
        target: Multiply-adds to classify one sample.
        features: Numbers of a sample.
        classes: Number of classes.
        depth: Hidden layers, >= 1.
    """
    if depth < 1:
        raise InputError(f"depth of the digital network must be >= 1, got {depth}.")
    ends, square = features + classes, depth - 1
    # square w^2 + ends w = target
    root = target / ends if not square else (math.sqrt(ends**2 + 4 * square * target) - ends) / (2 * square)
    around = [max(1, math.floor(root)), max(1, math.ceil(root))]
    return min(around, key=lambda w: abs(multiply_adds([features, *[w] * depth, classes]) - target))


def multiply_adds(widths: Sequence[int]) -> int:
    """Return the multiply-adds of a dense network to classify a sample.

    Args:
        widths: Features, widths of the hidden layers, classes.
    """
    return sum(inputs * outputs for inputs, outputs in itertools.pairwise(widths))


def train_digital(task: Task, samples: Samples, *, interrupted: Callable[[], None]) -> Outcome:
    """Train a rectified dense network by Adam on the cross-entropy, once per step size, and test the one kept.

    Step sizes fall to zero as a cosine. Features are standardised by the training split. Weights are those of the epoch
    with the best validation accuracy, of the step size with the best; without a validation split, those of the last
    epoch at a first step size of 1e-3.

    Args:
        task: Widths, epochs, seed.
        samples: The samples.
        interrupted: Called between steps.
    """
    splits = samples.splits
    scaling = FeatureScaling.fit("standard", splits.train.x)
    train, validation = (_tensors(part, scaling) for part in (splits.train, splits.validation))
    widths = [samples.frame.features, *task.hidden, len(samples.frame.classes)]
    size = task.experiment["training"]["batch_size"]
    batch = len(splits.train) if size == "all" else min(int(size), len(splits.train))
    best, kept, rate_kept = -math.inf, _initial(widths, task.seed), math.nan
    rates = RATES if len(splits.validation) else (USUAL_RATE,)
    for rate in rates:
        accuracy, weights = _descend(
            widths, train, validation, rate=rate, batch=batch, task=task, interrupted=interrupted
        )
        if math.isnan(accuracy) or accuracy > best:
            best, kept, rate_kept = accuracy, weights, rate
    test = _accuracy(kept, _tensors(splits.test, scaling)) if task.test and len(splits.test) else math.nan
    inference = multiply_adds(widths)
    return Outcome(
        test_accuracy=test,
        validation_accuracy=best,
        seconds=0.0,
        inference_work=inference,
        # Forward, and twice as much back: to the activities and to the weights; none is needed to the samples.
        training_work=task.epochs * len(splits.train) * (3 * inference - widths[0] * widths[1]),
        about={"hidden": list(task.hidden), "epochs": task.epochs, "learning_rate": rate_kept, "tried": len(rates)},
        **rows_of(samples),
    )


Weights = list[tuple[torch.Tensor, torch.Tensor]]
Part = tuple[torch.Tensor, torch.Tensor]


def _descend(
    widths: Sequence[int],
    train: Part,
    validation: Part,
    *,
    rate: float,
    batch: int,
    task: Task,
    interrupted: Callable[[], None],
) -> tuple[float, Weights]:
    """Return the best validation accuracy of one step size, and the weights of that epoch."""
    weights = _initial(widths, task.seed)
    flat = [tensor.requires_grad_() for pair in weights for tensor in pair]
    optimiser = torch.optim.Adam(flat, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, task.epochs * -(-len(train[0]) // batch))
    best, kept = math.nan, weights
    for epoch in range(task.epochs):
        order = torch.from_numpy(stream(task.seed, "data order", epoch).permutation(len(train[0])))
        for rows in torch.split(order, batch):
            interrupted()
            optimiser.zero_grad()
            with torch.enable_grad():
                loss = functional.cross_entropy(_scores(weights, train[0][rows]), train[1][rows])
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        accuracy = _accuracy(weights, validation) if len(validation[0]) else math.nan
        if not accuracy <= best:
            best, kept = accuracy, [(weight.detach().clone(), bias.detach().clone()) for weight, bias in weights]
    return best, kept


def _initial(widths: Sequence[int], seed: int) -> Weights:
    """Return normal weights of variance 2 / inputs, and zeros."""
    return [
        (
            torch.randn(inputs, outputs, generator=torch_stream(seed, "digital network", number))
            * math.sqrt(2 / inputs),
            torch.zeros(outputs),
        )
        for number, (inputs, outputs) in enumerate(itertools.pairwise(widths))
    ]


def _scores(weights: Weights, features: torch.Tensor) -> torch.Tensor:
    *hidden, (weight, bias) = weights
    for inner, offset in hidden:
        features = torch.relu(torch.addmm(offset, features, inner))
    return torch.addmm(bias, features, weight)


def _accuracy(weights: Weights, part: Part) -> float:
    with torch.no_grad():
        return float((_scores(weights, part[0]).argmax(1) == part[1]).to(torch.float64).mean())


def _tensors(part: Subset, scaling: FeatureScaling) -> Part:
    features: NDArray[np.float32] = np.asarray(scaling(part.x), np.float32)
    return torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(part.y)
