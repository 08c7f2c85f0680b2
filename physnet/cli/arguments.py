"""What several commands take, written once: each is a parser without a command of its own, a parent of theirs."""

from __future__ import annotations

import argparse


def _shared() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(add_help=False)


def experiment() -> argparse.ArgumentParser:
    """Which experiment, and what to change in it."""
    parser = _shared()
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="a TOML file, or the name of a shipped experiment"
    )
    overrides(
        parser,
        "change a value of the experiment, for example rule.theta=4 or layers.*.skip=false; repeat as needed",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the seed, instead of the experiment's")
    parser.add_argument("--output", metavar="DIR", help="folder in which the run's own folder is made")
    return parser


def compared() -> argparse.ArgumentParser:
    """Which experiment and rules, for how many passes, and how many trainings at once."""
    parser = _shared()
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="a TOML file, or the name of a shipped experiment"
    )
    parser.add_argument("--rules", required=True, metavar="A,B,...", help="names of rules, or all")
    overrides(
        parser,
        "change a value of the experiment, or an option of a rule: rules.phyll.theta=4; repeat as needed",
    )
    parser.add_argument(
        "--budget-passes", type=int, metavar="N", help="training passes of every rule, instead of the same epochs"
    )
    parser.add_argument("--validate-every", type=int, metavar="N", help="training passes between two validations")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at once, simulated systems only")
    parser.add_argument("--output", metavar="DIR", help="folder of the comparison, in which it goes on")
    return parser


def seeds() -> argparse.ArgumentParser:
    """How many seeds, and which is the first."""
    parser = _shared()
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds of every training (default: 5)")
    parser.add_argument("--seed", type=int, metavar="N", help="the first of them, instead of the experiment's")
    return parser


def run() -> argparse.ArgumentParser:
    """Which run."""
    parser = _shared()
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a folder of runs: then the newest")
    return parser


def device() -> argparse.ArgumentParser:
    """Where the digital part runs."""
    parser = _shared()
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the digital part runs")
    return parser


def as_json() -> argparse.ArgumentParser:
    """Whether to end with one JSON object."""
    parser = _shared()
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    return parser


class later:  # noqa: N801 - used as a function
    """A command that is imported when it is called.

    Args:
        module: Module of this package.
        name: Function in it.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Run it, and return its exit code."""
        import importlib

        return int(getattr(importlib.import_module(f"{__package__}.{self._module}"), self._name)(arguments))


def overrides(parser: argparse.ArgumentParser, about: str, *, metavar: str = "SECTION.KEY=VALUE") -> None:
    """Add `--set`."""
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar=metavar, help=about)
