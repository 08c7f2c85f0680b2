"""Checks the simulated media against theory, prints the table, and writes `docs/validation` with its figures.

It stands here and not beside its pages because numbers come from commands in `benchmarks/`, and because the cases are
no text: the tests import and demand the same functions (`tests/simulators/test_validation.py`), so that a page can't
show a claim that the tests don't hold. It takes half a minute. The exit code is 1 if a claim does not hold.

    python benchmarks/validation.py [--pages FOLDER] [--only PAGE]
"""

from __future__ import annotations

import physnet  # isort: skip  # noqa: F401  # before torch: docs/decisions/0006

import argparse
import datetime
import importlib.metadata
import inspect
import math
import platform
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from validation_cases import MEDIA, Medium
from validation_cases.guards import GUARDS, Guard, message
from validation_cases.outcome import Case, Check, NotHereError, Outcome, heading, title

PAGES = Path(__file__).parents[1] / "docs" / "validation"
COMMAND = "python benchmarks/validation.py"
Found = Outcome | NotHereError
STYLE = {
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "lines.linewidth": 1.2, "lines.markersize": 4, "figure.dpi": 110,
}  # fmt: skip


def number(value: float, *, resolved: float = math.inf) -> str:
    """Return a number with three digits, or as many as show a difference of `resolved`."""
    if value == round(value) and abs(value) < 1e6 and resolved == math.inf:
        return f"{value:.0f}"
    digits = 3 if not value or resolved == math.inf else 2 + math.ceil(math.log10(max(10, abs(value) / resolved)))
    return f"{value:.{min(digits, 12)}g}"


def row(name: str, check: Check) -> str:
    """Return a line of the table."""
    unit = f" {check.unit}" if check.unit else ""
    verdict = "holds" if check.holds else "**FAILS**"
    measured = number(check.measured, resolved=check.tolerance if check.claim and check.tolerance else math.inf)
    return (
        f"| {name} | {check.compared} | {number(check.claim)}{unit} | {measured}{unit} "
        f"| {number(check.tolerance)}{unit} | {check.because} | {verdict} |"
    )


def rows(name: str, found: Found) -> list[str]:
    """Return the lines of a case."""
    if isinstance(found, NotHereError):
        return [f"| {name} | | | | | | not run: {found} |"]
    return [row(name if first == 0 else "", check) for first, check in enumerate(found.checks)]


HEAD = [
    "| case | what is compared | claim | measured | tolerance | where it comes from | verdict |",
    "|---|---|---|---|---|---|---|",
]


def where() -> str:
    """Return date, computer and versions, a line."""
    names = ("numpy", "scipy", "torch", "numba")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return (
        f"{datetime.date.today().isoformat()}, physnet {importlib.metadata.version('physnet')}, Python "
        f"{platform.python_version()}, {', '.join(versions)}, {platform.machine()}, {gpu}"
    )


def run(case: Case) -> Found:
    """Compute a case, or learn why it can't be computed here."""
    try:
        return case()
    except NotHereError as reason:
        return reason


def draw(found: Outcome, path: Path) -> None:
    """Write the figure of a case."""
    assert found.draw is not None
    with plt.rc_context(STYLE):  # type: ignore[arg-type]
        figure, axes = plt.subplots(figsize=(5.4, 2.9), layout="constrained")
        found.draw(axes)
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def write_page(medium: Medium, results: list[tuple[Case, Found]], folder: Path, line: str) -> None:
    """Write a medium's page and its figures."""
    lines = [f"# {medium.title}", "", medium.about, "", f"All numbers come from `{COMMAND}`: {line}.", ""]
    for case, found in results:
        lines += [f"## {heading(case)}", "", inspect.getdoc(case) or "", "", *HEAD]
        lines += [*rows(title(case), found), ""]
        if isinstance(found, Outcome) and found.draw is not None:
            figure = f"{medium.page}-{case.__name__.replace('_', '-')}.png"
            draw(found, folder / figure)
            lines += [f"![{found.caption}]({figure})", "", found.caption, ""]
    (folder / f"{medium.page}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def write_guards(messages: list[tuple[Guard, str]], folder: Path, line: str) -> None:
    """Write the page of what solvers watch."""
    lines = [
        "# What the solvers watch", "",
        "A number that is certainly wrong is refused, before or with the row it belongs to. One that is only coarse is",
        "told by a `NumericsWarning`, which `warnings.simplefilter('error', NumericsWarning)` turns into an error.",
        "Either message has the number and the way out. `numerics` of a system has the numbers for drives of your",
        "choice: of the acoustic cavity, the multimode fibre, the nonlinear waveguide, the electronic node and the",
        "diode network.", "",
        "A scattering medium and a Mach-Zehnder mesh take no steps: their matrices are exact, and a camera flags full",
        "pixels. The programmable cavity is solved exactly as well; only its wall stands for something continuous.", "",
        f"What was said when `{COMMAND}` went beyond each limit: {line}.", "",
        "| medium | what is watched | fine up to | beyond | message |", "|---|---|---|---|---|",
        *(
            f"| {guard.medium} | {guard.number} | {guard.fine} | {guard.act} | {told or '**silent**'} |"
            for guard, told in messages
        ),
    ]  # fmt: skip
    (folder / "numerics.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _left_out(all_results: dict[str, list[tuple[Case, Found]]]) -> str:
    """Return a sentence on the cases that were not run."""
    missing = [(case, found) for results in all_results.values() for case, found in results]
    names = [f"{title(case)} ({found})" for case, found in missing if isinstance(found, NotHereError)]
    return f"Not run: {', '.join(names)}." if names else "None was left out."


def summary(all_results: dict[str, list[tuple[Case, Found]]], line: str) -> str:
    """Return the index: what is here, the orders, and the whole table."""
    checks = [c for results in all_results.values() for _, f in results if isinstance(f, Outcome) for c in f.checks]
    held = sum(check.holds for check in checks)
    lines = [
        "# Validation of the simulated media", "",
        "Each medium is compared with what theory says of it: closed forms, conserved quantities, symmetries, and the",
        "order of accuracy that its code claims. A tolerance is derived, not chosen to fit. The tests demand the same",
        "cases: `tests/simulators/test_validation.py`, with the functions in `benchmarks/validation_cases`.", "",
        f"`{COMMAND}` computes everything below and writes these pages: {line}.", "",
        f"{held} of {len(checks)} comparisons hold. {_left_out(all_results)}", "",
        "A simulation that agrees with its equation says nothing of a bench: that takes calibration, and controls.", "",
        "## Pages", "",
        *(f"- [{medium.title}]({medium.page}.md): {', '.join(title(c) for c in medium.cases)}" for medium in MEDIA),
        "- [What the solvers watch](numerics.md): numbers that are refused or warned of, with the messages", "",
        "## Claimed orders of accuracy", "",
        "| medium | what | claim | measured |", "|---|---|---|---|",
    ]  # fmt: skip
    for medium in MEDIA:
        found = [f for _, f in all_results[medium.page] if isinstance(f, Outcome)]
        orders = [check for outcome in found for check in outcome.checks if check.is_order]
        lines += [f"| {medium.title} | {c.compared} | {number(c.claim)} | {c.measured:.2f} |" for c in orders]
    lines += ["", "## All comparisons", ""]
    for medium in MEDIA:
        lines += [f"### {medium.title}", "", *HEAD]
        lines += [text for case, found in all_results[medium.page] for text in rows(title(case), found)] + [""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=Path, default=PAGES, help="folder to write to")
    parser.add_argument(
        "--only", choices=[medium.page for medium in MEDIA], help="print one page's table, write nothing"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # small tensors
    line, all_results = where(), {}
    print("\n".join([line, "", *HEAD]), flush=True)
    for medium in MEDIA:
        if arguments.only not in (None, medium.page):
            continue
        results = []
        for case in medium.cases:
            began = time.perf_counter()
            results.append((case, run(case)))
            print("\n".join(rows(title(case), results[-1][1])), f" ({time.perf_counter() - began:.1f} s)", flush=True)
        all_results[medium.page] = results
    if arguments.only is None:
        arguments.pages.mkdir(parents=True, exist_ok=True)
        for old in arguments.pages.glob("*.png"):
            old.unlink()
        messages = [(guard, message(guard)) for guard in GUARDS]
        write_guards(messages, arguments.pages, line)
        if not all(told for _, told in messages):
            print("a solver is **silent**, see numerics.md")
            return 1
        for medium in MEDIA:
            write_page(medium, all_results[medium.page], arguments.pages, line)
        (arguments.pages / "README.md").write_text(summary(all_results, line), encoding="utf-8")
    outcomes = [found for results in all_results.values() for _, found in results if isinstance(found, Outcome)]
    return 0 if all(check.holds for found in outcomes for check in found.checks) else 1


if __name__ == "__main__":
    sys.exit(main())
