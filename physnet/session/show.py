"""A run in plain text."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator

import numpy as np

from ..characterisation import load
from ..errors import SessionError
from ..printable import printable
from .reader import Run

WIDTH = 96
_LABEL = 14
_EVENTS = 8
_ENDINGS = {
    "done": "done",
    "fault": "STOPPED BY A FAULT",
    "interrupted": "INTERRUPTED",
    "terminated": "TERMINATED",
    "killed": "KILLED",
}


def summary(run: Run) -> str:
    """Describe a run: what was asked, what happened, and what is missing.

    Args:
        run: The run.

    Returns:
        Lines of at most 96 columns, without a final newline.
    """
    title = _line(run.title)
    lines = [title, "=" * min(len(title), WIDTH)]
    for label, text in ((label, _line(text)) for label, text in _entries(run)):
        room = WIDTH - _LABEL
        words, line = text.split(" "), ""
        for word in words:
            if line and len(line) + 1 + len(word) > room:
                lines.append(f"{label:<{_LABEL}}{line.rstrip()}")
                label, line = "", word
            else:
                line = f"{line} {word}" if line else word
        lines.append(f"{label:<{_LABEL}}{line}".rstrip())
    return "\n".join(lines)


def _line(text: str) -> str:
    """Return text as part of one line, in which nothing looks like another line."""
    return printable(text.replace("\n", " "))


def _entries(run: Run) -> Iterator[tuple[str, str]]:
    yield "folder", str(run.folder)
    yield "began", f"{run.created}, physnet {run.version}, seed {run.seed}"
    ending = _ENDINGS[run.status] + (f": {run.message}" if run.message else "")
    yield "ended", f"{run.ended}  {ending}" if run.ended else ending
    if commit := run.environment.get("git_commit"):
        changed = ", with uncommitted changes" if run.environment.get("git_changes") else ""
        yield "code", f"git {str(commit)[:12]}{changed}"
    for index, name in enumerate(run.systems):
        spec, used = run.systems[name], run.layer_systems.count(name)
        kind = run.kind(name)
        repeat = "" if used == 1 else f", {used} layers"
        yield "physics" if index == 0 else "", f"{name}: {kind.upper()}{_shapes(spec)}{repeat}"
    yield from _characterised(run)
    yield "network", " -> ".join(run.layers) + f" -> {len(run.classes)} classes"
    if data := _data(run):
        yield "data", data
    yield from _progress(run)
    yield from _accuracy(run)
    yield from _weights(run)
    yield from _events(run)
    if parts := missing(run):
        yield "missing", "; ".join(parts)


def _shapes(spec: object) -> str:
    if not isinstance(spec, dict):
        return ""
    drive, response = spec.get("drive"), spec.get("response")
    if not (isinstance(drive, dict) and isinstance(response, dict)):
        return ""
    shapes = [shape for part in (drive, response) if isinstance(shape := part.get("shape"), list) and shape]
    if len(shapes) < 2:
        return ""
    sizes = ["x".join(map(str, shape)) for shape in shapes]
    return f", drive {sizes[0]}, response {sizes[1]}"


def _characterised(run: Run) -> Iterator[tuple[str, str]]:
    for index, file in enumerate(run.characterisation_files):
        label = "" if index else "characterised"
        try:
            found = load(file, run=run.identifier)
        except SessionError as error:
            yield label, str(error)
            continue
        head = f"{found.name}: {found.kind.upper()}, {found.count.passes} passes, {file.name}."
        yield label, " ".join([head, *found.sentences])


def _data(run: Run) -> str:
    parts = []
    for name, value in run.data.items():
        if name in ("frame", "columns"):
            continue  # what a network is built again from: long, and no reading matter
        if isinstance(value, dict):
            parts.append(f"{name} " + " ".join(f"{inner}={_plain(v)}" for inner, v in value.items()))
        elif value not in (None, ""):
            parts.append(str(value) if name == "name" else f"{name} {_plain(value)}")
    return ", ".join(parts)


def _plain(value: object) -> str:
    method, _, digest = str(value).rpartition(":")
    if len(digest) != 64 or not digest.isalnum():
        return str(value)
    return f"{method}:{digest[:12]}..." if method else f"{digest[:12]}..."


def _progress(run: Run) -> Iterator[tuple[str, str]]:
    result, steps = run.result, run.steps
    done = len(steps["step"])
    epochs = len(run.epochs["epoch"])
    yield "trained", f"{done} steps recorded, {epochs} epochs completed"
    if result is not None:
        purposes = ", ".join(f"{name} {count}" for name, count in result.passes.items() if count)
        yield "passes", f"{result.physical_passes} through the physics" + (f": {purposes}" if purposes else "")
    elif done:
        yield "passes", f"{int(steps['passes'].sum())} through the physics in recorded steps"
    if done:
        names = {
            "retries": "measured again",
            "invalid": "invalid",
            "clipped_drive": "drive values clipped",
            "clipped_response": "clipped responses",
        }
        yield "", "in training: " + ", ".join(f"{int(steps[name].sum())} {text}" for name, text in names.items())
        others = {"parameter_writes": "parameter writes", "cache_hits": "rows from a cache, which are not passes"}
        if any(steps[name].any() for name in others):
            yield "", ", ".join(f"{int(steps[name].sum())} {text}" for name, text in others.items())
        total, system = float(steps["seconds"].sum()), float(steps["system_seconds"].sum())
        share = f" ({100 * system / total:.0f} %)" if total > 0 else ""
        digital = f", digital {duration(total - system)}"
        if system > total:  # several at once
            share, digital = "", ""
        whole = f"; {duration(result.seconds)} for the whole run" if result and result.seconds >= 0 else ""
        yield (
            "time",
            f"steps {duration(total)}: system {duration(system)}{share}{digital}{whole}",
        )


def _accuracy(run: Run) -> Iterator[tuple[str, str]]:
    result = run.result
    if result is not None:
        if not math.isnan(result.test_accuracy):
            total = int(result.confusion.sum()) if result.confusion.size else 0
            of = f" of {total}" if total > 0 else ""
            yield "test", f"{_percent(result.test_accuracy)}{of}   layers: {_percents(result.layer_accuracy)}"
        if not math.isnan(result.validation_accuracy):
            # a run that was stopped leaves the weights it had then
            which = ", the weights kept" if result.status == "done" else ", the best"
            yield (
                "validation",
                f"{_percent(result.validation_accuracy)} (epoch {result.kept_epoch + 1}{which})",
            )
        for index, (name, value) in enumerate(result.baselines.items()):
            yield "baselines" if index == 0 else "", f"{_percent(value)}   {name.replace('_', ' ')} (same test split)"
        return
    validated = run.epochs["validation_accuracy"]
    if np.isfinite(validated).any():
        best = int(np.nanargmax(validated))
        yield "validation", f"{_percent(float(validated[best]))} at best (epoch {int(run.epochs['epoch'][best]) + 1})"


def _weights(run: Run) -> Iterator[tuple[str, str]]:
    try:
        kept = run.weights()
    except SessionError:
        return
    yield "weights", f"{kept.source}, sha256 {kept.sha256}"
    if run.result is not None and run.result.weights_sha256 not in ("", kept.sha256):
        yield "", f"the result speaks of other weights: {run.result.weights_sha256}"


def _events(run: Run) -> Iterator[tuple[str, str]]:
    """Faults and warnings first claim the room there is; what is left out is counted."""
    order = sorted(run.events, key=lambda event: event.level == "info")[:_EVENTS]
    shown = [event for event in run.events if event in order][:_EVENTS]
    for index, event in enumerate(shown):
        when = _clock(event.time)
        level = "" if event.level == "info" else f"{event.level.upper()} "
        yield "events" if index == 0 else "", f"{when} {level}{event.message}"
    if (rest := len(run.events) - len(shown)) > 0:
        yield "", f"and {rest} more"


def _clock(seconds: float) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(seconds).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def missing(run: Run) -> list[str]:
    """Return what a reader would look for and the run does not hold, each in a few words."""
    parts = []
    if run.damaged_rows:
        parts.append(f"{run.damaged_rows} damaged rows were left out")
    if run.damaged_parts:
        parts.append(f"damaged, and left out: {', '.join(run.damaged_parts)}")
    if run.result is None:
        parts.append("no result, so no test accuracy")
        if run.file_weights is None and not run.checkpoints:
            parts.append("no weights: it ended before the first checkpoint")
    elif math.isnan(run.result.test_accuracy):
        parts.append("the test split was not measured")
    if len(run.responses) < len(run.layers):
        absent = set(range(len(run.layers))) - {statistics.layer for statistics in run.responses}
        parts.append("no response statistics of " + ", ".join(run.layers[layer] for layer in sorted(absent)))
    return parts


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _percents(values: tuple[float, ...]) -> str:
    return ", ".join("-" if math.isnan(value) else _percent(value) for value in values)


def duration(seconds: float) -> str:
    """Return a duration for people: `3.2 s`, `12.0 min`, `7.5 h`."""
    if not seconds < 120:
        return (
            "unknown"
            if math.isnan(seconds)
            else f"{seconds / 60:.1f} min"
            if seconds < 7200
            else f"{seconds / 3600:.1f} h"
        )
    return f"{seconds:.3g} s"
