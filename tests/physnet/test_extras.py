"""What controls and a characterisation add: counted for every seed as it is split, and system by system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import physnet
from physnet.assembly import build_network, build_rule, load_samples
from physnet.characterisation import DEFAULT, characterise
from physnet.controls import NETWORK, plan
from physnet.controls.training import train_one
from physnet.experiment import Experiment
from physnet.extras import of_characterisation, of_controls
from physnet.forecast import StandIn

BENCH = """\
import numpy as np, physnet
from dataclasses import replace

class Bench:
    def __init__(self, drives: int, responses: int = 11, max_batch: int = 7):
        matrix = np.random.default_rng(0).normal(size=(drives, responses))
        self._inner = physnet.system(lambda drive: np.abs(drive @ matrix), drives=drives, responses=responses)
        self.spec = replace(self._inner.spec, max_batch=max_batch)
        self.calls = 0
    def __enter__(self): return self
    def __exit__(self, *error): return None
    def measure(self, drive, passes):
        self.calls += 1
        return self._inner.measure(drive, passes)
"""


def experiment(folder: Path, **controls: Any) -> Experiment:
    """Two layers on benches that take seven rows at a time; groups of unlike size, so that seeds split unlike."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(12), np.arange(8, 20))
    y = random.integers(0, 3, len(group))
    np.savez(folder / "table.npz", x=random.random((len(group), 5)) + y[:, None], y=y, group=group)
    (folder / "bench.py").write_text(BENCH)
    lines = ["[data]", 'name = "table"', 'path = "table.npz"', 'group = "group"', 'split = "group"', "[controls]"]
    lines += [f"{name} = {value}" for name, value in controls.items()]
    for name in ("lower", "upper"):
        lines += [f"[systems.{name}]", 'type = "bench.py:Bench"', "[[layers]]", f'system = "{name}"', "width = 6"]
    lines += ["[rule]", 'name = "mono_forward"', "[training]", "epochs = 2", "batch_size = 20", "evaluation_batch = 16"]
    path = folder / "experiment.toml"
    path.write_text("\n".join(lines))
    return physnet.load_experiment(str(path))


def test_every_seed_is_counted_as_it_is_split(tmp_path: Path) -> None:
    asked = experiment(tmp_path, repeats=3)
    found = of_controls(asked)
    took: dict[str, int] = {}
    sizes = set()
    for seed in range(3):
        one = asked.model_copy(update={"seed": seed})
        samples = load_samples(one)
        sizes.add((len(samples.splits.train), len(samples.splits.test)))
        for name in (NETWORK, *plan(asked).run):
            if (name, seed) != (NETWORK, 0):
                took[name] = took.get(name, 0) + train_one(name, one, samples).passes
    assert len(sizes) > 1
    assert found.passes == {name: passes for name, passes in took.items() if passes}
    assert found.total == sum(found.systems.values()) == sum(took.values())
    # All but the top layer's passes of the network and of `responses_shuffled` are the lower system's.
    assert found.systems["lower"] - found.systems["upper"] == took["linear_readout"] + took["one_layer_less"]
    assert found.trainings == 3 * len(took) - 1
    assert found.networks == found.trainings - 3 * 2  # but for the two regressions
    assert found.limited == ""
    # Seven rows a call, at the most.
    assert all(found.calls[name] >= rows / 7 for name, rows in found.systems.items())


def test_what_may_end_a_run_early_is_said_of_its_controls(tmp_path: Path) -> None:
    asked = experiment(tmp_path, repeats=1)
    training = asked.training.model_copy(update={"budget_passes": 500})
    assert "500" in of_controls(asked.model_copy(update={"training": training})).limited


def test_a_characterisation_takes_the_passes_and_calls_that_are_counted(tmp_path: Path) -> None:
    asked = experiment(tmp_path)
    network = build_network(asked, load_samples(asked).frame, build_rule(asked))
    ports = dict(zip(("lower", "upper"), network.ports, strict=True))
    found = of_characterisation(asked, ports)
    assert found.passes == {"lower": DEFAULT, "upper": DEFAULT}
    for name, port in ports.items():
        stand_in = StandIn(port.spec)
        characterise(stand_in)
        assert stand_in.calls == found.calls[name]


def test_systems_that_no_drive_is_allowed_for_are_refused(tmp_path: Path) -> None:
    asked = experiment(tmp_path)
    network = build_network(asked, load_samples(asked).frame, build_rule(asked))
    (port, _) = network.ports
    port.spec = physnet.SystemSpec(
        name="never",
        kind="simulated",
        drive=physnet.DriveSpec(shape=(4,), low=1.0, high=2.0, max_rms=0.5),
        response=port.spec.response,
    )
    with pytest.raises(physnet.SpecError, match="must allow the drive at rest"):
        of_characterisation(asked, {"lower": port})
