"""What a run is going to need, before it begins: passes, time, disk, memory.

Passes are not estimated but counted: the rule is asked for its rows, and the minibatches of an epoch are taken through
the network's own layers with a stand-in in place of each system, which answers at once and drives nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from .contracts import Passes, PhysicalSystem, Reading, SystemSpec
from .feeding import learning_rows
from .greedy import learn_layer
from .learning import learn_minibatch
from .network import Network
from .passes import Purpose
from .port import Port
from .records import PassCount, RunPlan
from .rules.base import Batch
from .seeding import stream
from .session import layout
from .session.space import RESERVE_BYTES
from .standing import charge
from .trainer import Trainer

_CHECKPOINTS = 4  # the last three, and the best


class StandIn(PhysicalSystem):
    """Answers every drive with random numbers of the right shape, and drives nothing.

    Args:
        spec: The spec of the system it stands for.
    """

    def __init__(self, spec: SystemSpec) -> None:
        # In NumPy whatever the system takes: no device is touched.
        self._spec = replace(spec, array="numpy")
        self.calls = 0

    @property
    def spec(self) -> SystemSpec:
        """The spec it stands for."""
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Answer with random numbers, from 0 to 1 in modulus."""
        self.calls += 1
        values = stream(0, "stand-in", int(passes[0])).random((len(drive), *self._spec.response.shape))
        return Reading(response=values.astype(self._spec.response.dtype))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


@dataclass(frozen=True, kw_only=True)
class PassForecast:
    """Rows and calls by purpose.

    Args:
        purposes: Passes by purpose, those of every system together.
        systems: Passes by name of the system.
        calls: Calls of `measure` by name of the system.
        writes: Writes of parameters by name of the system.
        limited: Why there may be fewer; empty when there can't be.
    """

    purposes: Mapping[str, int]
    systems: Mapping[str, int] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    writes: Mapping[str, int] = field(default_factory=dict)
    limited: str = ""

    @property
    def total(self) -> int:
        """All passes."""
        return sum(self.purposes.values())


@contextmanager
def stood_in(network: Network) -> Iterator[dict[Port, StandIn]]:
    """Put a stand-in behind every port; afterwards the systems and their counts are as they were."""
    before = [(port, port.system, port.spec, port.count, port.written, port.cache) for port in network.ports]
    stand_ins = {}
    try:
        for port, _, spec, *_ in before:
            stand_ins[port], port.cache = StandIn(spec), None
            port.system, port.spec, port.count = stand_ins[port], stand_ins[port].spec, PassCount()
        yield stand_ins
    finally:
        for port, system, spec, count, written, cache in before:
            port.system, port.spec, port.count, port.written, port.cache = system, spec, count, written, cache


def count_passes(trainer: Trainer, names: Mapping[Port, str]) -> PassForecast:
    """Count the passes of a whole run, without retries.

    standardise = layers x hypotheses x min(standardise_rows // hypotheses, training samples); train = epochs x the rows
    that the rule presents of each minibatch in each layer (in the greedy schedule: for each layer, in it and in those
    below it); validate = validations x layers x inference rows of the validation samples; test = layers x inference
    rows of the test samples; sentinel = (epochs + 1) x systems x sentinels; dark and reference = what ports place in
    each of these presentations.

    Nothing is driven, and afterwards the trainer is as fresh as before.

    Args:
        trainer: The run.
        names: Name of each port's system.

    Raises:
        DriveError: An encoder or a rule drives a system beyond its limits.
    """
    network, rule, options = trainer.network, trainer.rule, trainer.options
    fresh, ready = trainer.tensors(), trainer.ready
    samples = {part: len(getattr(trainer.data, part).y) for part in ("train", "validation", "test")}
    totals = {name: [0, 0, 0] for name in names.values()}
    purposes: dict[str, int] = {}

    cached = [port.cache is not None for port in network.ports]
    with stood_in(network) as stand_ins:

        def take(purpose: Purpose, times: int) -> None:
            """Add what went through the ports since the last time, so many times over."""
            rows: dict[str, int] = {}
            for port, stand_in in stand_ins.items():
                charge(rows, purpose, port.count)
                totals[names[port]][0] += times * port.count.passes
                totals[names[port]][1] += times * stand_in.calls
                totals[names[port]][2] += times * port.count.parameter_writes
                port.count, stand_in.calls = PassCount(), 0
                port.placed.forget()
            for name, count in rows.items():
                purposes[name] = purposes.get(name, 0) + times * count

        hypotheses = len(rule.training_rows(network, _batch(trainer, 2, 0))) // 2
        rows = learning_rows(
            network, rule, _batch(trainer, min(options.standardise_rows // hypotheses, samples["train"]), 0)
        )
        _present(network, *rows)
        take(Purpose.STANDARDISE, 1)
        whole, left = divmod(samples["train"], trainer.batch_size)
        if left == 1 < trainer.batch_size and whole:
            # A single sample joins the minibatch before it.
            whole, left = whole - 1, trainer.batch_size + 1
        purposes["train"] = 0
        for size, times in ((trainer.batch_size, whole), (left, 1)):
            if size and times:
                batch = _batch(trainer, size, 0)
                if options.schedule == "greedy":
                    for number in range(len(network)):
                        learn_layer(network, rule, trainer.learners, batch, place=0, number=number)
                else:
                    learn_minibatch(network, rule, trainer.learners, batch, place=0)
                take(Purpose.TRAIN, times * options.epochs)
        # Layer by layer, each validation goes as far up as the layer that learns.
        depths = range(1, len(network) + 1) if options.schedule == "greedy" else (len(network),)
        validations = [
            ("validation", Purpose.VALIDATE, options.epochs // options.validate_every, depth) for depth in depths
        ]
        purposes["validate"] = purposes["test"] = 0
        for part, purpose, times, depth in (*validations, ("test", Purpose.TEST, 1, len(network))):
            batches = divmod(samples[part], options.evaluation_batch)
            for size, often in ((options.evaluation_batch, batches[0]), (batches[1], 1)):
                if size and often and times:
                    features = torch.zeros(size, network.features).to(network.layers[0].weight_FO)
                    inference = rule.inference_rows(network, features, classes=trainer.classes)
                    _present(network, *[inference] * (len(network) if network.refed else 1), depth=depth)
                    take(purpose, times * often)
        sentinels = trainer.looks.sentinels.rows * (trainer.epochs_planned + 1)
        if sentinels:
            purposes["sentinel"] = sentinels * len(stand_ins)
            for count in totals.values():
                count[0] += sentinels
                count[1] += trainer.epochs_planned + 1
    trainer.load(fresh)
    trainer.ready = ready
    why = [
        text
        for text, so in (
            (f"patience of {options.patience} validations", options.patience is not None),
            (f"budget of {options.budget_passes} passes", options.budget_passes is not None),
            (f"budget of {options.budget_minutes} minutes", options.budget_minutes is not None),
            ("rows answered from a cache", any(cached)),
        )
        if so
    ]
    return PassForecast(
        purposes=purposes,
        systems={name: count[0] for name, count in totals.items()},
        calls={name: count[1] for name, count in totals.items()},
        writes={name: count[2] for name, count in totals.items()},
        limited=" or ".join(why),
    )


def declared_seconds(found: PassForecast, specs: Mapping[str, SystemSpec]) -> float:
    """Return what the declared costs add up to, in s; NaN where no system declares any. Systems work one after another.

    Args:
        found: The passes and calls of each system.
        specs: Spec of each system, by the same names.
    """
    seconds = 0.0
    for name, spec in specs.items():
        cost = spec.cost
        seconds += found.systems[name] * (cost.per_pass + cost.settle) + found.calls[name] * cost.per_batch
        seconds += found.writes.get(name, 0) * cost.parameter_write
    return seconds if seconds > 0 else math.nan


def session_bytes(plan: RunPlan, *, steps: int, epochs: int) -> int:
    """Return the most room a run folder takes: while the session file is replaced, it is there twice."""
    layers = len(plan.layers)
    weights = sum(int(np.asarray(tensor).nbytes) for tensor in plan.tensors.values())
    image = layout.build(plan).size
    for name, rows in (("steps", steps), ("epochs", epochs)):
        columns = layout.columns_of(plan.metrics, layers)[name]
        width = sum(np.dtype(column.dtype).itemsize * max(column.width, 1) for column in columns)
        room = layout.ROOM[name][0]
        while room < rows:
            room += min(room, layout.MOST_ROOM)
        image += (room - layout.ROOM[name][0]) * width
    # a checkpoint holds the best weights beside the present ones
    return 2 * image + RESERVE_BYTES + weights + (_CHECKPOINTS + 1) * 2 * weights


def memory_bytes(trainer: Trainer) -> int:
    """Estimate the memory of a run beside that of Python and torch: data, weights, and the largest batch in flight.

    A batch is there as input, drive, response (as measured, and standardised with the skip) and output; Adam keeps two
    moments and a gradient of what it trains. A cache is taken as full.
    """
    network, options = trainer.network, trainer.options
    data = sum(2 * getattr(trainer.data, part).x.nbytes for part in ("train", "validation", "test"))
    weights = sum(tensor.nbytes for tensor in trainer.tensors().values()) * 2  # and the best so far
    feature = network.layers[0].weight_FO
    largest = max(len(getattr(trainer.data, part).y) for part in ("validation", "test"))
    probe = torch.zeros(2, network.features).to(feature)
    hypotheses = len(trainer.rule.inference_rows(network, probe, classes=trainer.classes)) // 2
    rows = max(
        min(options.evaluation_batch, largest) * hypotheses,
        len(trainer.rule.training_rows(network, _batch(trainer, 2, 0))) // 2 * trainer.batch_size,
    )
    width = max(
        2 * layer.inputs + 2 * layer.port.spec.drive.channels + 3 * layer.features + 2 * layer.width
        for layer in network
    )
    caches = [port.cache for port in network.ports if port.cache is not None]
    kept = sum(cache.capacity * cache.row_bytes for cache in caches)
    return int(data + weights + rows * width * feature.element_size() + kept)


def _batch(trainer: Trainer, rows: int, place: int) -> Batch:
    weight = trainer.network.layers[0].weight_FO
    x, y = trainer.data.train.x[:rows], trainer.data.train.y[:rows]
    return Batch(
        features_NI=torch.from_numpy(np.ascontiguousarray(x)).to(weight),
        labels_N=torch.from_numpy(y).to(weight.device),
        seed=trainer.seed,
        epoch=0,
        step=place,
        progress=0.0,
    )


def _present(network: Network, *rows: torch.Tensor, depth: int | None = None) -> None:
    """Send rows up through every layer, or the lowest few; those of each layer where all are fed the sample."""
    passes, inputs = np.arange(len(rows[0]), dtype=np.int64), rows[0]
    for number, layer in enumerate(network.layers[:depth]):
        inputs = rows[number] if number < len(rows) else inputs
        inputs = layer.outputs(layer.present(inputs, passes).features_NF)
