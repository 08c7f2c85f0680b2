"""Small trainings of one layer whose physics, or the map before it, matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from physnet.data import Splits
from physnet.network import Network
from physnet.records import RunResult, StepRecord
from physnet.rules.base import LocalRule, Placement
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions
from tests.physnet.rules.rehearsal import CLASSES, blobs
from tests.physnet.rules.tunable import make_layer


def make_trainer(rule: LocalRule, system: Any, data: Splits, **options: Any) -> Trainer:
    """Return a trainer of one layer on a system, with a map before it where the rule trains one."""
    seed = options.pop("seed", 0)
    features = data.train.x.shape[1]
    before = Placement.BEFORE in rule.placements
    layer = make_layer(system, before=before, nonlinearity=rule.nonlinearity, inputs=features)
    network = Network([layer], features=features)
    return Trainer(network, rule, data, classes=CLASSES, options=TrainingOptions(**options), seed=seed)


def trained(rule: LocalRule, system: Any, *, seed: int, epochs: int) -> RunResult:
    """Train on `blobs`, with 240 test samples and no validation."""
    data = blobs(720)
    with (trainer := make_trainer(rule, system, data, seed=seed, epochs=epochs, batch_size=60, patience=None)).network:
        return trainer.run()


def assert_a_resumed_run_is_the_same_to_the_bit(rule: LocalRule, make_system: Callable[[], Any]) -> None:
    """Stop between two steps of the second epoch, go on with a fresh system, and compare with a run that did not stop.

    The fresh system starts with other parameters than the run has come to, and the best weights so far belong to an
    epoch before: both must be what is written when they are needed.
    """
    options = {"epochs": 3, "batch_size": 40}
    whole, first, second = (make_trainer(rule, make_system(), blobs(), **options) for _ in range(3))
    writes, again = _watched(whole), _watched(second)
    with whole.network:
        result = whole.run()
    with first.network:
        first.prepare()
        for _ in range(4):
            first.step()
        snapshot = first.snapshot()
    second.restore(snapshot)
    with second.network:
        resumed = second.run()
    assert resumed.weights_sha256 == result.weights_sha256
    assert resumed.test_accuracy == result.test_accuracy and resumed.validation_accuracy == result.validation_accuracy
    for name, tensor in whole.tensors().items():
        assert np.array_equal(second.tensors()[name], tensor), name
    # The setting of the run was written before its first step, and is no part of that.
    assert again == writes[4:]


def _watched(trainer: Trainer) -> list[int]:
    """Have a trainer's steps put their parameter writes into a list."""
    writes: list[int] = []
    step = trainer.step

    def watched() -> StepRecord:
        record = step()
        writes.append(record.count.parameter_writes)
        return record

    trainer.step = watched  # type: ignore[method-assign]
    return writes
