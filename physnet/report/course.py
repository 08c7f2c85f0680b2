"""How a run went: curves per layer, validation, time, energy, faults, retries and clips, drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..session import Run
from ..session.frames import columns_of
from ..session.show import duration
from ..session.timings import timings
from .axes import number
from .charts import Line, bars, lines, shares
from .markup import Markup, element, facts, join, table
from .section import Section, clock, percent
from .style import colour

_EVENTS = {"fault": 200, "warning": 200, "info": 60}
"""Most events of each level that are shown."""
_BARS = 128
"""Most epochs that get a bar each."""
_COUNTED = {
    "retries": "rows measured again",
    "invalid": "invalid rows",
    "clipped_drive": "drive values clipped by an encoder",
    "clipped_response": "rows flagged as clipped by the system",
}
_BESIDE = {"parameter_writes": "parameter writes", "cache_hits": "rows answered from a cache"}
_PARTS = {
    "measuring": "measuring (training)",
    "digital": "digital (training)",
    "log": "log",
    "idle": "paused",
    "rest": "everything else",
}


def learning(run: Run) -> Section:
    """Return a chart of every metric, and of the accuracies of validation."""
    charts = []
    for name, unit in run.metrics.items():
        values = run.steps[name]
        if len(values) and np.isfinite(values).any():
            curves = [
                Line(name=layer, x=run.steps["step"], y=values[:, number], colour=colour(number, len(run.layers)))
                for number, layer in enumerate(run.layers)
            ]
            charts.append(lines(_words(name), curves, x="step", y=_words(name), unit=unit))
    epochs = run.epochs
    if np.isfinite(epochs["validation_accuracy"]).any():
        curves = [
            Line(
                name=layer,
                x=epochs["epoch"] + 1,
                y=100 * epochs["layer_accuracy"][:, number],
                points=True,
                colour=colour(number, len(run.layers)),
            )
            for number, layer in enumerate(run.layers)
        ]
        network = Line(name="network", x=epochs["epoch"] + 1, y=100 * epochs["validation_accuracy"], points=True)
        charts.append(lines("validation accuracy", [*curves, network], x="epoch", y="accuracy", unit="%"))
    body = element("div", *charts, class_="charts") if charts else element("p", "No step was recorded.")
    return Section(name="curves", title="Learning curves", body=body)


def time(run: Run) -> Section:
    """Return where the time and the energy went."""
    found = timings(run)
    steps = run.steps
    if not len(steps["step"]) and not found.total > 0:
        return Section(name="time", title="Where the time went", body=element("p", "No step was recorded."))
    untimed = not found.digital >= 0
    names = _PARTS | ({"rest": "digital and everything else"} if untimed else {})
    parts = [(names[name], value, duration(value)) for name, value in found.parts.items()]
    digital = ", and digital work, which this session did not time on its own" if untimed else ""
    note = (
        f"total {duration(found.total)}, {duration(found.steps)} of it training steps; everything else: "
        f"standardisation, validation, test, start and end{digital}"
    )
    if run.result is None:
        note = f"the recorded steps, {duration(found.total)}; the run left no total"
    charts = []
    if len(steps["step"]):
        curves = [
            Line(name=label, x=steps["step"], y=steps[column], colour=shade)
            for label, column, shade in (
                ("whole step", "seconds", None),
                ("measuring", "system_seconds", 0),
                ("digital", "digital_seconds", 3),
            )
            if column in steps and np.isfinite(steps[column]).any()
        ]
        charts.append(lines("seconds per step", curves, x="step", y="time", unit="s", include=[0.0]))
    passes = int(steps["passes"].sum())
    spent = float(np.nansum(steps["system_seconds"]))
    said = []
    if spent > 0 and passes:
        said.append(
            (
                "in training",
                f"{number(passes)} passes in {duration(spent)} of measuring: {number(passes / spent)} passes/s",
            )
        )
    for name, what in _BESIDE.items():
        if steps[name].any():
            said.append((what, f"{number(int(steps[name].sum()))} in training; they are not passes"))
    joules = steps.get("joules")
    if joules is not None and np.isfinite(joules).any():
        total = float(np.nansum(joules))
        each = f", {total / passes:.3g} J per pass" if passes else ""
        said.append(("energy", f"{number(total)} J in training{each}"))
        charts.append(
            lines("energy", [Line(name="energy", x=steps["step"], y=joules, colour=3)], x="step", y="energy", unit="J")
        )
    elif joules is not None and len(joules):
        said.append(("energy", "no reading was recorded"))
    bar = shares("Time by what was done", parts, note=note)
    return Section(
        name="time", title="Where the time went", body=join(bar, facts(said), element("div", *charts, class_="charts"))
    )


def faults(run: Run) -> Section:
    """Return retries, invalid rows and clips by epoch, and what happened."""
    charts, quiet = [], []
    epoch, steps = run.steps["epoch"], run.steps
    passes = int(steps["passes"].sum())
    for name, said in _COUNTED.items():
        values = steps[name]
        total = int(values.sum())
        if not total:
            quiet.append(said)
            continue
        numbers, place = np.unique(epoch, return_inverse=True)
        sums = np.bincount(place, weights=values)
        what = f"{number(total)} in {number(passes)} passes of training"
        charts.append(
            bars(
                said, np.r_[numbers + 0.5, numbers[-1] + 1.5], sums, x="epoch", y="count per epoch", note=what, colour=3
            )
            if len(numbers) <= _BARS and np.all(np.diff(numbers) == 1)
            else lines(
                said, [Line(name=said, x=numbers + 1, y=sums, colour=3)], x="epoch", y="count per epoch", note=what
            )
        )
    none = element("p", f"None in training: {', '.join(quiet)}.") if quiet and len(epoch) else None
    body = join(element("div", *charts, class_="charts") if charts else None, none, *_events(run))
    return Section(name="faults", title="Faults, retries, clipping and events", body=body)


def _events(run: Run) -> Iterator[Markup]:
    shown, left = [], []
    for level, most in _EVENTS.items():
        found = [event for event in run.events if (event.level if event.level in _EVENTS else "info") == level]
        # The first ones often say why, the last ones how it ended.
        shown += found if len(found) <= most else found[: most // 2] + found[-(most // 2) :]
        if len(found) > most:
            left.append(f"{len(found) - 2 * (most // 2)} more of level {level}")
    if not shown:
        yield element("p", "No event was recorded.")
        return
    rows = [
        (
            clock(event.time),
            element("span", event.level, class_={"fault": "bad", "warning": "warn"}.get(event.level)),
            event.message,
        )
        for event in sorted(shown, key=lambda event: event.time)
    ]
    yield table(("time", "level", "what happened"), rows, caption=f"Events ({len(run.events)})", named=False)
    if left:
        yield element("p", f"Left out: {', '.join(left)}; all are in the session file.", class_="soft")


def drift(run: Run) -> Section | None:
    """Return what the sentinels saw, where there were any."""
    found = columns_of(run, "sentinels")
    if not found or not len(found["system"]):
        return None
    systems = list(run.systems)
    charts = []
    for column, said in (("drift", "since the first look"), ("difference", "since the look before")):
        curves = []
        for index, name in enumerate(systems):
            rows = found["system"] == index
            if rows.any():
                shade = colour(index, len(systems))
                curves.append(
                    Line(name=name, x=found["step"][rows], y=100 * found[column][rows], colour=shade, points=True)
                )
        charts.append(lines(f"change {said}", curves, x="step", y="RMS change", unit="%", include=[0.0]))
    rows_of = _per_system(found, systems)
    head = ("system", "looks", "drift at the end", "greatest drift", "greatest change between looks")
    note = (
        "The same few drives were played again and again. A change is the root mean square difference of their "
        "responses, as a share of how much these differ from each other; "
        "what noise alone makes of it is part of it."
    )
    body = join(
        element("p", note, class_="soft"),
        element("div", *charts, class_="charts"),
        table(head, rows_of, caption="Drift by system", numeric=(1, 2, 3, 4)),
    )
    return Section(name="drift", title="Drift", body=body)


def _per_system(found: Mapping[str, NDArray[Any]], systems: list[str]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for index, name in enumerate(systems):
        chosen = found["system"] == index
        drift, change = found["drift"][chosen], found["difference"][chosen]
        if not len(drift):
            continue
        last = drift[np.isfinite(drift)][-1:].tolist() or [np.nan]
        rows.append((name, len(drift), percent(last[0]), percent(_greatest(drift)), percent(_greatest(change))))
    return rows


def _greatest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max()) if len(finite) else float("nan")


def _words(name: str) -> str:
    return name.replace("_", " ")
