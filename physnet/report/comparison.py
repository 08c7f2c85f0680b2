"""Several runs side by side, as sections of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SessionError
from ..session import Run
from ..session.comparison import FACTS, UNREADABLE, compared
from ..session.show import duration
from .axes import number
from .charts import Line, lines
from .markup import Markup, element, join, table
from .outcome import KINDS, banner
from .section import Section, badge, interval, percent, plain
from .style import COLOURS


def comparison(runs: Mapping[Path, Run | SessionError]) -> tuple[Markup, list[Section]]:
    """Return the head and the sections of a page that compares runs."""
    rows = compared(runs)
    sound = {row["run"]: run for row, run in zip(rows, runs.values(), strict=True) if isinstance(run, Run)}
    found = sorted({kind for run in sound.values() for kind in run.kinds.split(" and ")})
    said = None
    if len(found) == 1 and found[0] in KINDS:
        strong, _, rest = KINDS[found[0]].partition(" ")
        said = banner(strong, rest.replace("this result", "these results"))
    elif found != ["measured"]:
        said = banner("NOT ALL MEASURED:", f"the physics of these runs is {', '.join(found)}; the table says which.")
    head = join(element("h1", f"Comparison of {len(runs)} runs"), said)
    sections = [
        Section(name="results", title="Results", body=_results(rows)),
        Section(name="validation", title="Validation", body=_curves(sound)),
        Section(name="differences", title="What differs in what was asked", body=_differences(rows)),
        Section(name="origins", title="Origins", body=_origins(rows)),
    ]
    return head, sections


def _results(rows: list[dict[str, Any]]) -> Markup:
    lines_ = []
    for row in rows:
        if row["status"] == UNREADABLE:
            lines_.append((row["run"], UNREADABLE, "-", "-", "-", "-", "-", "-", row["message"]))
            continue
        accuracy, count, said = row["test_accuracy"], row["test_samples"], "-"
        if math.isfinite(accuracy) and count > 0:
            low, high = interval(accuracy, count)
            said = f"{100 * low:.1f} to {100 * high:.1f} %"
        lines_.append(
            (
                row["run"],
                join(row["status"], " ", badge(row["physics"])),
                percent(accuracy),
                said,
                percent(row["validation_accuracy"]),
                number(row["physical_passes"]),
                duration(row["seconds"]),
                f"{row['epochs']} / {number(row['steps'])}",
                row["message"],
            )
        )
    head = ("run", "status", "test accuracy", "95 % interval of the samples", "validation", "passes", "time",
            "epochs / steps", "message")  # fmt: skip
    note = (
        "The interval is that of the test samples alone. Runs with other seeds differ by more; whether the physics "
        "helps is what controls say, not this table."
    )
    return join(table(head, lines_, caption="Results", numeric=range(2, 8)), element("p", note, class_="soft"))


def _curves(runs: Mapping[str, Run]) -> Markup:
    curves: list[tuple[str, Run, int, Any]] = []
    for name, run in runs.items():
        accuracy = run.epochs["validation_accuracy"]
        if np.isfinite(accuracy).any():
            shade = len(curves) % len(COLOURS)
            curves.append((name, run, shade, 100 * accuracy))
    if not curves:
        return element("p", "No run was validated.")
    by_epoch = [Line(name=n, x=run.epochs["epoch"] + 1, y=y, colour=c, points=True) for n, run, c, y in curves]
    by_pass = [Line(name=n, x=run.epochs["passes"], y=y, colour=c, points=True) for n, run, c, y in curves]
    return element(
        "div",
        lines("validation accuracy by epoch", by_epoch, x="epoch", y="accuracy", unit="%"),
        lines("validation accuracy by physical passes", by_pass, x="passes", y="accuracy", unit="%"),
        class_="charts",
    )


def _differences(rows: list[dict[str, Any]]) -> Markup:
    sound = [row for row in rows if row["status"] != UNREADABLE]
    keys = [key for key in sound[0] if key not in FACTS and not key.startswith("baseline/")]
    if not keys:
        return element("p", "Nothing: the same experiment and seed.")
    body = [(key, *(plain(row.get(key)) for row in sound)) for key in keys]
    return table(
        ("", *(row["run"] for row in sound)), body, caption="Values of the configuration that are not the same"
    )


def _origins(rows: list[dict[str, Any]]) -> Markup:
    columns = ("run", "title", "seed", "created", "physnet_version", "git_commit", "weights_sha256", "damaged_rows")
    head = [name.replace("_", " ") for name in columns]
    body = [
        [plain(row[name])[: 16 if name == "weights_sha256" else None] for name in columns]
        for row in rows
        if row["status"] != UNREADABLE
    ]
    return table(head, body, caption="Origins")
