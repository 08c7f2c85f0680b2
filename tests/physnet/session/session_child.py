"""A small run for the tests, and a process that records it until something happens to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from physnet.errors import PhysnetError
from physnet.records import (
    EpochRecord,
    PassCount,
    ResponseStatistics,
    RunPlan,
    RunResult,
    Snapshot,
    StepRecord,
    Tensors,
)
from physnet.session import Session, layout, open_run
from physnet.weights import sha256

CLASSES = 4


def tensors(scale: float = 1.0) -> dict[str, np.ndarray[Any, Any]]:
    """Return every kind of tensor a run may hold."""
    return {
        "layer0/W": np.arange(12, dtype=np.float32).reshape(3, 4) * np.float32(scale),
        "file": np.asarray(2.5 * scale),
        "phase": np.full(3, 1j * scale, dtype=np.complex64),
        "mask": np.array([True, False]),
        "none": np.zeros((0, 2)),
    }


def plan(layers: int = 2, title: str = "speckle in two layers") -> RunPlan:
    """Return a plan with as many layers as asked for."""
    spec = {"kind": "simulated", "drive": {"shape": [6]}, "response": {"shape": [8], "unit": "V"}}
    return RunPlan(
        title=title,
        configuration={"rule": {"name": "phyll", "rate": 0.01}, "layers": [20, 20], "µ": "ü"},
        seed=2**70 + 1,
        layers=tuple(f"layer{n}" for n in range(layers)),
        metrics={"loss": "1", "goodness_gap": "V"},
        classes=tuple("abcdefghijklmnopqrstuvwxyz"[:CLASSES]),
        systems={"slab": spec, "bench": {**spec, "kind": "measured"}},
        layer_systems=tuple("slab" if n == 0 else "bench" for n in range(layers)),
        response_channels=(8,) * layers,
        tensors=tensors(),
        data={"name": "digits", "sha256": "0" * 64, "rows": {"train": 100, "test": 20}},
    )


def step(number: int, layers: int = 2) -> StepRecord:
    """Return a step whose numbers follow from its own."""
    return StepRecord(
        step=number,
        epoch=number // 10,
        time=1.7e9 + number,
        metrics={
            "loss": (1.0 / (number + 1),) * layers,
            "goodness_gap": tuple(number + 0.5 * n for n in range(layers)),
        },
        count=PassCount(
            passes=20,
            retries=number % 3,
            invalid=1,
            clipped_drive=2,
            clipped_response=3,
            parameter_writes=4 + number,
            cache_hits=5,
            seconds=0.25,
        ),
        seconds=0.5,
    )


def epoch(number: int, accuracy: float = 0.5, layers: int = 2) -> EpochRecord:
    """Return an epoch."""
    return EpochRecord(
        epoch=number,
        step=10 * (number + 1),
        time=1.7e9 + number,
        seconds=5.0,
        passes=220 * (number + 1),
        validation_accuracy=accuracy,
        layer_accuracy=(accuracy - 0.1,) * layers,
    )


def snapshot(weights: Tensors | None = None, *, epoch: int = 0, step: int = 1, complete: bool = True) -> Snapshot:
    """Return where a run stands after an epoch, or in it."""
    return Snapshot(
        epoch=epoch + complete,
        step=step,
        complete=complete,
        tensors=tensors() if weights is None else weights,
        state={"steps": step},
        arrays={"sentinel/0/first": np.arange(3.0)},
    )


def statistics(layer: int = 0, bins: int = 64) -> ResponseStatistics:
    """Return what a layer's physics answered."""
    mean = np.linspace(-1, 1, 8)
    return ResponseStatistics(
        layer=layer,
        unit="V",
        mean=mean,
        deviation=np.full(8, 0.25),
        minimum=mean - 1,
        maximum=mean + 1,
        histogram=np.arange(bins, dtype=np.int64),
        edges=np.linspace(-2, 2, bins + 1),
        rows=64,
        dead_channels=1,
        clipped_rows=2,
    )


def result(**changes: Any) -> RunResult:
    """Return how a good run ended, with `changes`."""
    values: dict[str, Any] = {
        "status": "done",
        "test_accuracy": 0.8,
        "validation_accuracy": 0.75,
        "layer_accuracy": (0.6, 0.8),
        "confusion": np.diag([5, 4, 4, 3]) + np.diag([2, 2, 0], 1),
        "physical_passes": 1234,
        "passes": {"standardise": 34, "train": 1000, "validate": 100, "test": 100},
        "seconds": 12.5,
        "epochs": 3,
        "steps": 30,
        "kept_epoch": 2,
        "weights_sha256": sha256(tensors(2.0)),
        "baselines": {"raw_logistic_regression": 0.7},
        "message": "all epochs done",
    }
    return RunResult(**(values | changes))


def main(mode: str, folder: Path) -> None:
    """Record a run until killed, or until the disk refuses, and say what was acknowledged."""
    layout.ROOM["steps"] = (64, 64)  # so that the file is replaced often
    answer: dict[str, Any] = {"acknowledged": 0}
    if mode == "creation":
        fill(folder.parent, spare=100_000)
    try:
        session = Session.create(folder, plan())
        if mode == "limit":
            import resource  # not on Windows

            # refuses what lies beyond the first bytes of a file, whoever writes it
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        elif mode != "steps":
            fill(folder.parent)
        number = 0
        while mode in ("steps", "limit", "full-steps"):
            session.step(step(number))
            number += 1
            answer["acknowledged"] = number
            if mode == "steps":
                print(number, flush=True)
        if mode == "full-checkpoint":
            for number in range(2):  # what the disk said to the first is told to who asks for the second
                session.checkpoint(snapshot({"W": np.zeros(100_000)}, step=number))
        if mode == "full-finish":
            session.step(step(0))
            answer["acknowledged"] = 1
            session.finish(result(), tensors(2.0))
    except PhysnetError as error:
        answer |= {"error": type(error).__name__, "message": str(error)}
    answer["left"] = sorted(path.name for path in folder.parent.iterdir() if path.name != "filler")
    if folder.exists():
        session.close()
        try:
            session.step(step(0))
        except PhysnetError as error:
            answer["after"] = type(error).__name__
        run = open_run(folder)
        answer |= {"status": run.status, "steps": len(run.steps["step"]), "message": run.message}
        answer["final"] = run.file_weights is not None
        answer["files"] = sorted(path.name for path in folder.rglob("*"))
    print(json.dumps(answer))


def fill(folder: Path, spare: int = 0) -> None:
    """Leave `spare` bytes on a small disk."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
    os.truncate(filler, max(filler.stat().st_size - spare, 0))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
