"""The shipped experiment with sound: what it says is what it does, and it learns within seconds."""

from __future__ import annotations

from pathlib import Path

from physnet.assembly import build_network, build_rule, load_samples
from physnet.controls import plan
from physnet.controls.training import train_one
from physnet.experiment import load_experiment


def test_the_cavity_hears_the_sound_and_its_neighbour_has_as_many_bands(data_dir: Path) -> None:
    experiment = load_experiment("vowel-audio")
    samples = load_samples(experiment)
    network = build_network(experiment, samples.frame, build_rule(experiment))
    spec = network.layers[0].port.spec
    assert (spec.drive.axes, spec.drive.channels, spec.response.channels) == (("sample",), 4096, 120)
    assert spec.cost.per_pass == 0.256
    options = experiment.systems["cavity"].options
    settings = experiment.controls
    assert (settings.sample_rate, settings.band_slices) == (options["audio_rate"], options["slices"])
    assert "band_energies" in plan(experiment).run


def test_a_short_training_learns_and_so_does_its_neighbour(data_dir: Path) -> None:
    hurried = ("training.epochs=1", "rule.learning_rate=5e-3", "systems.cavity.responses=30", "data.train_limit=90")
    experiment = load_experiment("vowel-audio", overrides=[*hurried, "data.test_limit=30"])
    samples = load_samples(experiment)
    for name in ("network", "band_energies"):
        found = train_one(name, experiment, samples)
        assert found.passes == (210 if name == "network" else 0)  # 90 to standardise, 90 to train, 30 to test
        assert found.test_accuracy > 0.6  # three classes; the whole experiment reaches 92 % and 95 %
