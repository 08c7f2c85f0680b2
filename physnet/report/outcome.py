"""What a run came to: the headline, the controls, the confusion matrix."""

from __future__ import annotations

import math

import numpy as np

from ..controls import FILE, Study
from ..controls.report import interval as difference
from ..controls.report import sentence
from ..controls.store import ControlsFile
from ..errors import InputError
from ..session import Run
from ..session.show import duration, missing
from . import heatmap
from .axes import number
from .markup import Markup, element, facts, join, table
from .section import Section, badge, interval, kinds, percent

_ENDINGS = {
    "done": "done",
    "fault": "stopped by a fault",
    "interrupted": "interrupted",
    "terminated": "terminated",
    "killed": "killed",
    "running": "still going on",
}
KINDS = {
    "simulated": "SIMULATED. No instrument was measured for this result: it says what a model of the physics did.",
    "replay": "REPLAY. The responses were recorded earlier: nothing was measured for this result.",
    "twin": "TWIN. The responses come from a model fitted to a bench: nothing was measured for this result.",
}


def head(run: Run) -> Markup:
    """Return the title, what must be known before any number, and the numbers that people ask for first."""
    of_what = " and ".join(kinds(run))
    rest = f"; physics {of_what}; seed {run.seed}; began {run.created}; {run.folder.name}"
    return join(
        element("h1", run.title),
        element("p", _ENDINGS.get(run.status, run.status), rest, class_="soft"),
        *_warnings(run),
        element("div", *_tiles(run), class_="tiles"),
        facts(_passes(run)),
    )


def _warnings(run: Run) -> list[Markup]:
    found, made = kinds(run), []
    for kind, layers in found.items():
        if kind == "measured":
            continue
        text = KINDS.get(kind, f"{kind.upper()}. The kind of these systems is not known to be measured.")
        if len(found) > 1:
            text = f"{kind.upper()} in part: {', '.join(layers)} of {len(run.layers)} layers."
        strong, _, said = text.partition(" ")
        made.append(banner(strong, said))
    if run.status != "done":
        made.append(banner(f"{_ENDINGS.get(run.status, run.status).upper()}.", run.message))
    if parts := missing(run):
        made.append(banner("MISSING:", "; ".join(parts)))
    return made


def banner(strong: str, said: str) -> Markup:
    """Return what must not be overlooked."""
    return element("p", element("strong", strong), " ", said, class_="banner", role="note")


def _tiles(run: Run) -> list[Markup]:
    result, validated = run.result, run.epochs["validation_accuracy"]
    tiles = []
    mark = badge(" and ".join(kinds(run)))
    if result is not None and math.isfinite(result.test_accuracy):
        count = int(result.confusion.sum()) if result.confusion.size and result.confusion.min() >= 0 else 0
        said = "number of samples not recorded"
        if count > 0:
            low, high = interval(result.test_accuracy, count)
            said = f"n = {count}; 95 % interval of these samples {100 * low:.1f} to {100 * high:.1f} %"
        tiles.append(_tile("Test accuracy", percent(result.test_accuracy), said, mark))
        each = ", ".join(f"{name} {percent(a)}" for name, a in zip(run.layers, result.layer_accuracy, strict=False))
        if each:
            tiles.append(
                _tile("Each layer alone", percent(max(result.layer_accuracy, default=math.nan)), f"best; {each}", mark)
            )
    else:
        tiles.append(_tile("Test accuracy", "not measured", "no test accuracy in this session", mark, word=True))
    if result is not None and math.isfinite(result.validation_accuracy):
        kept = "weights kept: " if run.status == "done" else "best: "
        tiles.append(
            _tile("Validation accuracy", percent(result.validation_accuracy), f"{kept}epoch {result.kept_epoch + 1}")
        )
    elif np.isfinite(validated).any():
        best = int(np.nanargmax(validated))
        said = f"best, epoch {int(run.epochs['epoch'][best]) + 1}"
        tiles.append(_tile("Validation accuracy", percent(float(validated[best])), said))
    for name, value in (result.baselines if result else {}).items():
        tiles.append(_tile("Without any physics", percent(value), f"{name.replace('_', ' ')}, same test split"))
    steps = run.steps
    passes = result.physical_passes if result else int(steps["passes"].sum())
    of = "every row presented, retries included" if result else "in the recorded steps"
    tiles.append(_tile("Physical passes", number(passes), of))
    seconds = result.seconds if result else float(np.nansum(steps["seconds"]))
    said = f"{number(len(steps['step']))} steps, {len(run.epochs['epoch'])} epochs"
    tiles.append(_tile("Duration", duration(seconds), said if result else f"of the recorded steps: {said}"))
    return tiles


def _tile(name: str, big: str, small: str, mark: Markup | None = None, *, word: bool = False) -> Markup:
    return element(
        "div",
        element("p", name, " " if mark else None, mark, class_="soft"),
        element("p", big, class_="big word" if word else "big"),
        element("p", small, class_="soft"),
        class_="tile",
    )


def _passes(run: Run) -> list[tuple[str, str]]:
    pairs = []
    if run.result is not None and run.result.passes:
        spent = ", ".join(f"{name} {number(count)}" for name, count in run.result.passes.items() if count)
        pairs.append(("passes by purpose", spent or "none"))
    try:
        kept = run.weights()
        pairs.append(("weights", f"{kept.source}, sha256 {kept.sha256}"))
    except InputError:
        pairs.append(("weights", "none"))
    if run.message:
        pairs.append(("ended because", run.message))
    return pairs


def controls(run: Run) -> Section | None:
    """Return the controls and the verdict, where they were run."""
    if not (run.folder / FILE).exists():
        return None
    try:
        study = Study(run)
        findings = study.findings()
    except InputError as error:
        return Section(name="controls", title="Controls", body=join(banner("NO VERDICT.", str(error)), _bare(run)))
    verdict = findings.verdict
    compared = {one.control: one for one in verdict.comparisons}
    rows = []
    for name, found in findings.trainings.items():
        values = 100 * np.array([one.test_accuracy for one in found])
        spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
        apart = difference(compared[name]) if name in compared else ""
        passes = sum(one.passes for one in found)
        rows.append((name.replace("_", " "), f"{values.mean():.2f}{spread}", len(values), apart, number(passes)))
    share = f"{100 * study.settings.confidence:g} %"
    columns = ("", "test accuracy / % (mean ± sd)", "seeds", f"network - control / points [{share} interval]", "passes")
    tone = {"helps": "good", "hurts": "bad"}.get(verdict.outcome, "warn")
    first, _, reasons = sentence(study, verdict).partition(". ")
    body = join(
        element("p", element("strong", first, class_=tone), ". ", reasons),
        table(columns, rows, caption="Test accuracy of the network and of its controls", numeric=(1, 2, 3, 4)),
        *(element("p", note, class_="soft") for note in findings.notes),
    )
    return Section(name="controls", title="Controls and verdict", body=body)


def _bare(run: Run) -> Markup | None:
    """The trainings as they are in the file, where they can't be judged."""
    try:
        trainings = ControlsFile(run.folder).trainings.values()
    except InputError:
        return None
    rows = [(one.control.replace("_", " "), one.seed, percent(one.test_accuracy), one.passes) for one in trainings]
    return table(("control", "seed", "test accuracy", "passes"), rows, caption="Trainings done", numeric=(1, 2, 3))


def confusion(run: Run) -> Section | None:
    """Return the confusion matrix, where the test split was measured."""
    result = run.result
    if result is None or not result.confusion.size or result.confusion.min() < 0 or not result.confusion.any():
        return None
    return Section(name="confusion", title="Confusion matrix", body=heatmap.confusion(result.confusion, run.classes))
