"""`physnet check`: what a run is going to need, and whether it can be had, before the night it is left alone."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import textwrap
from collections.abc import Mapping

import numpy as np
import torch

from ..assembly import build_network, build_rule, load_samples, plan_of
from ..drives import check_drive
from ..errors import InputError, PhysnetError
from ..experiment import Experiment, load_experiment
from ..extras import Extra, of_characterisation, of_controls
from ..forecast import PassForecast, count_passes, declared_seconds, memory_bytes, session_bytes
from ..interrupts import StopRequest
from ..passes import Purpose
from ..port import Port
from ..rules.base import Batch
from ..trainer import Trainer
from .characterise import systems_of
from .findings import Findings, in_words
from .rehearsal import STEPS, rehearse, trainer_of
from .room import look_for_disk, look_for_folder, look_for_memory
from .train import choose_device, overrides_of

_LIMIT_ROWS = 1024


def check(arguments: argparse.Namespace) -> int:
    """Look through an experiment and say what is wrong, all of it."""
    experiment = load_experiment(arguments.experiment, overrides=overrides_of(arguments))
    device, report = choose_device(arguments.device), Findings()
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
    experiment: Experiment, device: str, report: Findings, arguments: argparse.Namespace, stop: StopRequest
) -> None:
    folder = look_for_folder(experiment, report)
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
        trainer = trainer_of(experiment, samples, network, rule, stop)
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
    look_for_disk(folder, needed, report)
    look_for_memory(memory_bytes(trainer), report)
    measured = [name for name, port in ports.items() if port.spec.kind == "measured"]
    if report.problems:
        report.say("rehearsal", "left out: mend the problems first")
    elif measured and not arguments.rehearse:
        report.say(
            "rehearsal",
            f"left out: {STEPS} steps would drive {', '.join(measured)}, which is real. Ask for it with --rehearse.",
            rehearsal=None,
        )
        report.say("time", in_words(hours, "from the declared cost"))
    else:
        if measured:
            report.say("rehearsal", f"drives {', '.join(measured)}, within the limits of its spec")
        rehearse(experiment, samples, network, rule, whole, networks, report, stop)


def _limits(trainer: Trainer, report: Findings, stop: StopRequest) -> None:
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


def _passes(found: PassForecast, report: Findings) -> None:
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


def _controls(extra: Extra, report: Findings) -> None:
    parts = ", ".join(f"{name} {count}" for name, count in extra.passes.items())
    most = "; at most" if extra.limited else ""
    report.say(
        "controls",
        f"{extra.trainings} trainings more, {extra.total} passes ({parts}){most}. They are not counted as the run's",
        controls={"trainings": extra.trainings, "physical_passes": extra.total, "passes": dict(extra.passes)},
    )


def _declared(found: PassForecast, ports: Mapping[str, Port], report: Findings) -> float:
    seconds = declared_seconds(found, {name: port.spec for name, port in ports.items()})
    virtual = all(port.spec.kind != "measured" for port in ports.values())
    note = " of a bench like this; the simulation has a pace of its own" if virtual else ""
    if math.isfinite(seconds):
        report.say("cost", in_words(seconds, f"as the systems declare{note}"))
    report.values["declared_seconds"] = seconds if math.isfinite(seconds) else None
    return seconds
