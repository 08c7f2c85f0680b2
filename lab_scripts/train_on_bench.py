"""Train on a bench: the same script for real instruments and for simulated ones.

python lab_scripts/train_on_bench.py lab_scripts/benches/digits.toml --simulated

Without --simulated the bench of the experiment must be connected. A run that ends early, by Ctrl-C or a fault, goes on
with by: physnet resume RUN
"""

import argparse
import tomllib
from contextlib import ExitStack
from pathlib import Path

import physnet
from physnet.cli import main as physnet_command
from physnet.simulators.instruments.serve import Simulation


def main() -> int:
    """Serve the bench if asked to, look through the experiment, and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--simulated", action="store_true", help="serve the bench's simulated instruments meanwhile")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    overrides = [*arguments.overrides, f"systems.bench.simulated={str(arguments.simulated).lower()}"]
    experiment = physnet.load_experiment(arguments.experiment, overrides=overrides)
    bench = experiment.base / experiment.systems["bench"].options["file"]
    words = [word for override in overrides for word in ("--set", override)]
    with ExitStack() as stack:
        if arguments.simulated:
            stack.enter_context(Simulation(tomllib.loads(bench.read_text(encoding="utf-8")), base=bench.parent))
        return physnet_command(["check", str(arguments.experiment), *words]) or physnet_command(
            ["train", str(arguments.experiment), *words]
        )


if __name__ == "__main__":
    raise SystemExit(main())
