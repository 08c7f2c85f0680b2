"""Each control does what it says, through the same trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from physnet.assembly import load_samples
from physnet.baselines import raw_logistic_regression
from physnet.controls import CONTROLS, NETWORK, Training, plan
from physnet.controls.ports import ControlPort
from physnet.controls.training import train_one
from physnet.errors import ExperimentError, Stopped
from physnet.experiment import Experiment
from physnet.layer import PhysicalLayer
from physnet.passes import Purpose, presented_for
from physnet.port import Port
from physnet.simulators.scattering import ScatteringMedium

Make = Callable[..., Experiment]


def once(control: str, experiment: Experiment) -> Training:
    return train_one(control, experiment, load_samples(experiment))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[PhysicalLayer, torch.Tensor, torch.Tensor]]:
    """Layer, inputs and features of every presentation."""
    kept: list[Any] = []
    present = PhysicalLayer.present

    def listening(layer: PhysicalLayer, inputs: torch.Tensor, passes: Any, **options: Any) -> Any:
        presented = present(layer, inputs, passes, **options)
        kept.append((layer, inputs, presented.features_NF))
        return presented

    monkeypatch.setattr(PhysicalLayer, "present", listening)
    return kept


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Pass numbers of every row that a scattering medium was given."""
    kept: list[np.ndarray] = []
    measure = ScatteringMedium.measure

    def listening(medium: ScatteringMedium, drive: Any, passes: Any) -> Any:
        kept.append(passes)
        return measure(medium, drive, passes)

    monkeypatch.setattr(ScatteringMedium, "measure", listening)
    return kept


def test_zeroed_physics_gives_zero_features_and_keeps_the_skip(make: Make, seen: list[Any]) -> None:
    found = once("physics_zeroed", make())
    assert found.passes == 0 and seen
    for layer, inputs, features in seen:
        assert not features[:, : layer.responses].any()
        if layer.skip:
            torch.testing.assert_close(features[:, layer.responses :], inputs)
    # Without a skip in the lowest layer nothing is left of a sample: ten classes, each with a tenth of the rows.
    assert found.test_accuracy == pytest.approx(0.1, abs=0.06)


def test_skip_alone_gives_every_layer_a_skip(make: Make, seen: list[Any]) -> None:
    assert once("skip_alone", make()).passes == 0
    assert {(layer.name, layer.skip) for layer, _, _ in seen} == {("layer0", True), ("layer1", True)}
    assert not any(features[:, : layer.responses].any() for layer, _, features in seen)


def test_one_layer_less_leaves_the_top_layer_out(make: Make, seen: list[Any], measured: list[np.ndarray]) -> None:
    found = once("one_layer_less", make())
    assert {layer.name for layer, _, _ in seen} == {"layer0"}
    passes = np.concatenate(measured)
    probes = passes < 1 << 30  # construction measures keyed drives to set converters: they are no run's passes
    assert found.passes == np.count_nonzero(~probes) > 0
    assert set(passes[~probes] >> 59) == {Purpose.CONTROL}


def test_a_projection_never_touches_the_physics(make: Make, measured: list[np.ndarray]) -> None:
    found = once("random_projection", make())
    assert found.passes == 0
    assert not measured
    assert found.test_accuracy > 0.3  # ten classes: it does learn


def test_band_energies_never_touch_the_physics(make: Make, measured: list[np.ndarray], seen: list[Any]) -> None:
    found = once("band_energies", make("controls.band_slices=4"))
    assert found.passes == 0
    assert not measured
    names = {layer.name: layer.port.spec.name for layer, _, _ in seen}
    assert names == {"layer0": "lower (band energies)", "layer1": "upper (random projection)"}
    assert found.test_accuracy > 0.3  # ten classes: it does learn


EVERYTHING = (
    "systems.lower.impairments={noise=0.02, photoelectrons=200.0, flicker={rms=0.01, lowest=0.1}, gain_noise=0.02, "
    "gain_drift={rate=1e-3}, monitor='append', monitor_noise=0.01, rotation_drift={rate=1e-3}, crosstalk=0.05, "
    "change={epoch=3, share=0.1}, memory=0.05, ac_time=5.0, dead=0.05, stuck=0.05, dac_bits=8, adc_bits=8, "
    "full_scale='auto'}"
)


@pytest.mark.parametrize("control", ["random_projection", "band_energies"])
def test_a_stand_in_is_trained_in_everything_that_its_system_wears(make: Make, seen: list[Any], control: str) -> None:
    experiment = make(EVERYTHING)
    found = once(control, experiment)
    specs = {layer.name: layer.port.spec for layer, _, _ in seen}
    worn = experiment.systems["lower"].impairments
    assert worn is not None and set(worn) <= set(specs["layer0"].identity["impairments"])
    assert specs["layer0"].stateful and specs["layer0"].response.shape == (20 + 1,)
    assert (found.passes, found.assumed) == (0, ())
    assert found.test_accuracy > 0.2  # ten classes: it does learn, for all that


def test_the_linear_readout_is_of_the_system_that_the_network_is_tested_on(
    make: Make, measured: list[np.ndarray]
) -> None:
    once("linear_readout", make("systems.lower.impairments={change={epoch=3}}"))
    assert set(presented_for(np.concatenate(measured))) == {Purpose.TEST}  # after any change in training
    assert len(set(np.concatenate(measured))) == sum(map(len, measured))


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("controls={repeats=2}",), "the drive is not declared a sound"),
        (('layers.0.before="random"',), "a digital map stands between"),
    ],
)
def test_band_energies_are_left_out_where_there_is_no_sound(
    make: Make, overrides: tuple[str, ...], reason: str
) -> None:
    assert reason in plan(make(*overrides)).left_out["band_energies"]


def test_shuffled_responses_reach_the_digital_part_in_another_order(make: Make, measured: list[np.ndarray]) -> None:
    found = once("responses_shuffled", make("layers.*.skip=false"))
    assert set(np.concatenate(measured) >> 59) == {Purpose.CONTROL}
    assert found.passes == sum(map(len, measured))
    assert found.test_accuracy < 0.3


def test_the_linear_readout_never_sees_a_label(make: Make, seen: list[Any], measured: list[np.ndarray]) -> None:
    experiment = make('rule={name="phyll", inner_steps=1}')
    samples = load_samples(experiment)
    found = train_one("linear_readout", experiment, samples)
    assert found.passes == sum(map(len, measured)) == len(samples.splits.train) + len(samples.splits.test)
    assert {layer.name for layer, _, _ in seen} == {"layer0"}
    for _, inputs, _ in seen:
        assert not inputs[:, samples.frame.features :].any()  # the label slots
    assert found.test_accuracy > 0.5


def test_the_network_itself_is_trained_as_ever(make: Make, measured: list[np.ndarray]) -> None:
    once(NETWORK, make())
    assert Purpose.CONTROL not in set(np.concatenate(measured) >> 59)


def test_raw_logistic_regression_is_the_baseline(make: Make) -> None:
    experiment = make()
    samples = load_samples(experiment)
    found = train_one("raw_logistic_regression", experiment, samples)
    assert (found.test_accuracy, found.passes) == (raw_logistic_regression(samples.splits), 0)
    assert (found.train_rows, found.test_rows) == (len(samples.splits.train), len(samples.splits.test))


@pytest.mark.parametrize("control", ["random_projection", "responses_shuffled", "linear_readout"])
def test_a_seed_gives_the_same_accuracy_again_and_another_seed_another_split(make: Make, control: str) -> None:
    first, again, other = (once(control, make(f"seed={seed}")) for seed in (3, 3, 4))
    assert (first.test_accuracy, first.test_sha256) == (again.test_accuracy, again.test_sha256)
    assert first.test_sha256 != other.test_sha256


@pytest.mark.parametrize("control", ["responses_shuffled", "linear_readout"])
def test_a_control_can_be_stopped(make: Make, control: str) -> None:
    def stop() -> None:
        raise Stopped(2)

    experiment = make()
    with pytest.raises(Stopped):
        train_one(control, experiment, load_samples(experiment), interrupted=stop)


def test_control_ports_keep_seed_and_retries(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Port, ControlPort]] = []
    begin = ControlPort.__init__

    def listening(self: ControlPort, port: Port, *words: Any, **options: Any) -> None:
        begin(self, port, *words, **options)
        made.append((port, self))

    monkeypatch.setattr(ControlPort, "__init__", listening)
    once("responses_shuffled", make("training.retries=5"))
    assert len(made) == 2
    assert all((port.seed, 5, port.dtype) == (own.seed, own.retries, own.dtype) for port, own in made)


def test_a_plan_leaves_out_what_does_not_apply_and_says_why(make: Make) -> None:
    assert plan(make()).run == tuple(CONTROLS)
    assert plan(make("layers.*.skip=false")).left_out == {"skip_alone": "the network has no skip"}
    assert "the same as physics_zeroed" in plan(make("layers.*.skip=true")).left_out["skip_alone"]
    one = 'layers=[{system="lower", width=9}]'
    lone = plan(make(one, 'systems={lower={type="scattering", responses=20}}', "training.batch_size=1"))
    assert set(lone.left_out) == {"one_layer_less", "skip_alone", "responses_shuffled"}
    asked = plan(make('controls.which=["random_projection", "physics_zeroed"]'))
    assert asked.run == ("physics_zeroed", "random_projection")


def test_a_plan_of_nothing_is_refused(make: Make) -> None:
    with pytest.raises(ExperimentError, match=r"skip_alone \(the network has no skip\)"):
        plan(make("layers.*.skip=false", 'controls.which=["skip_alone"]'))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("controls.margin=1.0", "controls.margin"),
        ("controls.margin=-0.1", "controls.margin"),
        ("controls.repeats=0", "controls.repeats"),
        ("controls.confidence=1.0", "controls.confidence"),
        ('controls.which=["luck"]', "controls.which"),
        ("controls.which=[]", "controls.which"),
        ('controls.detector="eye"', "controls.detector"),
    ],
)
def test_mistakes_in_the_section_are_told_by_name(make: Make, override: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        make(override)
