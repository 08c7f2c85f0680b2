"""A run, or several, as one HTML page that needs nothing but itself: no network, no script, no picture file."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from ..errors import SessionError
from ..session import Run
from . import course, origin, outcome, physics
from .comparison import comparison
from .markup import Markup, element, join, style
from .section import Section, kinds
from .style import POLICY, SHEET


def report(run: Run) -> str:
    """Return a run as an HTML page.

    Args:
        run: The run, however it ended.
    """
    sections = [
        course.learning(run),
        outcome.controls(run),
        outcome.confusion(run),
        course.time(run),
        course.faults(run),
        course.drift(run),
        physics.responses(run),
        physics.characterisations(run),
        physics.instruments(run),
        origin.attempts(run),
        origin.environment(run),
        origin.configuration(run),
    ]
    title = f"{run.title} ({' and '.join(kinds(run))}, {run.status})"
    return page(title, outcome.head(run), [section for section in sections if section is not None])


def compare(runs: Mapping[Path, Run | SessionError]) -> str:
    """Return several runs as one HTML page: a table, their validation curves, and what differs in what was asked.

    Args:
        runs: As `physnet.session.comparison.opened` returns them.
    """
    head, sections = comparison(runs)
    return page(f"Comparison of {len(runs)} runs", head, sections)


def write(text: str, path: Path) -> Path:
    """Write a page. It appears whole or not at all.

    Returns:
        `path`.

    Raises:
        SessionError: It can't be written.
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise SessionError(f"report {path} can't be written: {error}. Choose another file with --output.") from error
    return path


def page(title: str, head: Markup, sections: Iterable[Section]) -> str:
    """Return a whole HTML document."""
    sections = list(sections)
    links = (element("li", element("a", section.title, href=f"#{section.name}")) for section in sections)
    made = f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %z}"
    document = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", title),
            style(SHEET),
        ),
        element(
            "body",
            element("header", head, element("nav", element("ul", *links), aria_label="Sections")),
            element("main", *(section.markup for section in sections)),
            element("footer", element("p", f"Made by physnet {version('physnet')}, {made}, from the session alone.")),
        ),
        lang="en",
    )
    return str(join(Markup("<!doctype html>\n"), document, Markup("\n")))
