"""The words of the commands that are about systems and instruments themselves."""

from __future__ import annotations

import argparse

from .arguments import as_json, later, overrides


def characterise(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `physnet characterise`."""
    parser = commands.add_parser(
        "characterise",
        help="measure what a system does, before any training",
        description="Measure noise, linearity, mixing, rank, sign, memory, drift and saturation of a system, or of "
        "every system of an experiment or a run, and say what a network can and can't learn through it.",
        parents=[as_json()],
    )
    parser.add_argument(
        "target",
        metavar="SYSTEM|EXPERIMENT|RUN",
        help="a registered system, bench.py:name, an experiment (a TOML file or the name of a shipped one), or a run's "
        "folder",
    )
    overrides(
        parser,
        "an option of the system, for example drives=64 or impairments.noise=0.02; for an experiment, as in train",
        metavar="KEY=VALUE",
    )
    parser.add_argument("--passes", type=int, metavar="N", help="rows to play into each system (default: 2000)")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of drives and order (default: 0, or the experiment's)"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder for the files (default: the run's own, else the current one)"
    )
    parser.add_argument("--plot", action="store_true", help="also write a figure")
    parser.set_defaults(command=later("characterise", "characterise_target"))


def view(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `physnet view`."""
    parser = commands.add_parser(
        "view",
        help="write figures and a movie of a system: its parts, its field, its response",
        description="Write geometry.png, field.png, field.gif and response.png of a simulated system for one drive. A "
        "system without a field to show has its response drawn only.",
        parents=[as_json()],
    )
    parser.add_argument(
        "target",
        metavar="SYSTEM|EXPERIMENT",
        help="a registered system, bench.py:name, or an experiment (a TOML file or the name of a shipped one)",
    )
    parser.add_argument("--system", metavar="NAME", help="which system of the experiment; not needed where it has one")
    overrides(
        parser,
        "an option of the system, for example drives=64; for an experiment, as in train",
        metavar="KEY=VALUE",
    )
    parser.add_argument(
        "--drive",
        default="random",
        metavar="random|one|FILE.npy",
        help="what is played: spread over the declared range, a single channel, or rows of a file (default: random)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the drives (default: 0, or the experiment's)")
    parser.add_argument("-o", "--output", metavar="DIR", default="view", help="folder for the files (default: view)")
    parser.add_argument(
        "--movie",
        choices=("gif", "mp4", "none"),
        default="gif",
        help="movie of the field; mp4 needs ffmpeg, which the extra movies brings (default: gif)",
    )
    parser.add_argument("--yes", action="store_true", help="a measured system may be driven")
    parser.set_defaults(command=later("view", "view_target"))


def devices(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `physnet devices`."""
    parser = commands.add_parser(
        "devices",
        help="list ports and instruments that this computer has",
        description="List serial ports, VISA resources, sound devices and drivers. Nothing is opened, unless asked for "
        "with --identify: opening a port can reset a board or disturb a colleague.",
        parents=[as_json()],
    )
    parser.add_argument(
        "--identify",
        nargs="*",
        default=None,
        metavar="RESOURCE",
        help="open VISA resources and ask who they are: those named, or all; serial ports only when named",
    )
    parser.set_defaults(command=later("devices", "devices"))


def simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `physnet simulate`."""
    parser = commands.add_parser(
        "simulate",
        help="serve simulated instruments in the place of a bench",
        description="Serve the instruments of a bench file, simulated, with a simulated medium between them, where its "
        "table simulation.resources says. Drivers and transports that talk to them are the real ones. Ends with "
        "Ctrl-C.",
    )
    parser.add_argument("bench", metavar="BENCH", help="a bench file (TOML)")
    parser.set_defaults(command=later("simulate", "simulate"))
