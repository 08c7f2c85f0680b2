"""What every simulated system says of itself, and what a network made of it reaches on digits: docs/systems.md.

The network is the same for all, and no system is tuned: two layers of 200 responses and 100 outputs without skip, 2 %
noise, 8-bit converters, 340 training samples, five optimiser steps on each response. Raw regression sees the samples
alone, the read-out what the first layer measures. It is the code of `physnet compare`: a training that is done is never
done again, so the command goes on where it was stopped. With --into the tables replace those between their markers in a
document.

    python benchmarks/systems.py [--into docs/systems.md] [--facts] [--seeds 3] [--output FOLDER]
"""

from __future__ import annotations

import physnet  # isort: skip  # noqa: F401  # before torch: docs/decisions/0006

import argparse
import datetime
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from physnet import registry
from physnet.comparison.carrying import carry_out
from physnet.comparison.contestants import contestants
from physnet.comparison.rules import RuleComparison
from physnet.comparison.store import Outcome
from physnet.comparison.tasks import Task
from physnet.contracts import Differentiable, PhysicalSystem, Stateful, SystemSpec, Tunable
from physnet.controls.statistics import Comparison, compare

RULES = ("phyll", "mono_forward")
BASELINES = ("linear_readout", "raw_logistic_regression")
OVERRIDES = (
    "layers.*.width=100",
    "layers.*.skip=false",
    "data.train_limit=400",
    "data.test_limit=300",
    "data.validation_fraction=0.15",
    "training={epochs=10, batch_size=32}",
    "rules.mono_forward.inner_steps=5",
    'rules.mono_forward.decay="cosine"',
)
EVERY = 3000
"""Training passes between two validations."""
IMPAIRMENTS = 'impairments={noise=0.02, dac_bits=8, adc_bits=8, full_scale="auto"}'
_PAIRS = {
    "read-out - raw": ("linear_readout", "raw_logistic_regression"),
    "`mono_forward` - raw": ("mono_forward", "raw_logistic_regression"),
    "`phyll` - raw": ("phyll", "raw_logistic_regression"),
    "`mono_forward` - read-out": ("mono_forward", "linear_readout"),
}
"""What is compared with what."""
MARKERS = {"facts": "facts of the specs", "measured": "measured by benchmarks/systems.py"}


def simulated() -> tuple[str, ...]:
    """Return the names of the systems that physnet computes."""
    entries = registry.installed("physnet.systems")
    return tuple(sorted(entry.name for entry in entries if entry.value.startswith("physnet.simulators.")))


def facts() -> Iterator[str]:
    """Yield the table of what the systems say of themselves, with 64 drives, 100 responses and defaults."""
    yield "| system | drive of a channel | response | nonlinear | repeats | protocols | s per pass, write |"
    yield "|---|---|---|---|---|---|---|"
    for name in simulated():
        system: PhysicalSystem = registry.find("systems", name)(drives=64, responses=100)
        spec = system.spec
        yield (
            f"| [`{name}`](#{name}) | {_drive(spec)} | {_response(spec)} | "
            f"{', '.join(sorted(spec.nonlinearity)) or 'nowhere'} | {_repeats(spec)} | {_protocols(system)} | "
            f"{spec.cost.per_pass:.2g}{f', {spec.cost.parameter_write:.2g}' if spec.cost.parameter_write else ''} |"
        )


def _drive(spec: SystemSpec) -> str:
    drive = spec.drive
    low, high = f"{float(drive.low_array[0]):.3g}", f"{float(drive.high_array[0]):.3g}"
    span = f"{low} or {high}" if drive.domain == "binary" else f"{low} to {high}"
    return f"{span}{_unit(drive.unit)}, {drive.domain.replace('_', '-')}, {drive.dtype}"


def _response(spec: SystemSpec) -> str:
    return f"{'complex' if spec.response.complex else 'real'}{_unit(spec.response.unit)}, {spec.response.dtype}"


def _unit(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"


def _repeats(spec: SystemSpec) -> str:
    if spec.stateful:
        return "stateful"
    return "repeatable" if spec.repeatable else "reproducible" if spec.reproducible else "no"


def _protocols(system: PhysicalSystem) -> str:
    kinds = {"Differentiable": Differentiable, "Stateful": Stateful, "Tunable": Tunable}
    found = [name for name, kind in kinds.items() if isinstance(system, kind)]
    if isinstance(system, Tunable) and not system.parameters:
        found[found.index("Tunable")] = "Tunable by option"
    return ", ".join(found) or "none"


def comparison(system: str, *, seeds: int, folder: Path) -> RuleComparison:
    """Return the trainings of a system, done or not."""
    section = f'{{type="{system}", responses=200, {IMPAIRMENTS}}}'
    own = [f"systems.{name}={section}" for name in ("lower", "upper")]
    experiments = contestants("digits-scattering", RULES, overrides=[*own, *OVERRIDES])
    return RuleComparison(experiments, folder, seeds=seeds, every=EVERY)


def train(system: str, *, seeds: int, folder: Path) -> dict[str, dict[int, Outcome]]:
    """Do what is left to do, and return all that came of it."""
    found = comparison(system, seeds=seeds, folder=folder)
    tasks = [task for task in found.todo if task.kind == "rule" or task.name in BASELINES]

    def tell(task: Task, outcome: Outcome, left: int) -> None:
        print(
            f"{system}: {task.name}, seed {task.seed}: {outcome.test_accuracy:.2%}, {outcome.seconds:.1f} s; "
            f"{left} left",
            flush=True,
        )

    carry_out(tasks, found.store, jobs=1, tell=tell)
    table = found.findings()
    return {**table.rules, **{name: dict(table.baselines[name]) for name in BASELINES}}


def measured(results: Mapping[str, Mapping[str, Mapping[int, Outcome]]], *, seeds: int) -> Iterator[str]:
    """Yield the tables of what was reached, and what it took."""
    raw = list(next(iter(results.values()))["raw_logistic_regression"].values())
    yield (
        f"{datetime.date.today().isoformat()}, {_machine()}. Seeds 0 to {seeds - 1}; {raw[0].train_rows} training and "
        f"{raw[0].test_rows} test samples, a split and a medium for each seed."
    )
    yield ""
    yield f"Raw logistic regression, without any physics: {_spread(raw)} %."
    yield ""
    yield "| system | read-out only / % | `mono_forward` / % | `phyll` / % |"
    yield "|---|---|---|---|"
    for system, found in results.items():
        cells = [_spread(list(found[name].values())) for name in ("linear_readout", "mono_forward", "phyll")]
        yield f"| `{system}` | {' | '.join(cells)} |"
    yield ""
    yield "Paired differences in points, with the intervals of 95 % of `physnet compare`, each for itself:"
    yield ""
    yield f"| system | {' | '.join(_PAIRS)} |"
    yield f"|---|{'---|' * len(_PAIRS)}"
    differences = {
        system: {title: _difference(found, *pair) for title, pair in _PAIRS.items()}
        for system, found in results.items()
    }
    for system, row in differences.items():
        yield f"| `{system}` | {' | '.join(map(_interval, row.values()))} |"
    yield ""
    for title in _PAIRS:
        better = [f"`{system}`" for system, row in differences.items() if row[title].low > 0]
        worse = [f"`{system}`" for system, row in differences.items() if row[title].high < 0]
        rest = "the others are" if better or worse else "all are"
        yield (
            f"- {title}: better with {', '.join(better) or 'none'}, worse with {', '.join(worse) or 'none'}; "
            f"{rest} not told apart."
        )
    yield ""
    yield "| | passes to train | passes to classify a sample |"
    yield "|---|---|---|"
    for name, shown in (("linear_readout", "read-out only"), ("mono_forward", "`mono_forward`"), ("phyll", "`phyll`")):
        every = [one for found in results.values() for one in found[name].values()]
        train, classify = (
            {getattr(one, what) for one in every} for what in ("training_passes", "passes_per_inference")
        )
        assert len(train) == len(classify) == 1, name  # the network is the same for all systems
        yield f"| {shown} | {train.pop()} | {classify.pop()} |"
    yield ""
    yield "| system | seconds of a training with `mono_forward` | with `phyll` |"
    yield "|---|---|---|"
    for system, found in results.items():
        seconds = [np.median([one.seconds for one in found[name].values()]) for name in ("mono_forward", "phyll")]
        yield f"| `{system}` | {seconds[0]:.0f} | {seconds[1]:.0f} |"


def _spread(found: list[Outcome]) -> str:
    values = 100 * np.array([one.test_accuracy for one in found])
    return f"{values.mean():.1f}" + (f" +- {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def _difference(found: Mapping[str, Mapping[int, Outcome]], first: str, second: str) -> Comparison:
    pairs = sorted(set(found[first]) & set(found[second]))
    one = found[first][pairs[0]]
    return compare(
        second,
        *([found[name][seed].test_accuracy for seed in pairs] for name in (first, second)),
        train_rows=one.train_rows,
        test_rows=one.test_rows,
        margin=0.0,
        confidence=0.95,
    )


def _interval(one: Comparison) -> str:
    return f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def _machine() -> str:
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"
    threads = torch.get_num_threads()
    return f"{versions}, {platform.machine()}, {threads} of {os.cpu_count()} cores, which had other work besides"


def into(path: Path, tables: Mapping[str, str]) -> None:
    """Put tables between their markers in a document."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {MARKERS[name]} -->\n", f"<!-- end of {MARKERS[name]} -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise SystemExit(f"{path} must hold the lines {begin.strip()} and {end}.")
        text = f"{before}{begin}{table}\n{end}{after}"
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, help="document whose tables are written again")
    parser.add_argument("--facts", action="store_true", help="train nothing: only what the systems say of themselves")
    parser.add_argument("--systems", nargs="*", default=simulated(), metavar="SYSTEM", help="all when left out")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0; two at least")
    parser.add_argument("--output", type=Path, default=Path("runs/systems"), help="where trainings are kept")
    arguments = parser.parse_args()
    tables = {"facts": "\n".join(facts())}
    if not arguments.facts:
        results = {name: train(name, seeds=arguments.seeds, folder=arguments.output) for name in arguments.systems}
        tables["measured"] = "\n".join(measured(results, seeds=arguments.seeds))
    print("\n\n".join(tables.values()))
    if arguments.into:
        into(arguments.into, tables)


if __name__ == "__main__":
    main()
