"""Going on with a run that ended before it was done: from where, and whether everything is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contracts import SystemSpec
from .errors import InputError, SessionError
from .experiment import Experiment
from .experiment.overrides import BadOverride, apply
from .records import RunPlan, Snapshot
from .session import Run, checkpoint

# What decides which sample belongs to which step: to change it in the middle would train on some twice.
_FIXED = ("data", "seed", "training.batch_size", "training.schedule")
# What says where a run came from and not what it does.
_IGNORED = ("base", "source", "title", "output", "controls")
# Parts of a session without which nobody knows how it went on.
_NEEDED = ("configuration", "data", "all steps", "all epochs", "all attempts")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that is not as it was.

    Args:
        what: `code`, `bench` or `configuration`.
        name: Which part of it.
        before: What it was.
        now: What it is.
    """

    what: str
    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.name} was {self.before}, and is {self.now}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where a run goes on.

    Args:
        snapshot: Where it stood; None to begin again with step 0, for a run that ended before its first checkpoint.
        step: Steps done there.
        repeated: Passes of recorded steps that are lost, in earlier attempts or in this one.
        problems: Newer checkpoints that could not be read.
    """

    snapshot: Snapshot | None
    step: int
    repeated: int
    problems: tuple[str, ...]


def start_of(run: Run) -> Start:
    """Find the newest sound checkpoint of a run.

    Raises:
        SessionError: Steps were recorded, and no checkpoint is sound; or what the run was is damaged.
    """
    if lost_parts := [part for part in run.damaged_parts if part in _NEEDED]:
        raise SessionError(
            f"run {run.folder} can't be gone on with: damaged in its file are {', '.join(lost_parts)}. Copy it again "
            "from where it was written."
        )
    problems = []
    for path in reversed(run.checkpoints):
        try:
            found = checkpoint.load(path, run=run.identifier).snapshot
        except SessionError as error:
            problems.append(str(error))
            continue
        lost = run.steps["passes"][run.steps["step"] >= found.step]
        repeated = run.superseded_passes + int(lost.sum())
        return Start(snapshot=found, step=found.step, repeated=repeated, problems=tuple(problems))
    if problems:
        raise SessionError(f"run {run.folder} can't be gone on with: no checkpoint is sound. {' '.join(problems)}")
    lost = run.steps["passes"]
    return Start(snapshot=None, step=0, repeated=run.superseded_passes + int(lost.sum()), problems=())


def changed_experiment(run: Run, overrides: Sequence[str]) -> Experiment:
    """Return a run's experiment, with values changed as on the command line.

    Raises:
        ExperimentError: The recorded configuration can't be read, or a value is wrong.
        InputError: What can't change within a run was to be changed.
    """
    table = json.loads(json.dumps(run.configuration))
    for override in overrides:
        try:
            paths = apply(table, override)
        except BadOverride as error:
            raise InputError(f"--set {override}: {error}") from error
        for path in paths:
            name = ".".join(map(str, path))
            if any(name == fixed or name.startswith(f"{fixed}.") for fixed in _FIXED):
                raise InputError(f"--set {override}: {name} can't change within a run. Train anew instead.")
    return Experiment.from_dict(table)


def differences(run: Run, experiment: Experiment, plan: RunPlan, environment: Mapping[str, Any]) -> list[Difference]:
    """Compare a run with what it would go on with.

    Args:
        run: The run.
        experiment: The experiment to go on with.
        plan: What the run would do now.
        environment: Of this process, from `physnet.session.environment.describe`.

    Returns:
        Everything that is not as it was and could change the numbers.
    """
    then = run.environment
    found = [
        *_compare("code", {**_flat(then.get("versions", {})), "python": then.get("python")},
                  {**_flat(environment["versions"]), "python": environment["python"]}),
        *_compare("code", _flat(then.get("code", {})), dict(plan.code)),
        *_compare("bench", {"platform": then.get("platform")}, {"platform": environment["platform"]}),
        *_compare("bench", _flat(run.systems, known=True), _flat(_plain(plan.systems), known=True)),
    ]  # fmt: skip
    before = {name: value for name, value in run.configuration.items() if name not in _IGNORED}
    now = {name: value for name, value in experiment.as_dict().items() if name not in _IGNORED}
    return [*found, *_compare("configuration", _flat(before), _flat(_plain(now)))]


def _compare(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*before, *now]):
        if name in before and name in now and _same(before[name], now[name]):
            continue
        if name not in before and not before:
            continue  # an older run did not record any of it
        yield Difference(what=what, name=name, before=_said(before, name), now=_said(now, name))


def _said(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "not there"
    text = json.dumps(values[name], ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and np.isnan(one) and np.isnan(other):
        return True
    return bool(one == other)


def _plain(value: Any) -> Any:
    """Bring values to what JSON gives back."""
    from .session.layout import dump

    return json.loads(dump("the plan", value))


def other_instruments(run: Run, systems: Mapping[str, SystemSpec]) -> list[Difference]:
    """Compare who answered when a run was begun with who answers now that its systems are open.

    Args:
        run: The run.
        systems: Spec of each system, by its name in the run.
    """
    found: list[Difference] = []
    for name, spec in systems.items():
        identity = run.systems.get(name, {}).get("identity", {})
        before = identity.get("found", {}).get("instruments", {}) if isinstance(identity, Mapping) else {}
        now = _plain(spec.found.get("instruments", {}))
        found += _compare("bench", _flat(before, f"{name}."), _flat(now, f"{name}.")) if before else ()
    return found


def _flat(values: Mapping[str, Any], prefix: str = "", *, known: bool = False) -> dict[str, Any]:
    """Return values by the path to them; with `known`, without what a system finds out only when it is opened."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if known and name == "found" and prefix.endswith("identity."):
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.", known=known)
        else:
            flat[f"{prefix}{name}"] = value
    return flat
