"""Who classifies MNIST best for the same digital arithmetic: `python benchmarks/equal_cost.py [--budgets 10000]`.

A budget is a number of digital multiply-adds to classify one sample, matrix products and convolutions counted, what the
physics does for nothing not. Within it, four networks with a scattering medium (784 drives, 2 % noise, 8 bit) and four
digital ones are trained on the same samples, for the same epochs, by Adam with cosine decay at three step sizes each,
all with the first seed. Of each side the network and step size with the best validation accuracy are taken, trained
with the other seeds too, and tested once a seed. The official test split; validation is 5 000 training images.

What encoding and demodulation cost is told apart: a multiply-add for each drive (scaled to its converter) and for each
response (standardised), and one for each number a digital network takes in. Where a linear map follows, it could take
them in for nothing.
"""

from __future__ import annotations

import physnet  # isort: skip  # before torch: docs/decisions/0006

import argparse
import functools
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from digital_networks import DIGITAL, Digital, softmax_regression

from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.comparison.digital import multiply_adds
from physnet.data import Subset
from physnet.experiment import Experiment
from physnet.passes import Purpose, pass_numbers
from physnet.trainer import Trainer

_IMPAIRMENTS = {"noise": 0.02, "dac_bits": 8, "adc_bits": 8, "full_scale": "auto"}
_RATES = (1e-3, 2e-3, 4e-3)
PIXELS, CLASSES = 784, 10


@dataclass(frozen=True)
class Physical:
    """Scattering media of some responses, and the width behind each: none for a read-out alone."""

    responses: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def name(self) -> str:
        """What the table calls it."""
        media = " + ".join(map(str, self.responses))
        return f"{media} responses, " + (
            f"mono_forward, width {' + '.join(map(str, self.widths))}" if self.widths else "read-out alone"
        )

    @property
    def work(self) -> int:
        """Multiply-adds to classify a sample: the maps behind the physics, and every layer's scores."""
        if not self.widths:
            return multiply_adds([*self.responses, CLASSES])
        return sum(
            multiply_adds([responses, width, CLASSES])
            for responses, width in zip(self.responses, self.widths, strict=True)
        )

    @property
    def coding(self) -> int:
        """Multiply-adds to scale drives and to standardise responses."""
        return PIXELS + sum(self.widths[:-1]) + sum(self.responses)


PHYSICAL: dict[int, tuple[Physical, ...]] = {
    10_000: (
        Physical((1000,), ()),
        Physical((100,), (90,)),
        Physical((200,), (47,)),
        Physical((400,), (24,)),
    ),
    100_000: (
        Physical((10_000,), ()),
        Physical((1000,), (99,)),
        Physical((2000,), (49,)),
        Physical((450, 450), (106, 108)),
    ),
}


@dataclass
class Outcome:
    """What one training gave. Accuracies in %."""

    validation: float
    test: float
    passes: int = 0
    seconds: float = 0.0


def train_physical(what: Physical, *, rate: float, seed: int, epochs: int) -> Outcome:
    """Train and test a network with physics once."""
    began = time.perf_counter()
    found = _experiment(what, rate=rate, seed=seed, epochs=epochs)
    samples, rule = load_samples(found), build_rule(found)
    network = build_network(found, samples.frame, rule)
    with network:
        if not what.widths:
            parts = [_features(network, part, purpose) for part, purpose in _parts(samples.splits)]
            validation, test = softmax_regression(parts, rate=rate, seed=seed, epochs=epochs)
            passes = len(samples.splits.train)
        else:
            result = Trainer(
                network, rule, samples.splits, classes=CLASSES, options=training_options(found), seed=seed
            ).run()
            validation, test, passes = result.validation_accuracy, result.test_accuracy, result.passes["train"]
    return Outcome(100 * validation, 100 * test, passes, time.perf_counter() - began)


def train_digital(what: Digital, *, rate: float, seed: int, epochs: int) -> Outcome:
    """Train and test a digital network once."""
    began = time.perf_counter()
    splits = load_samples(_experiment(PHYSICAL[10_000][0], rate=rate, seed=seed, epochs=epochs)).splits
    parts = [(torch.from_numpy(part.x.astype(np.float32)), torch.from_numpy(part.y)) for part, _ in _parts(splits)]
    validation, test = what.train(parts, rate=rate, seed=seed, epochs=epochs)
    return Outcome(100 * validation, 100 * test, 0, time.perf_counter() - began)


@dataclass
class Row:
    """A candidate with all its trainings: `outcomes[rate]` holds one for each seed it was trained with."""

    name: str
    work: int
    coding: int
    physical: bool
    train: Callable[..., Outcome]
    outcomes: dict[float, list[Outcome]]

    @property
    def rate(self) -> float:
        """The step size with the best validation accuracy, by the first seed."""
        return max(self.outcomes, key=lambda rate: self.outcomes[rate][0].validation)

    @property
    def kept(self) -> list[Outcome]:
        """What it reached at that step size, one a seed."""
        return self.outcomes[self.rate]


def compare(budget: int, *, seeds: int, epochs: int) -> list[str]:
    """Train all within a budget and return the lines of its table and the verdict."""
    for what in (*PHYSICAL[budget], *DIGITAL[budget]):
        assert what.work <= budget, f"{what.name} takes {what.work} multiply-adds"
    sides = (
        [_row(what, train_physical, epochs=epochs) for what in PHYSICAL[budget]],
        [_row(what, train_digital, epochs=epochs) for what in DIGITAL[budget]],
    )
    best = [max(rows, key=lambda row: row.kept[0].validation) for rows in sides]
    for row in best:
        row.outcomes[row.rate] += [row.train(rate=row.rate, seed=seed, epochs=epochs) for seed in range(1, seeds)]
    lines = [
        f"\n## {budget:,} multiply-adds per inference\n".replace(",", " "),
        "| side | network | multiply-adds | coding | step size | validation / % | test / % | training passes | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for rows, chosen in zip(sides, best, strict=True):
        lines += [_line(row, tested=row is chosen) for row in rows]
    differences = [
        one.test - other.test for one, other in zip(best[0].kept, best[1].kept, strict=True)
    ]  # physical minus digital, seed by seed
    winner = best[0] if statistics.mean(differences) > 0 else best[1]
    lines.append(
        f"\nThe best of each side, {best[0].name} - {best[1].name}: {spread(differences, signed=True)} points, paired "
        f"by seed. Ahead: {'the physical network' if winner.physical else 'the digital network'}."
    )
    return lines


def _row(what: Any, train: Callable[..., Outcome], *, epochs: int) -> Row:
    """Train a candidate with the first seed at every step size."""
    begin = functools.partial(train, what)
    outcomes = {rate: [begin(rate=rate, seed=0, epochs=epochs)] for rate in _RATES}
    row = Row(what.name, what.work, what.coding, isinstance(what, Physical), begin, outcomes)
    print(f"# {what.name}: {row.kept[0].validation:.2f} % in validation", flush=True)
    return row


def _line(row: Row, *, tested: bool) -> str:
    kept = row.kept
    test = f"**{spread([one.test for one in kept])}**" if tested else "-"
    return (
        f"| {'physical' if row.physical else 'digital'} | {row.name} | {row.work} | {row.coding} | {row.rate:g} "
        f"| {kept[0].validation:.2f} | {test} | {kept[0].passes} "
        f"| {statistics.mean(one.seconds for one in kept):.0f} |"
    )


def spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Return mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):{'+' if signed else ''}.2f} ± {deviation:.2f}"


def _experiment(what: Physical, *, rate: float, seed: int, epochs: int) -> Experiment:
    """Return the shipped MNIST experiment with other media, widths and step size."""
    table: dict[str, Any] = physnet.load_experiment("mnist-scattering").as_dict()
    names = [f"medium{number}" for number in range(len(what.responses))]
    table["systems"] = {
        name: {"type": "scattering", "responses": responses, "impairments": _IMPAIRMENTS}
        for name, responses in zip(names, what.responses, strict=True)
    }
    widths = what.widths or (CLASSES,) * len(names)
    table["layers"] = [{"system": name, "width": width} for name, width in zip(names, widths, strict=True)]
    table["rule"] = {"name": "mono_forward", "learning_rate": rate, "decay": "cosine"}
    table["data"] |= {"validation_fraction": 0.0834, "split_seed": 0}
    table["training"] |= {"epochs": epochs}
    table["seed"] = seed
    return Experiment.from_dict(table)


def _parts(splits: Any) -> tuple[tuple[Subset, Purpose], ...]:
    return (
        (splits.train, Purpose.TRAIN),
        (splits.validation, Purpose.VALIDATE),
        (splits.test, Purpose.TEST),
    )


def _features(network: Any, part: Subset, purpose: Purpose, *, batch: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the lowest layer measures of each sample, presented once, and the classes."""
    layer, found = network.layers[0], []
    for step, start in enumerate(range(0, len(part), batch)):
        inputs = network.inputs(torch.from_numpy(part.x[start : start + batch].astype(np.float32)))
        found.append(layer.present(inputs, pass_numbers(purpose, step=step, rows=len(inputs))).features_NF)
    return torch.cat(found), torch.from_numpy(part.y)


def main() -> None:
    """Print a table and a verdict for each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(PHYSICAL), choices=list(PHYSICAL))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"Python {platform.python_version()} {platform.machine()}, {time.strftime('%Y-%m-%d')}{load}")
    print(f"{arguments.epochs} epochs, {arguments.seeds} seeds, mean ± sd; s: a training, measuring included\n")
    for budget in arguments.budgets:
        print("\n".join(compare(budget, seeds=arguments.seeds, epochs=arguments.epochs)), flush=True)


if __name__ == "__main__":
    main()
