"""Weights before the physics, trained by the rules that can: how near they come to backpropagation through it.

One mixing layer: 784 pixels, a digital map to 48 numbers, a simulated scattering medium that turns them into 100
intensities, 50 rectified outputs, ten classes. MNIST, 5 000 training samples and 1 000 test samples that each seed
draws anew, with its own medium and weights; all rules of a seed share them. There is no validation split: the weights
after the last epoch are tested, once. Step sizes were chosen on other seeds (100 and 101). The ceiling has the same
weights, start, minibatches and Adam, and the true derivative of the simulated medium, which no bench has. It needs a
medium without noise.

    python benchmarks/routes.py [ROUTE ...] [--seeds N] [--first SEED] [--set NAME=VALUE] [--output FILE]
"""

from __future__ import annotations

import physnet  # isort: skip  # before torch: docs/decisions/0006

import argparse
import datetime
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from physnet.assembly import Samples, build_network, build_rule, load_samples, training_options
from physnet.experiment import Experiment
from physnet.layer import PhysicalLayer
from physnet.minibatches import Minibatches
from physnet.passes import Purpose, pass_numbers
from physnet.rules.mono_forward import MonoForwardLearner

STEP: float = 3e-3
RATE = {"learning_rate": STEP, "decay": "cosine"}
CEILING = "backpropagation through the simulator"
ROUTES: dict[str, dict[str, Any]] = {
    "read-out only (before frozen)": {"name": "mono_forward", **RATE},
    CEILING: {"name": "mono_forward", **RATE},
    "node_perturbation, K = 8": {"name": "node_perturbation", "directions": 8, "before_learning_rate": 3e-3, **RATE},
    "node_perturbation, K = 1": {"name": "node_perturbation", "directions": 1, "before_learning_rate": 3e-3, **RATE},
    "augmented_dfa": {"name": "augmented_dfa", "before_learning_rate": 3e-3, **RATE},
    "spsa, K = 8": {
        "name": "spsa",
        "directions": 8,
        "learning_rate": 1e-2,
        "after_learning_rate": 3e-3,
        "decay": "cosine",
    },
    "ffzero, K = 8": {
        "name": "ffzero",
        "directions": 8,
        "learning_rate": 1e-2,
        "after_learning_rate": 3e-3,
        "decay": "cosine",
    },
}
"""By name: the `[rule]` table."""


def experiment(rule: dict[str, Any], seed: int, epochs: int, noise: float) -> Experiment:
    medium = {"type": "scattering", "responses": 100, "camera": "intensity"}
    impairments = {"impairments": {"noise": noise}} if noise else {}
    return Experiment.from_dict(
        {
            "seed": seed,
            "data": {"name": "mnist", "validation_fraction": 0.0, "train_limit": 5000, "test_limit": 1000},
            "systems": {"medium": {**medium, **impairments}},
            "layers": [
                {"system": "medium", "width": 50, "before": "random", "before_width": 48, "encoder": "split"},
            ],
            "rule": rule,
            "training": {"epochs": epochs, "batch_size": 50},
        }
    )


def train(name: str, seed: int, epochs: int, changes: dict[str, Any], noise: float) -> dict[str, float]:
    asked = experiment({**ROUTES[name], **changes}, seed, epochs, noise)
    samples, rule = load_samples(asked), build_rule(asked)
    network = build_network(asked, samples.frame, rule)
    began = time.perf_counter()
    with network:
        trainer = physnet.Trainer(
            network, rule, samples.splits, classes=10, options=training_options(asked), seed=asked.seed
        )
        if name == CEILING:
            trainer.prepare()
            learner = trainer.learners[0]
            assert isinstance(learner, MonoForwardLearner)
            backpropagate(network.layers[0], learner.tensors()["head"], samples, trainer, epochs)
            accuracy = trainer.evaluate("test").accuracy
        else:
            accuracy = trainer.run().test_accuracy
    return {
        "accuracy": 100 * accuracy,
        "train_passes": trainer.passes["train"],
        "seconds": time.perf_counter() - began,
    }


def backpropagate(
    layer: PhysicalLayer, head_OC: torch.Tensor, samples: Samples, trainer: physnet.Trainer, epochs: int
) -> None:
    """Train everything with autograd through the simulator, on the minibatches of the rules, and leave it in place."""
    assert layer.before is not None
    system: Any = layer.port.system
    own = [layer.before.weight_IO, layer.before.bias_O, layer.weight_FO, layer.bias_O, head_OC]
    free = [tensor.clone().requires_grad_() for tensor in own]
    before_IE, bias_E, weight_FO, bias_O, head = free
    adam = torch.optim.Adam(free, lr=STEP)
    minibatches = Minibatches(samples.splits, size=trainer.batch_size, seed=trainer.seed, like=layer.weight_FO)
    steps = epochs * minibatches.per_epoch
    for step in range(steps):
        epoch, place = divmod(step, minibatches.per_epoch)
        batch = minibatches.batch(minibatches.rows(epoch, place), epoch=epoch, place=place, epochs=epochs)
        encoded = layer.encoder(torch.addmm(bias_E, batch.features_NI, before_IE), layer.port.spec.drive)
        passes = pass_numbers(Purpose.TRAIN, epoch=epoch, step=place, rows=len(batch.labels_N))
        response = system.forward(encoded.drive, passes)
        features_NF = (response.flatten(1) - layer.mean_R) / layer.scale_R
        scores = torch.relu(torch.addmm(bias_O, features_NF, weight_FO)) @ head
        for group in adam.param_groups:
            group["lr"] = STEP * (1 + np.cos(np.pi * batch.progress)) / 2
        adam.zero_grad()
        functional.cross_entropy(scores, batch.labels_N).backward()  # type: ignore[no-untyped-call]
        adam.step()
        trainer.passes["train"] += len(batch.labels_N)
    for tensor, found in zip(own, free, strict=True):
        tensor.copy_(found.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("routes", nargs="*", metavar="ROUTE", help=", ".join(f"'{name}'" for name in ROUTES))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], dest="changes", help="option of the rule: NAME=JSON")
    parser.add_argument("--noise", type=float, default=0.0, help="of a response, as a fraction of its RMS: no ceiling")
    parser.add_argument("--output", type=Path, help="also append the table to this file")
    arguments = parser.parse_args()
    changes = {name: json.loads(value) for name, _, value in (one.partition("=") for one in arguments.changes)}
    lines = [
        f"{datetime.date.today().isoformat()}, {arguments.epochs} epochs, noise {arguments.noise:g}, "
        f"{os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads",
        "",
        "| weights before the physics | test accuracy / %, mean (each seed) | below the ceiling | training passes "
        "| seconds a seed |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    ceiling = np.nan
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    for name in sorted(arguments.routes or ROUTES, key=lambda name: name != CEILING):
        runs = [train(name, seed, arguments.epochs, changes, arguments.noise) for seed in seeds]
        accuracy = np.array([run["accuracy"] for run in runs])
        ceiling = accuracy.mean() if name == CEILING else ceiling
        each = ", ".join(f"{value:.1f}" for value in accuracy)
        below = "" if name == CEILING or np.isnan(ceiling) else f"{ceiling - accuracy.mean():.1f}"
        lines.append(
            f"| {name} | {accuracy.mean():.1f} ({each}) | {below} | {runs[0]['train_passes']:.0f} "
            f"| {np.mean([run['seconds'] for run in runs]):.0f} |"
        )
        print(lines[-1], flush=True)
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", ""]))


if __name__ == "__main__":
    main()
