"""The words of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; argparse itself exits with 2 on a mistake, and with 0 after `--help` or `--version`."""
    parser = argparse.ArgumentParser(
        prog="physnet", description="Train deep networks whose layers are physical systems, without a model of them."
    )
    parser.add_argument("--version", action="version", version=f"physnet {version('physnet')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _train(commands)
    _show(commands)
    _controls(commands)
    _evaluate(commands)
    _predict(commands)
    _list(commands)
    _characterise(commands)
    _check(commands)
    return parser.parse_args(arguments)


# The commands are imported when they run, so that `--help` and a typing mistake don't wait for torch.


def _train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "train",
        help="train a network; without arguments, the embedded default",
        description="Train a network and record the run. Without arguments: digits through a simulated medium.",
    )
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="a TOML file, or the name of a shipped experiment"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        help="change a value of the experiment, for example rule.theta=4 or layers.*.skip=false; repeat as needed",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the seed, instead of the experiment's")
    _device(parser)
    parser.add_argument("--output", metavar="DIR", help="folder in which the run's own folder is made")
    parser.add_argument(
        "--controls",
        action="store_true",
        help="then run the controls: the same without the physics, for several seeds, and a verdict",
    )
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    parser.add_argument(
        "--characterise",
        action="store_true",
        help="first measure what each system does, and keep that in the run's folder (costs passes, which are counted)",
    )
    parser.set_defaults(command=_later("train", "train"))


def _show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("show", help="print what a run did", description="Print what a run did.")
    _run(parser)
    parser.add_argument("--plot", action="store_true", help="also write figures")
    parser.add_argument("--figures", metavar="DIR", help="where to; the run's folder `figures` when left out")
    parser.set_defaults(command=_later("runs", "show"))


def _controls(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "controls",
        help="compare a run with its controls",
        description="Train the network and its controls (physics zeroed, random projection, ...) with the same splits "
        "and seeds, and say whether the physics helped. Goes on where it was stopped.",
    )
    _run(parser)
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="seeds, instead of those the experiment declared; the report tells"
    )
    _device(parser)
    parser.add_argument("--figure", action="store_true", help="also write figures/controls.png in the run's folder")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    parser.set_defaults(command=_later("controls", "controls"))


def _evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a trained network again",
        description="Classify labelled samples with the weights of a run, through the systems of its experiment.",
    )
    _run(parser)
    parser.add_argument(
        "--dataset",
        default="test",
        metavar="test|validation|train|FILE",
        help="a split of the run's own data, or a labelled CSV, NPZ or HDF5 file with the same columns (default: test)",
    )
    _device(parser)
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    parser.set_defaults(command=_later("runs", "evaluate_run"))


def _predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "predict",
        help="classify new samples",
        description="Classify the samples of a file with a trained network; prints CSV: row, predicted class.",
    )
    _run(parser)
    parser.add_argument("file", metavar="FILE", help="CSV, NPZ or HDF5 with the columns that the run was trained on")
    _device(parser)
    parser.set_defaults(command=_later("runs", "predict"))


def _list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("list", help="list what an experiment can name", description="List what there is.")
    kinds = ("systems", "rules", "datasets", "encoders", "experiments")
    parser.add_argument("kind", choices=kinds, help="what to list")
    parser.set_defaults(command=_later("listing", "list_names"))


def _characterise(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "characterise",
        help="measure what a system does, before any training",
        description="Measure noise, linearity, mixing, rank, sign, memory, drift and saturation of a system, or of "
        "every system of an experiment, and say what a network can and can't learn through it.",
    )
    parser.add_argument(
        "target",
        metavar="SYSTEM|EXPERIMENT",
        help="a registered system, bench.py:name, or an experiment: a TOML file or the name of a shipped one",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="an option of the system, for example drives=64 or impairments.noise=0.02; for an experiment, as in train",
    )
    parser.add_argument("--passes", type=int, metavar="N", help="rows to play into each system (default: 2000)")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of drives and order (default: 0, or the experiment's)"
    )
    parser.add_argument("--output", default=".", metavar="DIR", help="folder for the files (default: the current one)")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    parser.add_argument("--plot", action="store_true", help="also write a figure")
    parser.set_defaults(command=_later("characterise", "characterise_target"))


def _check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="look through an experiment before a long run",
        description="Predict passes, hours, disk and memory of a run, check data and limits, and rehearse three steps.",
    )
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="a TOML file, or the name of a shipped experiment"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        help="change a value of the experiment, as in train",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the seed, instead of the experiment's")
    _device(parser)
    parser.add_argument("--output", metavar="DIR", help="folder in which the run's own folder would be made")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="rehearse on measured systems too: this drives them. Simulated ones are rehearsed in any case",
    )
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    parser.set_defaults(command=_later("check", "check"))


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a folder of runs: then the newest")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the digital part runs")


class _later:  # noqa: N801 - used as a function
    """A command that is imported when it is called."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, arguments: argparse.Namespace) -> int:
        import importlib

        return int(getattr(importlib.import_module(f"{__package__}.{self._module}"), self._name)(arguments))
