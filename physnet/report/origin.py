"""Where a run comes from: attempts, data, environment, configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..session import Run
from ..session.comparison import flat
from ..session.frames import columns_of
from .markup import element, facts, folded, join, table
from .section import Section, clock, plain
from .toml import as_toml

_REBUILT = ("frame", "columns")
"""Parts of the description of the data that a network is built again from: long, and no reading matter."""


def attempts(run: Run) -> Section | None:
    """Return when the run was started and resumed, where that was recorded."""
    found = columns_of(run, "attempts")
    count = len(found.get("attempt", ()))
    if not count:
        return None
    named = [name for name in ("version", "commit", "platform", "changes") if name in found]
    rows = [
        (
            int(found["attempt"][n]),
            int(found["step"][n]) if "step" in found else "-",
            clock(float(found["time"][n])) if "time" in found else "-",
            *(str(found[name][n])[:300] or "-" for name in named),
        )
        for n in range(count)
    ]
    resumed = int((found["attempt"] > 0).sum())
    times = "once" if resumed == 1 else f"{resumed} times"
    said = f"The run was resumed {times}." if resumed else "The run was never resumed."
    if run.superseded_steps:
        said += (
            f" {run.superseded_steps} steps ({run.superseded_passes} passes) were lost when it stopped, and done again "
            "or to be done again: they are not in the curves."
        )
    head = ("attempt", "began at step", "time", *("what changed" if name == "changes" else name for name in named))
    body = join(element("p", said), table(head, rows, caption="Attempts", numeric=(1,)))
    return Section(name="attempts", title="Attempts", body=body)


def environment(run: Run) -> Section:
    """Return the data, and where and with what the run was made."""
    data = flat({key: value for key, value in run.data.items() if key not in _REBUILT})
    about = flat(run.environment)
    body = join(
        element("h3", "Data"),
        facts((key, plain(value)) for key, value in data.items()),
        element("h3", "Environment"),
        facts(
            [
                ("folder", str(run.folder)),
                ("began", run.created),
                ("ended", run.ended or "no end was written"),
                ("physnet", run.version),
                ("seed", run.seed),
                *((key, plain(value)) for key, value in about.items()),
            ]
        ),
        facts([("damaged rows", f"{run.damaged_rows}, left out of everything above")]) if run.damaged_rows else None,
    )
    return Section(name="environment", title="Data and environment", body=body)


def configuration(run: Run) -> Section:
    """Return the whole experiment, defaults filled in."""
    # `source` and `base` say where the file was: they are no part of an experiment file.
    asked: Mapping[str, Any] = {key: v for key, v in run.configuration.items() if key not in ("base", "source")}
    where = run.configuration.get("source")
    body = join(
        element("p", f"The whole experiment, defaults filled in{f', from {where}' if where else ''}.", class_="soft"),
        folded("show", element("pre", element("code", as_toml(asked)), tabindex="0")),
    )
    return Section(name="configuration", title="Configuration", body=body)
