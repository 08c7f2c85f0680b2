"""One thing is changed, the rest stays; what can't be trained is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.comparison.changes import Value, overrides_for, parse_values
from physnet.comparison.sensitivity import Sensitivity, as_plain
from physnet.comparison.sensitivity_report import report, write_figure
from physnet.controls.store import plain
from physnet.errors import InputError
from physnet.experiment import Experiment, load_experiment

Make = Callable[..., Sensitivity]


@pytest.fixture
def study(tiny: Path, tmp_path: Path) -> Make:
    """A study on the tiny experiment."""

    def make(of: str, values: str, *names: str, **more: Any) -> Sensitivity:
        fields: dict[str, Any] = {"seeds": 2, **more}
        chosen = names or ("mono_forward",)
        return Sensitivity(tiny, chosen, tmp_path / "out", of=of, values=parse_values(values), **fields)

    return make


def changed(tiny: Path, of: str, value: Value, *overrides: str) -> Experiment:
    base = load_experiment(tiny, overrides=overrides)
    return load_experiment(tiny, overrides=[*overrides, *overrides_for(base, of, value)])


def impairments(tiny: Path, of: str, value: Value, *overrides: str) -> dict[str, Any]:
    found = changed(tiny, of, value, *overrides).systems["lower"].impairments
    assert found is not None
    return found


def test_words_stand_for_options_of_the_impairments(tiny: Path) -> None:
    assert impairments(tiny, "noise", 0.3)["noise"] == 0.3
    assert impairments(tiny, "dead", 0.25)["dead"] == 0.25
    bits = impairments(tiny, "bits", 6)
    assert (bits["dac_bits"], bits["adc_bits"], bits["full_scale"], bits["noise"]) == (6, 6, "auto", 0.02)
    assert "adc_bits" not in impairments(tiny, "bits", "none", "systems.lower.impairments.dac_bits=4")
    assert impairments(tiny, "impairments.crosstalk", 0.1)["crosstalk"] == 0.1


def test_a_drift_is_an_angle_per_row_whatever_the_clock(tiny: Path) -> None:
    assert impairments(tiny, "drift", 1e-3)["rotation_drift"] == {"profile": "linear", "rate": 1e-3}
    slow = impairments(tiny, "drift", 1e-3, "systems.lower.impairments.seconds_per_pass=0.5")
    assert slow["rotation_drift"]["rate"] == 2e-3
    assert "rotation_drift" not in impairments(tiny, "drift", 0)


def test_any_key_can_be_changed(tiny: Path) -> None:
    assert changed(tiny, "nonlinearity", "tanh").layers[0].nonlinearity == "tanh"
    assert changed(tiny, "layers.0.width", 7).layers[0].width == 7
    assert changed(tiny, "layers.0.skip", "true").layers[0].skip is True


@pytest.mark.parametrize(("of", "value"), [("warmth", 1), ("noise", "much"), ("drift", "much"), ("bits", "few")])
def test_what_makes_no_sense_is_refused(tiny: Path, of: str, value: Value) -> None:
    with pytest.raises(InputError, match="must be"):
        list(overrides_for(load_experiment(tiny), of, value))


def test_values_are_numbers_where_they_can_be() -> None:
    assert parse_values("none, 8,0.5,1e-3") == ("none", 8, 0.5, 1e-3)
    for text in ("", "1", "1,1"):
        with pytest.raises(InputError, match="at least 2"):
            parse_values(text)


def test_noise_costs_accuracy_and_the_table_says_how_much(study: Make, tmp_path: Path) -> None:
    one = study("noise", "0,3", overrides=("training.epochs=10",))
    one.go()
    assert one.todo == ()
    found = one.bearing()
    change = found.changes["mono_forward", 3]
    # Three times the RMS: hardly anything but noise is left, while ten epochs on clean responses give above a half.
    assert change.difference < -0.2 and change.pairs == 2
    text = report(one, found)
    assert "mono_forward" in text and "change since the first value" in text
    assert max(map(len, text.splitlines())) <= 116
    rows = json.loads(json.dumps(plain(as_plain(one, found)), allow_nan=False))["rows"]
    assert [(row["rule"], row["value"]) for row in rows] == [("mono_forward", 0), ("mono_forward", 3)]
    assert write_figure(one, found, tmp_path / "new" / "noise.png").stat().st_size > 10_000


def test_it_goes_on_and_shares_what_is_the_same(study: Make) -> None:
    study("noise", "0.02,0.1").go()
    more = study("noise", "0.02,0.1,0.2", "mono_forward", "phyll")
    assert {task.name for task in more.todo if "mono" in task.name} == {"mono_forward noise=0.2"}


def test_a_rule_is_left_out_where_it_cannot_train_and_words_stand_side_by_side(study: Make, tmp_path: Path) -> None:
    one = study("nonlinearity", "none,relu", "mono_forward", "phyll", seeds=1)
    assert set(one.tasks) == {("mono_forward", "none"), ("mono_forward", "relu"), ("phyll", "none")}
    one.go()
    found = one.bearing()
    assert any(note.startswith("without phyll at relu: PhyLL hands the signed output up") for note in found.notes)
    assert write_figure(one, found, tmp_path / "words.png").stat().st_size > 10_000


def test_where_no_rule_can_train_that_is_bad_input(study: Make) -> None:
    with pytest.raises(InputError, match="signed output"):
        study("nonlinearity", "relu,tanh", "phyll")
    with pytest.raises(InputError, match="noise"):
        study("noise", "0,-1")
    with pytest.raises(InputError, match="no training of these rules"):
        study("noise", "0,1").bearing()
