"""What each further layer adds: `python benchmarks/depth.py [--depths 2 4 8] [--seeds 3] [--samples 10000]`.

MNIST through as many scattering media of 256 responses as there are layers, width 256, 2 % noise, 8 bit, no skip,
`mono_forward`: the network is trained once for each depth and seed, and the test split is read out behind every layer,
by that layer's own head. Weights of the last epoch; tested once. The official test split, and a random part of the
training split.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from typing import Any

import physnet  # before torch, for its way of waiting
from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.experiment import Experiment
from physnet.records import RunResult
from physnet.trainer import Trainer

RESPONSES = 256
_IMPAIRMENTS = {"noise": 0.02, "dac_bits": 8, "adc_bits": 8, "full_scale": "auto"}


def experiment(depth: int, *, samples: int, epochs: int, seed: int) -> Experiment:
    """Return the shipped MNIST experiment with another number of layers, each on a medium of its own."""
    table: dict[str, Any] = physnet.load_experiment("mnist-scattering").as_dict()
    names = [f"medium{number}" for number in range(depth)]
    system = {"type": "scattering", "responses": RESPONSES, "impairments": _IMPAIRMENTS}
    table["systems"] = {name: dict(system) for name in names}
    table["layers"] = [{"system": name, "width": RESPONSES} for name in names]
    table["data"] |= {"train_limit": samples, "validation_fraction": 0.0}
    table["training"] |= {"epochs": epochs}
    table["seed"] = seed
    return Experiment.from_dict(table)


def trained(found: Experiment) -> RunResult:
    """Train and test once."""
    samples, rule = load_samples(found), build_rule(found)
    network = build_network(found, samples.frame, rule)
    classes = len(samples.frame.classes)
    options = training_options(found)
    trainer = Trainer(network, rule, samples.splits, classes=classes, options=options, seed=found.seed)
    with network:
        return trainer.run()


def main() -> None:
    """Print a line for each depth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"Python {platform.python_version()} {platform.machine()}, {time.strftime('%Y-%m-%d')}{load}")
    print(f"{arguments.samples} samples, {arguments.epochs} epochs, {arguments.seeds} seeds, mean ± sd in %\n")
    print("| layers | network | read out behind each layer, from the lowest | training passes | s a seed |")
    print("|---|---|---|---|---|")
    for depth in arguments.depths:
        results = [
            trained(experiment(depth, samples=arguments.samples, epochs=arguments.epochs, seed=seed))
            for seed in range(arguments.seeds)
        ]
        whole = spread([result.test_accuracy for result in results])
        each = ", ".join(spread([result.layer_accuracy[number] for result in results]) for number in range(depth))
        passes = results[0].passes["train"]
        seconds = statistics.mean(result.seconds for result in results)
        print(f"| {depth} | {whole} | {each} | {passes} | {seconds:.0f} |", flush=True)


def spread(values: list[float]) -> str:
    """Return mean and standard deviation in %."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{100 * statistics.mean(values):.2f} ± {100 * deviation:.2f}"


if __name__ == "__main__":
    main()
