"""`physnet check`: what a run is going to need, and whether it can be had, before the night it is left alone."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..assembly import Samples, build_network, build_rule, load_samples, plan_of, training_options
from ..drives import check_drive
from ..errors import InputError, PhysnetError, Stopped
from ..experiment import Experiment, load_experiment
from ..extras import Extra, of_characterisation, of_controls
from ..forecast import PassForecast, count_passes, declared_seconds, memory_bytes, session_bytes
from ..interrupts import StopRequest
from ..network import Network
from ..passes import Purpose
from ..port import Port
from ..rules.base import Batch, LocalRule
from ..trainer import Trainer
from .characterise import systems_of
from .train import choose_device, overrides_of

_STEPS = 3
_ROWS = 64  # standardisation rows of a rehearsal
_LIMIT_ROWS = 1024
_FREE = 0.9  # of what is free, the part that a run may plan with


@dataclass(kw_only=True)
class Report:
    """What was found so far.

    Args:
        lines: What is printed, label and text.
        problems: What must be mended before the run.
        values: The same for JSON.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def say(self, label: str, text: str, **values: Any) -> None:
        """Add a line and its values."""
        self.lines.append((label, text))
        self.values.update(values)

    def blame(self, where: str, error: object) -> None:
        """Add a problem."""
        self.problems.append(f"{where}: {' '.join(str(error).split())}")


def check(arguments: argparse.Namespace) -> int:
    """Look through an experiment and say what is wrong, all of it."""
    experiment = load_experiment(arguments.experiment, overrides=overrides_of(arguments))
    device, report = choose_device(arguments.device), Report()
    report.say("experiment", f"{experiment.title or experiment.source}, seed {experiment.seed}")
    with StopRequest() as stop:
        _look(experiment, device, report, arguments, stop)
    for label, text in report.lines:
        print(textwrap.fill(text, 110, initial_indent=f"{label:<12}  ", subsequent_indent=" " * 14))
    print("all is fine" if not report.problems else f"{len(report.problems)} to mend; nothing was recorded", flush=True)
    for problem in report.problems:
        print(f"physnet: {problem}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"ok": not report.problems, "problems": report.problems, **report.values}))
    return 2 if report.problems else 0


def _look(
    experiment: Experiment, device: str, report: Report, arguments: argparse.Namespace, stop: StopRequest
) -> None:
    folder = _folder(experiment, report)
    try:
        samples = load_samples(experiment)
    except InputError as error:
        report.blame("data", error)
        return
    rows = {name: len(getattr(samples.splits, name).y) for name in ("train", "validation", "test")}
    listed = ", ".join(f"{name} {count}" for name, count in rows.items())
    report.say("data", f"{samples.dataset.name}: {listed}; {samples.dataset.checksum}", samples=rows)
    try:
        rule = build_rule(experiment)
        network = build_network(experiment, samples.frame, rule, device=device)
        trainer = _trainer(experiment, samples, network, rule, stop)
    except InputError as error:
        report.blame("network", error)
        return
    ports = systems_of(experiment, network)
    for name, port in ports.items():
        shapes = f"{port.spec.drive.channels} drives, {port.spec.response.channels} responses"
        report.say("system", f"{name}: {port.spec.kind.upper()}, {shapes}")
    _limits(trainer, report, stop)
    steps = trainer.epochs_planned * trainer.steps_per_epoch
    needed = session_bytes(plan_of(experiment, samples, trainer), steps=steps, epochs=trainer.epochs_planned)
    try:
        found = count_passes(trainer, {port: name for name, port in ports.items()})
        if arguments.characterise:
            found = _with_characterisation(found, extra := of_characterisation(experiment, ports))
            needed += extra.bytes
    except PhysnetError as error:
        report.blame("limits", error)
        return
    _passes(found, report)
    whole, networks = found, 1
    if arguments.controls:
        try:
            extra = of_controls(experiment, device=device)
        except PhysnetError as error:
            report.blame("controls", error)
            return
        _controls(extra, report)
        whole, networks, needed = _together(found, extra), 1 + extra.networks, needed + extra.bytes
    hours = _declared(whole, ports, report)
    _disk(folder, needed, report)
    _memory(memory_bytes(trainer), report)
    measured = [name for name, port in ports.items() if port.spec.kind == "measured"]
    if report.problems:
        report.say("rehearsal", "left out: mend the problems first")
    elif measured and not arguments.rehearse:
        report.say(
            "rehearsal",
            f"left out: {_STEPS} steps would drive {', '.join(measured)}, which is real. Ask for it with --rehearse.",
            rehearsal=None,
        )
        report.say("time", _hours(hours, "from the declared cost"))
    else:
        if measured:
            report.say("rehearsal", f"drives {', '.join(measured)}, within the limits of its spec")
        _rehearse(experiment, samples, network, rule, whole, networks, report, stop)


def _trainer(
    experiment: Experiment, samples: Samples, network: Network, rule: LocalRule, stop: StopRequest, **options: Any
) -> Trainer:
    return Trainer(
        network,
        rule,
        samples.splits,
        classes=len(samples.frame.classes),
        options=dataclasses.replace(training_options(experiment), **options),
        seed=experiment.seed,
        interrupted=stop.check,
    )


def _limits(trainer: Trainer, report: Report, stop: StopRequest) -> None:
    """Encode the training rows for the lowest layer, and try them against range and joint limits, unsent."""
    network, layer = trainer.network, trainer.network.layers[0]
    x, y = trainer.data.train.x, trainer.data.train.y
    rows = clipped = 0
    largest = 0.0
    for first in range(0, len(y), _LIMIT_ROWS):
        stop.check()
        part = slice(first, first + _LIMIT_ROWS)
        if len(y[part]) < 2:
            break  # some rules pair the samples of a batch
        batch = Batch(
            features_NI=torch.from_numpy(np.ascontiguousarray(x[part])).to(layer.weight_FO),
            labels_N=torch.from_numpy(y[part]).to(layer.weight_FO.device),
            seed=trainer.seed,
            epoch=0,
            step=0,
            progress=0.0,
        )
        inputs = trainer.rule.training_rows(network, batch)
        try:
            encoded = layer.encoder(inputs if layer.before is None else layer.before(inputs), layer.port.spec.drive)
            check_drive(layer.port.spec, encoded.drive)
        except PhysnetError as error:
            report.blame(f"limits, {layer.name}, training rows {first} to {first + len(y[part]) - 1}", error)
            return
        rows, clipped = rows + len(inputs), clipped + encoded.clipped
        largest = max(largest, float(encoded.drive.abs().max()))
    note = f", {clipped} values clipped by the encoder" if clipped else ""
    unit = layer.port.spec.drive.unit
    largest_text = f"{largest:.4g}" + ("" if unit == "1" else f" {unit}")
    text = f"{rows} drives made of training rows are allowed, up to {largest_text}{note}; the layers above on trial"
    report.say("limits", text, limit_rows=rows, clipped_drive=clipped)


def _passes(found: PassForecast, report: Report) -> None:
    parts = ", ".join(f"{purpose} {count}" for purpose, count in found.purposes.items())
    most = f"; at most ({found.limited})" if found.limited else ""
    passes = {purpose.name.lower(): found.purposes.get(purpose.name.lower(), 0) for purpose in Purpose}
    report.say(
        "passes",
        f"{found.total} ({parts}), without retries{most}",
        physical_passes=found.total,
        passes=passes,
        passes_by_system=dict(found.systems),
        at_most=bool(found.limited),
    )


def _with_characterisation(found: PassForecast, extra: Extra) -> PassForecast:
    """Count a characterisation as the run does: as its passes, for calibration."""
    whole = _together(found, extra)
    calibrate = found.purposes.get("calibrate", 0) + extra.total
    return dataclasses.replace(whole, purposes={**found.purposes, "calibrate": calibrate})


def _together(found: PassForecast, extra: Extra) -> PassForecast:
    """Add what comes on top of a run, for what it costs."""
    return PassForecast(
        purposes={**found.purposes, "control": found.purposes.get("control", 0) + extra.total},
        systems={name: rows + extra.systems.get(name, 0) for name, rows in found.systems.items()},
        calls={name: calls + extra.calls.get(name, 0) for name, calls in found.calls.items()},
        limited=found.limited or extra.limited,
        writes=found.writes,
    )


def _controls(extra: Extra, report: Report) -> None:
    parts = ", ".join(f"{name} {count}" for name, count in extra.passes.items())
    most = "; at most" if extra.limited else ""
    report.say(
        "controls",
        f"{extra.trainings} trainings more, {extra.total} passes ({parts}){most}. They are not counted as the run's",
        controls={"trainings": extra.trainings, "physical_passes": extra.total, "passes": dict(extra.passes)},
    )


def _declared(found: PassForecast, ports: Mapping[str, Port], report: Report) -> float:
    seconds = declared_seconds(found, {name: port.spec for name, port in ports.items()})
    virtual = all(port.spec.kind != "measured" for port in ports.values())
    note = " of a bench like this; the simulation has a pace of its own" if virtual else ""
    if math.isfinite(seconds):
        report.say("cost", _hours(seconds, f"as the systems declare{note}"))
    report.values["declared_seconds"] = seconds if math.isfinite(seconds) else None
    return seconds


def _folder(experiment: Experiment, report: Report) -> Path:
    """Return the nearest folder that exists where the run is to be written."""
    parent = Path(experiment.output.folder).absolute()
    name = experiment.output.name
    if name and os.path.lexists(parent / name):
        report.blame("output", f"run folder {parent / name} exists already. Choose another output.name.")
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        report.blame("output", f"{parent} must be a folder that you may write to. Choose another with --output.")
    return parent if parent.is_dir() else parent.parent


def _disk(folder: Path, needed: int, report: Report) -> None:
    free = shutil.disk_usage(folder).free
    text = f"{_size(needed)} for the session, {_size(free)} free in {folder}"
    report.say("disk", text, disk_bytes=needed, disk_free_bytes=free)
    if needed > _FREE * free:
        report.blame("disk", f"a run takes up to {_size(needed)}, got {_size(free)} free in {folder}. Make room.")


def _memory(needed: int, report: Report) -> None:
    available = _available()
    has = f", {_size(available)} available" if available else ""
    report.say(
        "memory",
        f"about {_size(needed)} beside Python and torch, without what the systems themselves take{has}",
        memory_bytes=needed,
        memory_available_bytes=available or None,
    )
    if available and needed > _FREE * available:
        report.blame(
            "memory",
            f"a run needs about {_size(needed)}, got {_size(available)} available. Lower training.evaluation_batch or "
            "training.batch_size.",
        )


def _available() -> int:
    """Bytes that programs may still take, where the system tells; 0 elsewhere."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _rehearse(
    experiment: Experiment,
    samples: Samples,
    network: Network,
    rule: LocalRule,
    found: PassForecast,
    networks: int,
    report: Report,
    stop: StopRequest,
) -> None:
    """Take three real steps with fresh weights, without a session; so many networks are going to be trained."""
    rows = min(_ROWS, training_options(experiment).standardise_rows)
    # No validation: it would cost more passes than the steps. No pipeline: nothing is to be on its way at the end.
    trainer = _trainer(
        experiment, samples, network, rule, stop, standardise_rows=rows, validate_every=1 << 30, schedule="simultaneous"
    )
    steps = min(_STEPS, trainer.epochs_planned * trainer.steps_per_epoch)
    records = []
    try:
        with network:
            records = [trainer.step() for _ in range(steps)]
    except Stopped:
        raise
    except PhysnetError as error:
        report.blame(f"rehearsal, step {len(records)}", error)
    count = network.count
    report.say(
        "rehearsal",
        f"{len(records)} steps and the standardisation of {rows} rows cost {count.passes} passes: {count.invalid} rows "
        f"invalid, {count.clipped_response} clipped",
        rehearsal={
            "passes": count.passes,
            "steps": len(records),
            "invalid": count.invalid,
            "clipped_response": count.clipped_response,
        },
    )
    if not records:
        return
    last = records[-1].metrics
    odd = sorted(name for name, values in last.items() if not np.all(np.isfinite(values)))
    if odd:
        report.blame(
            "rehearsal", f"{', '.join(odd)} must be finite after {len(records)} steps. Lower the learning rate."
        )
    # The first step pays for what is set up once.
    digital = float(np.median([record.seconds - record.count.seconds for record in records]))
    system = float(np.median([record.count.seconds / max(record.count.passes, 1) for record in records]))
    seconds = system * found.total + networks * digital * trainer.epochs_planned * trainer.steps_per_epoch
    rate = f"{1 / system:.3g} passes/s" if system > 0 else "no time in the systems"
    report.say("time", _hours(seconds, f"from the rehearsal, {rate}"), seconds=seconds)


def _hours(seconds: float, source: str) -> str:
    if not math.isfinite(seconds):
        return "unknown: the systems declare no cost"
    if seconds < 120:
        return f"{seconds:.2g} s {source}"
    return f"{seconds / 60:.1f} min {source}" if seconds < 7200 else f"{seconds / 3600:.1f} h {source}"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
