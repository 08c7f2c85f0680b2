"""`physnet train --dry-run`: what would be sent to the instruments, printed; what answers is simulated."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..allowed_drives import random_drives
from ..assembly import Samples, build_network, build_rule, load_samples
from ..errors import InputError
from ..experiment import Experiment
from ..layer import PhysicalLayer
from ..network import Network
from ..passes import Purpose, pass_numbers
from ..rules.base import Batch, LocalRule

_ROWS = 2
# By name: the core imports neither drivers nor simulators.
_MAKE = "physnet.drivers.benches.make"
_CONFIG = "physnet.drivers.benches.config"
_WATCHED = "physnet.drivers.watched"
_SERVE = "physnet.simulators.instruments.serve"


def dry_run(experiment: Experiment) -> int:
    """Print what opening each bench of an experiment, its first rows, and leaving it would send.

    The drivers are the real ones. They talk to simulated instruments, on free ports of this computer: no real line is
    opened, and nothing is recorded.

    Raises:
        InputError: The experiment names no bench.
    """
    benches = {name: section for name, section in experiment.systems.items() if section.type == "bench"}
    if not benches:
        raise InputError("--dry-run needs a system of type 'bench', and this experiment has none. See physnet check.")
    samples, rule = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    lowest: dict[str, PhysicalLayer] = {}
    for used, layer in zip(experiment.layers, network, strict=True):
        lowest.setdefault(used.system, layer)
    for name, section in benches.items():
        path = experiment.base / Path(str(section.options["file"]))
        layer = lowest[name]
        if layer is network.layers[0]:
            drive = _first_rows(samples, rule, network, layer).numpy()
        else:  # what the layer below would send up is not known yet
            drive = np.asarray(random_drives(layer.port.spec, rows=_ROWS, seed=experiment.seed))
        _print(name, path, drive)
    return 0


def _print(name: str, path: Path, drive_ND: NDArray[Any]) -> None:
    make, config, watched, serve = (importlib.import_module(part) for part in (_MAKE, _CONFIG, _WATCHED, _SERVE))
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    table["simulation"] = {**table.get("simulation", {}), "faults": {}}

    def look_on(role: str, line: Any) -> Any:
        return watched.WatchedTransport(line, lambda text: print(f"{role:<9} > {text}"))

    with serve.Simulation(table, resources="ephemeral", base=path.parent) as simulation:
        bench = make.build(config.load_bench(path), simulated=True, resources=simulation.resources, wrap=look_on)
        print(f"# {name}: {path}. Simulated instruments answer; nothing else is opened.")
        print("# opening: identify all, then make safe, then set up and calibrate")
        with bench:
            print(f"# {len(drive_ND)} rows")
            bench.measure(drive_ND, pass_numbers(Purpose.CALIBRATE, rows=len(drive_ND)))
            print("# leaving")


def _first_rows(samples: Samples, rule: LocalRule, network: Network, layer: PhysicalLayer) -> torch.Tensor:
    """Encode the first training samples as the first step would."""
    part = samples.splits.train
    batch = Batch(
        features_NI=torch.from_numpy(np.ascontiguousarray(part.x[:_ROWS])).to(layer.weight_FO),
        labels_N=torch.from_numpy(part.y[:_ROWS]),
        seed=0,
        epoch=0,
        step=0,
        progress=0.0,
    )
    inputs = rule.training_rows(network, batch)[:_ROWS]
    return layer.encoder(inputs if layer.before is None else layer.before(inputs), layer.port.spec.drive).drive
