"""`physnet report`: one run as a page, or several side by side."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from ..printable import printable
from ..report import compare, report, write
from ..session import Run, open_run
from ..session.comparison import UNREADABLE, compared, opened
from .runs import newest_run

NAME = "report.html"


def write_report(arguments: argparse.Namespace) -> int:
    """Write a page about a run, or about several, and say where it is."""
    paths = [Path(name) for name in arguments.runs]
    if len(paths) == 1:
        run = open_run(newest_run(paths[0]))
        rows = compared({run.folder: run})
        page = write(report(run), Path(arguments.output) if arguments.output else run.folder / NAME)
    else:
        runs = opened(paths)
        rows = compared(runs)
        print(printable(_table(rows)))
        page = write(compare(runs), Path(arguments.output or NAME))
        if not all(isinstance(run, Run) for run in runs.values()):
            print("some runs can't be read; the page says why")
    print(f"report        {page}")
    if arguments.json:
        plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
        print(json.dumps({"report": str(page), "runs": plain}))
    return 0


def _table(rows: list[dict[str, Any]]) -> str:
    width = max(len(row["run"]) for row in rows)
    lines = [f"{'run':<{width}}  {'status':<12}{'physics':<12}{'test':>9}{'validation':>12}{'passes':>12}"]
    for row in rows:
        if row["status"] == UNREADABLE:
            lines.append(f"{row['run']:<{width}}  {UNREADABLE:<12}{row['message']}")
            continue
        test, validation = (_percent(row[name]) for name in ("test_accuracy", "validation_accuracy"))
        ends = f"{row['status']:<12}{row['physics']:<12}"
        lines.append(f"{row['run']:<{width}}  {ends}{test:>9}{validation:>12}{row['physical_passes']:>12}")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if math.isfinite(value) else "-"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
