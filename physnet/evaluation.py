"""Classification with a trained network: which rows to present, and how the layers' scores become an answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .feeding import Refeed
from .network import Network
from .passes import Purpose, pass_numbers
from .rules.base import Learner, LocalRule, Refeeds


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a network made of labelled samples.

    Args:
        predicted: Class of each sample, shape `(n,)`.
        accuracy: Share of right answers, 0 to 1.
        layer_accuracy: The same for each layer's scores alone.
        confusion: Samples by (true class, predicted class), shape `(classes, classes)`.
    """

    predicted: NDArray[np.int64]
    accuracy: float
    layer_accuracy: tuple[float, ...]
    confusion: NDArray[np.int64]


def evaluate(
    network: Network,
    rule: LocalRule,
    learners: Sequence[Learner],
    features_NI: torch.Tensor,
    labels_N: torch.Tensor,
    *,
    purpose: Purpose,
    classes: int,
    batch: int,
    epoch: int = 0,
    interrupted: Callable[[], None] | None = None,
    depth: int | None = None,
) -> Evaluation:
    """Classify labelled samples and compare.

    Args:
        network: The network, its systems open.
        rule: Its rule.
        learners: The rule at work on each layer.
        features_NI: Samples, shape `(n, features)`, n >= 1.
        labels_N: Their labels, shape `(n,)`.
        purpose: What the passes are for.
        classes: Number of classes.
        batch: Samples presented at once.
        epoch: Keys the pass numbers.
        interrupted: Called between batches; raises to stop.
        depth: Layers that take part, from the lowest up; all when None. The accuracy of the others is NaN.
    """
    answers = [
        answer.cpu().numpy()
        for answer in classify(
            network,
            rule,
            learners,
            features_NI,
            purpose=purpose,
            classes=classes,
            batch=batch,
            epoch=epoch,
            interrupted=interrupted,
            depth=depth,
        )
    ]
    labels = labels_N.cpu().numpy()
    predicted, above = answers[-1], len(network) - len(answers) + 1
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return Evaluation(
        predicted=predicted,
        accuracy=float(np.mean(predicted == labels)),
        layer_accuracy=(*(float(np.mean(answer == labels)) for answer in answers[:-1]), *(math.nan,) * above),
        confusion=confusion,
    )


def classify(
    network: Network,
    rule: LocalRule,
    learners: Sequence[Learner],
    features_NI: torch.Tensor,
    *,
    purpose: Purpose,
    classes: int,
    batch: int,
    epoch: int = 0,
    interrupted: Callable[[], None] | None = None,
    depth: int | None = None,
) -> list[torch.Tensor]:
    """Classify samples.

    Args: As for `evaluate`.

    Returns:
        For each layer that takes part, its own answer to every sample, shape `(n,)`; last, the network's.
    """
    layers = network.layers[:depth]
    answers: list[list[torch.Tensor]] = [[] for _ in range(len(layers) + 1)]
    for number, start in enumerate(range(0, len(features_NI), batch)):
        if interrupted:
            interrupted()
        features = features_NI[start : start + batch]
        inputs = rule.inference_rows(network, features, classes=classes)
        refeed = Refeed(network, rule, features) if isinstance(rule, Refeeds) else None
        scores: list[torch.Tensor] = []
        for place, (layer, learner) in enumerate(zip(layers, learners[: len(layers)], strict=True)):
            passes = pass_numbers(purpose, epoch=epoch, step=number, layer=place, rows=len(inputs))
            if refeed is not None:
                inputs = refeed.inputs(scores[-1] if scores else None, passes, number=place)
            inputs = layer.outputs(layer.present(inputs, passes).features_NF)
            scores.append(learner.scores(inputs))
            answers[place].append(scores[-1].argmax(1))
        total = torch.stack(scores).sum(0) if rule.readout == "sum" else scores[-1]
        answers[-1].append(total.argmax(1))
    return [torch.cat(parts) for parts in answers]
