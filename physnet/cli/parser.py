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
    _evaluate(commands)
    _predict(commands)
    _list(commands)
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
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object on one line")
    parser.set_defaults(command=_later("train", "train"))


def _show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("show", help="print what a run did", description="Print what a run did.")
    _run(parser)
    parser.add_argument("--plot", action="store_true", help="also write figures")
    parser.add_argument("--figures", metavar="DIR", help="where to; the run's folder `figures` when left out")
    parser.set_defaults(command=_later("runs", "show"))


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
