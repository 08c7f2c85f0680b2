"""The words of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from . import system_parsers
from .arguments import as_json, compared, device, experiment, later, overrides, run, seeds


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; argparse itself exits with 2 on a mistake, and with 0 after `--help` or `--version`."""
    parser = argparse.ArgumentParser(
        prog="physnet", description="Train deep networks whose layers are physical systems, without a model of them."
    )
    parser.add_argument("--version", action="version", version=f"physnet {version('physnet')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _train(commands)
    _resume(commands)
    _recover(commands)
    _watch(commands)
    _show(commands)
    _report(commands)
    _controls(commands)
    _compare(commands)
    _tune(commands)
    _sensitivity(commands)
    _evaluate(commands)
    _predict(commands)
    _list(commands)
    system_parsers.characterise(commands)
    system_parsers.view(commands)
    _check(commands)
    _twin(commands)
    system_parsers.devices(commands)
    system_parsers.simulate(commands)
    return parser.parse_args(arguments)


# The commands are imported when they run, so that `--help` and a typing mistake don't wait for torch.


def _train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "train",
        help="train a network; without arguments, the embedded default",
        description="Train a network and record the run. Without arguments: digits through a simulated medium.",
        parents=[experiment(), device(), as_json()],
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="then run the controls: the same without the physics, for several seeds, and a verdict",
    )
    parser.add_argument(
        "--characterise",
        action="store_true",
        help="first measure what each system does, and keep that in the run's folder (costs passes, which are counted)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only print what would be sent to the instruments for the first rows; nothing is opened, nothing recorded",
    )
    parser.set_defaults(command=later("train", "train"))


def _resume(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "resume",
        help="go on with a run that was killed or stopped",
        description="Go on with a run that ended early, from its newest checkpoint: on a reproducible system to the "
        "same weights, to the bit. Refused where code, bench or configuration are not as they were.",
        parents=[run(), device(), as_json()],
    )
    overrides(parser, "change a value of the run's experiment; needs --accept-changes")
    parser.add_argument(
        "--accept-changes", action="store_true", help="go on though something changed, and record what did"
    )
    parser.set_defaults(command=later("resume", "resume"))


def _recover(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "recover",
        help="repair what a kill, a full disk or a cut copy left of a run",
        description="Look through a run's folder, repair it, and say exactly what was lost. Nothing is destroyed: "
        "originals are kept beside what was repaired. Brings sessions of an older physnet up to date.",
        parents=[run(), as_json()],
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.set_defaults(command=later("recover", "recover_run"))


def _watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "watch",
        help="look at a run while it goes on; pause it, end it",
        description="Show a run that goes on: progress, curves, time left, faults. Keys pause it with its outputs "
        "safe, let it continue, finish or interrupt it. Leaving the view (q, Ctrl-C) leaves the run alone.",
    )
    parser.add_argument(
        "runs", nargs="?", default="runs", metavar="DIR", help="a run's folder, or a folder of runs (default: runs)"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="print how it stands, and end")
    how.add_argument("--json", action="store_true", help="print how it stands as one JSON object, and end")
    how.add_argument("--list", action="store_true", help="list the runs that go on")
    parser.set_defaults(command=later("watch", "watch"))


def _show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "show", help="print what a run did", description="Print what a run did.", parents=[run()]
    )
    parser.add_argument("--plot", action="store_true", help="also write figures")
    parser.add_argument("--figures", metavar="DIR", help="where to; the run's folder `figures` when left out")
    parser.set_defaults(command=later("runs", "show"))


def _report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "report",
        help="write a run, or several side by side, as a page",
        description="Write all that is known of a run as one HTML page that needs nothing but itself; several runs are "
        "compared.",
        parents=[as_json()],
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run's folder, or a folder of runs: then the newest; several are compared",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the page (default: report.html in the run's folder; of several runs, in the current folder)",
    )
    parser.set_defaults(command=later("report", "write_report"))


def _controls(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "controls",
        help="compare a run with its controls",
        description="Train the network and its controls (physics zeroed, random projection, ...) with the same splits "
        "and seeds, and say whether the physics helped. Goes on where it was stopped.",
        parents=[run(), device(), as_json()],
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="seeds, instead of those the experiment declared; the report tells"
    )
    parser.add_argument("--figure", action="store_true", help="also write figures/controls.png in the run's folder")
    parser.set_defaults(command=later("controls", "controls"))


def _compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "compare",
        help="say which rule trains a system best",
        description="Train an experiment's network by several rules with the same splits, systems and seeds, beside "
        "digital baselines: accuracies with a verdict, passes, digital work, time. Goes on where it was stopped.",
        parents=[compared(), seeds(), device(), as_json()],
    )
    parser.add_argument("--options", metavar="FILE", help="options of the rules, as physnet tune writes them (TOML)")
    parser.add_argument(
        "--target",
        type=float,
        metavar="PERCENT",
        help="validation accuracy whose training passes are told (default: 95 %% of the best that was reached)",
    )
    parser.add_argument(
        "--baselines",
        metavar="A,B,...",
        help="what stands beside the rules: raw_logistic_regression, linear_readout, digital_network (the default), "
        "backpropagation, physics_aware, in_silico; all, or none",
    )
    parser.set_defaults(command=later("compare", "compare"))


def _tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "tune",
        help="choose the options of rules on validation samples",
        description="Try options of each rule, as many for each, on the validation split only, and write the best to a "
        "file that physnet compare reads. Goes on where it was stopped.",
        parents=[compared(), device(), as_json()],
    )
    parser.add_argument("--trials", type=int, required=True, metavar="N", help="trials of each rule")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the trials (default: 0)")
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="seeds of each trial, whose mean counts (default: 1)"
    )
    parser.add_argument(
        "--sampler",
        choices=("tpe", "random"),
        default="tpe",
        help="draw options where they were good, or anywhere (default: tpe)",
    )
    parser.set_defaults(command=later("tune", "tune"))


def _sensitivity(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sensitivity",
        help="say what rules bear: noise, bits, drift, dead channels, nonlinearity",
        description="Train with each rule and each value of one setting, the rest as it is: accuracies, their changes, "
        "and a figure. Goes on where it was stopped.",
        parents=[compared(), seeds(), device(), as_json()],
    )
    parser.add_argument(
        "--of",
        required=True,
        metavar="WHAT",
        help="noise, bits, drift (rad per row), dead, nonlinearity, impairments.KEY, or any key of the experiment",
    )
    parser.add_argument(
        "--values", required=True, metavar="A,B,...", help="its values; the others are compared with the first"
    )
    parser.add_argument("--options", metavar="FILE", help="options of the rules, as physnet tune writes them (TOML)")
    parser.set_defaults(command=later("sensitivity", "sensitivity"))


def _evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a trained network again",
        description="Classify labelled samples with the weights of a run, through the systems of its experiment.",
        parents=[run(), device(), as_json()],
    )
    parser.add_argument(
        "--dataset",
        default="test",
        metavar="test|validation|train|FILE",
        help="a split of the run's own data, or a labelled CSV, NPZ or HDF5 file with the same columns (default: test)",
    )
    parser.set_defaults(command=later("runs", "evaluate_run"))


def _predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "predict",
        help="classify new samples",
        description="Classify the samples of a file with a trained network; prints CSV: row, predicted class.",
        parents=[run(), device()],
    )
    parser.add_argument("file", metavar="FILE", help="CSV, NPZ or HDF5 with the columns that the run was trained on")
    parser.set_defaults(command=later("runs", "predict"))


def _list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("list", help="list what an experiment can name", description="List what there is.")
    kinds = ("systems", "instruments", "rules", "datasets", "encoders", "experiments")
    parser.add_argument("kind", choices=kinds, help="what to list")
    parser.set_defaults(command=later("listing", "list_names"))


def _check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="look through an experiment before a long run",
        description="Predict passes, hours, disk and memory of a run, check data and limits, and rehearse three steps.",
        parents=[experiment(), device(), as_json()],
    )
    parser.add_argument("--controls", action="store_true", help="count in what train --controls would add")
    parser.add_argument("--characterise", action="store_true", help="count in what train --characterise would add")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="rehearse on measured systems too: this drives them. Simulated ones are rehearsed in any case",
    )
    parser.set_defaults(command=later("check", "check"))


def _twin(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "twin",
        help="fit a digital stand-in to the raw data of a run",
        description="Fit digital stand-ins for a system to the raw drives and responses of a run (session.raw), and "
        "say how far off they are on drives they were not fitted to. An experiment uses one as a system, type 'twin'.",
        parents=[run(), as_json()],
    )
    parser.add_argument("--system", metavar="NAME", help="system of the run; not needed where it has one only")
    kinds = ("linear", "coherent", "mlp", "all")
    parser.add_argument(
        "--kind",
        choices=kinds,
        default="all",
        help="linear map, complex matrix with a detector, small network (default: all)",
    )
    parser.add_argument(
        "--detector",
        choices=("auto", "modulus", "intensity"),
        default="auto",
        help="what the detector behind a coherent matrix takes (default: whichever fits better)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="file, instead of twin-SYSTEM-KIND.npz in the run")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the fit (default: 0)")
    parser.set_defaults(command=later("twin", "twin"))
