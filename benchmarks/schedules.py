"""What a pipeline gains: `python benchmarks/schedules.py [--layers 4] [--milliseconds 10]`.

- *separate*: as many systems as layers, each of which takes a fixed time a batch and leaves the processor alone, as an
  instrument does.
- *shared*: one system for all layers, whose time can't be shared: only digital work overlaps.

Peer: the same run with one minibatch after the other. Both end with the same weights, or the script stops. Runs take
turns; a ratio is that of two runs beside each other, validations and tests left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import platform
import statistics
import time
from types import TracebackType
from typing import Any, Self

import numpy as np

from physnet import data
from physnet.contracts import Cost, DriveSpec, Passes, Reading, ResponseSpec, SystemSpec
from physnet.encoders import Absolute
from physnet.layer import PhysicalLayer
from physnet.network import Network
from physnet.port import Port
from physnet.rules.mono_forward import MonoForward
from physnet.trainer import Trainer
from physnet.training_options import Schedule, TrainingOptions
from physnet.weights import sha256

WIDTH, RESPONSES = 64, 100  # as wide as the digits have pixels: one system can serve all layers


class SlowMedium:
    """A random matrix with a modulus that takes a fixed time a call.

    Args:
        channels: Drive channels.
        seconds: Time of a call, in s.
        seed: Of the matrix.
    """

    def __init__(self, channels: int, *, seconds: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._matrix = random.normal(size=(channels, RESPONSES)) / math.sqrt(channels)
        self._seconds = seconds
        self.spec = SystemSpec(
            name=f"medium{seed}",
            kind="simulated",
            drive=DriveSpec(shape=(channels,)),
            response=ResponseSpec(shape=(RESPONSES,)),
            repeatable=True,
            reproducible=True,
            cost=Cost(per_batch=seconds),
        )

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Answer after the time is over."""
        ends = time.perf_counter() + self._seconds
        response = np.abs(drive @ self._matrix)
        time.sleep(max(0.0, ends - time.perf_counter()))
        return Reading(response=response)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


def trained(schedule: Schedule, splits: data.Splits, *, layers: int, seconds: float, shared: bool) -> tuple[float, str]:
    """Train for an epoch; return the time of its steps in s, and the hash of the weights."""
    own = [Port(SlowMedium(WIDTH, seconds=seconds, seed=number)) for number in range(1 if shared else layers)]
    ports = own * layers if shared else own
    made = [
        PhysicalLayer(
            port=port,
            inputs=WIDTH,
            width=WIDTH,
            encoder=Absolute(),
            seed=number,
            nonlinearity="relu",
            name=f"layer{number}",
        )
        for number, port in enumerate(ports)
    ]
    options = TrainingOptions(schedule=schedule, epochs=1, batch_size=32)
    trainer = Trainer(Network(made, features=WIDTH), MonoForward(), splits, classes=10, options=options)
    with trainer.network:
        trainer.prepare()
        began = time.perf_counter()
        for _ in range(trainer.steps_per_epoch):
            trainer.step()
        return time.perf_counter() - began, sha256(trainer.tensors())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--milliseconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=7)
    arguments = parser.parse_args()
    splits = data.split(data.load("digits"), seed=0)
    splits = dataclasses.replace(splits, validation=_nothing(splits.validation))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"Python {platform.python_version()} {platform.machine()}, {time.strftime('%Y-%m-%d')}{load}\n")
    print("| systems | layers | one after the other / s | pipelined / s | ratio, median and extremes | pairs |")
    print("|---|---|---|---|---|---|")
    for name, shared in (("separate", False), ("shared", True)):
        plain, piped, ratios = [], [], []
        for pair in range(arguments.pairs):
            order: tuple[Schedule, ...] = ("simultaneous", "pipelined")
            found = {
                schedule: trained(
                    schedule, splits, layers=arguments.layers, seconds=arguments.milliseconds / 1e3, shared=shared
                )
                for schedule in (order if pair % 2 == 0 else order[::-1])
            }
            if found["simultaneous"][1] != found["pipelined"][1]:
                raise SystemExit(f"{name}: the two schedules ended with different weights")
            plain.append(found["simultaneous"][0])
            piped.append(found["pipelined"][0])
            ratios.append(plain[-1] / piped[-1])
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        times = f"{statistics.median(plain):.2f} | {statistics.median(piped):.2f}"
        print(f"| {name} | {arguments.layers} | {times} | {spread} | {arguments.pairs} |", flush=True)


def _nothing(part: data.Subset) -> data.Subset:
    return data.Subset(x=part.x[:0], y=part.y[:0], index=part.index[:0])


if __name__ == "__main__":
    main()
