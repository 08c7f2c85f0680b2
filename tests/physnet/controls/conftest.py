"""Tiny experiments, and a run of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from physnet.assembly import build_network, build_rule, load_samples, plan_of, training_options
from physnet.experiment import Experiment, load_experiment
from physnet.session import Run, Session, open_run
from physnet.trainer import Trainer

TINY = """\
[data]
name = "digits"
train_limit = 150
test_limit = 40

[systems.lower]
type = "scattering"
responses = 20

[systems.lower.impairments]
noise = 0.02

[systems.upper]
type = "scattering"
responses = 20

[[layers]]
system = "lower"
width = 12

[[layers]]
system = "upper"
width = 12
skip = true

[rule]
name = "mono_forward"
learning_rate = 1e-2

[training]
epochs = 6
batch_size = 50

[controls]
repeats = 2
sample_rate = 8000.0  # taken for a sound, the digits can have every control
"""

Make = Callable[..., Experiment]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take ten times as long on layers this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make the tiny experiment, with overrides."""

    def tiny(*overrides: str) -> Experiment:
        path = tmp_path / "tiny.toml"
        path.write_text(TINY, encoding="utf-8")
        return load_experiment(path, overrides=overrides)

    return tiny


@pytest.fixture
def trained(make: Make, tmp_path: Path) -> Callable[..., Run]:
    """Train the tiny experiment, with overrides, and open the run."""

    def train(*overrides: str) -> Run:
        experiment = make(*overrides)
        samples, rule = load_samples(experiment), build_rule(experiment)
        network = build_network(experiment, samples.frame, rule)
        trainer = Trainer(
            network,
            rule,
            samples.splits,
            classes=len(samples.frame.classes),
            options=training_options(experiment),
            seed=experiment.seed,
        )
        with Session.create(tmp_path / "run", plan_of(experiment, samples, trainer)) as session, network:
            trainer.recorder = session
            trainer.run()
        return open_run(session.folder)

    return train
