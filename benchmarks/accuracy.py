"""Accuracy on digits, MNIST and vowels as sound through simulated media, with seeds, spread and physical passes.

Every setting is a shipped experiment with the overrides below. Digits: weights from the epoch with the best validation
accuracy. MNIST, vowel audio: no validation split, the weights after the last epoch. Either way the test split is
measured once, and no setting was changed after a look at more than seed 0; those of vowel audio were chosen by
cross-validation among the training speakers of seed 0, without a look at any test split. Each seed draws its own split
or training subset, media, noise and weights. The raw logistic regression beside it sees the same training samples
without any physics.

    python benchmarks/accuracy.py [SETTING ...] [--seeds N] [--output FILE]
"""

from __future__ import annotations

import physnet  # isort: skip  # before torch: docs/decisions/0006

import argparse
import datetime
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.baselines import raw_logistic_regression
from physnet.experiment import load_experiment

PHYLL = (
    'rule={name="phyll", theta=16.0, inner_steps=5, learning_rate=1e-3, decay="cosine"}',
    "layers.*.width=500",
    "training.batch_size=500",
    "network.label_amplitude=3.0",
)
MNIST, DIGITS, ACOUSTIC = "mnist-scattering", "digits-scattering", "digits-acoustic"
SETTINGS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "digits, acoustic, phyll, skip": (ACOUSTIC, (), 5),
    "digits, acoustic, phyll, no skip": (ACOUSTIC, ("layers.*.skip=false",), 5),
    "digits, phyll, skip": (DIGITS, (), 5),
    "digits, phyll, no skip": (DIGITS, ("layers.*.skip=false",), 5),
    "vowel audio, acoustic, mono_forward": ("vowel-audio", (), 5),
    "MNIST 10 000, phyll": (MNIST, ("data.train_limit=10000", "training.epochs=15", *PHYLL), 3),
    "MNIST 10 000, mono_forward": (MNIST, ("data.train_limit=10000", "training.epochs=25"), 3),
    "MNIST 60 000, mono_forward": (MNIST, ("rule.learning_rate=1e-3", "rule.weight_decay=0.1"), 3),
}
"""By name: the experiment, its overrides, and how many seeds."""


def train(name: str, seed: int, extra: tuple[str, ...]) -> dict[str, float]:
    source, overrides, _ = SETTINGS[name]
    experiment = load_experiment(source, overrides=[*overrides, *extra, f"seed={seed}"])
    samples = load_samples(experiment)
    rule = build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    with network:
        trainer = physnet.Trainer(
            network,
            rule,
            samples.splits,
            classes=len(samples.frame.classes),
            options=training_options(experiment),
            seed=experiment.seed,
        )
        result = trainer.run()
    return {
        "accuracy": result.test_accuracy,
        "train_passes": result.passes["train"],
        "passes_per_answer": result.passes["test"] / len(samples.splits.test),
        "seconds": result.seconds,
        "system_seconds": network.count.seconds,
        "raw": raw_logistic_regression(samples.splits),
    }


def chip() -> str:
    """Return the processor's name where the platform tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        name = next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=", ".join(f"'{name}'" for name in SETTINGS))
    parser.add_argument("--seeds", type=int, help="how many, from 0; each setting's own number when left out")
    parser.add_argument("--set", action="append", default=[], dest="extra", help="override, as in physnet train")
    parser.add_argument("--output", type=Path, help="also append the table to this file")
    arguments = parser.parse_args()
    lines = [
        f"{datetime.date.today().isoformat()}, {chip()}",
        "",
        "| setting | seeds | test accuracy / % | training passes | passes per answer | seconds a seed "
        "| of it in the system | raw logistic regression / % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name in arguments.settings or SETTINGS:
        began = time.perf_counter()
        seeds = range(arguments.seeds or SETTINGS[name][2])
        runs = [train(name, seed, tuple(arguments.extra)) for seed in seeds]
        accuracy = np.array([run["accuracy"] for run in runs]) * 100
        raw = np.array([run["raw"] for run in runs]) * 100
        spread = accuracy.std(ddof=1) if len(runs) > 1 else float("nan")
        each = ", ".join(f"{value:.2f}" for value in accuracy)
        row = (
            f"| {name} | {len(runs)} | {accuracy.mean():.2f} +- {spread:.2f} ({each}) "
            f"| {np.median([run['train_passes'] for run in runs]):.0f} "
            f"| {runs[0]['passes_per_answer']:.0f} | {np.median([run['seconds'] for run in runs]):.0f} "
            f"| {np.median([run['system_seconds'] for run in runs]):.0f} | {raw.mean():.2f} |"
        )
        lines.append(row)
        print(f"{row}  ({time.perf_counter() - began:.0f} s)", flush=True)
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", ""]))


if __name__ == "__main__":
    main()
