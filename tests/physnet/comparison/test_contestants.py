"""Which options a rule takes part with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from physnet import registry
from physnet.comparison.contestants import Options, contestants, read_options
from physnet.errors import ExperimentError, InputError


def options_of(tiny: Path, *names: str, **more: Any) -> dict[str, Any]:
    return {name: one.rule.as_dict() for name, one in contestants(tiny, names, **more).items()}


def test_a_rule_has_its_defaults_unless_the_experiment_is_its_own(tiny: Path) -> None:
    found = options_of(tiny, "mono_forward", "phyll")
    assert found["mono_forward"]["learning_rate"] == 1e-2  # the experiment's
    assert found["phyll"]["learning_rate"] == 5e-4 and found["phyll"]["name"] == "phyll"


def test_a_file_goes_over_these_and_the_command_line_over_the_file(tiny: Path) -> None:
    options = Options(rules={"phyll": {"theta": 2.0, "inner_steps": 3}, "mono_forward": {"learning_rate": 0.5}})
    found = options_of(tiny, "phyll", "mono_forward", options=options, overrides=("rules.phyll.theta=7",))
    assert (found["phyll"]["theta"], found["phyll"]["inner_steps"]) == (7, 3)
    assert found["mono_forward"]["learning_rate"] == 0.5


def test_a_rule_can_take_part_twice_under_other_names(tiny: Path) -> None:
    overrides = ("rules.deep.name=mono_forward", "rules.deep.head_depth=2")
    found = options_of(tiny, "mono_forward", "deep", overrides=overrides)
    assert [one["name"] for one in found.values()] == ["mono_forward", "mono_forward"]
    assert [one["head_depth"] for one in found.values()] == [1, 2]


def test_all_but_the_rule_is_the_same(tiny: Path) -> None:
    found = contestants(tiny, ["phyll", "mono_forward"], overrides=["seed=3", "layers.0.width=9"])
    one, two = (experiment.as_dict() for experiment in found.values())
    assert one.pop("rule") != two.pop("rule")
    assert one == two and one["seed"] == 3 and one["layers"][0]["width"] == 9


def test_all_stands_for_every_rule_that_finds_what_it_trains(tiny: Path) -> None:
    before = {"augmented_dfa", "ffzero", "node_perturbation", "spsa"}
    assert tuple(contestants(tiny, ["all"])) == tuple(name for name in registry.names("rules") if name not in before)
    assert tuple(contestants(tiny, ["all"], overrides=['layers.*.before="random"'])) == registry.names("rules")


@pytest.mark.parametrize(
    ("names", "overrides", "message"),
    [
        ([], (), "got none"),
        (["phyll", "phyll"], (), "different names"),
        (["no such"], (), "different names"),
        (["unheard_of"], (), "not a known rule"),
        (["phyll"], ("rules.phyll.theta=-1",), "theta"),
        (["phyll"], ("rules.phyll.nothing=1",), "nothing"),
        (["phyll"], ("rules.mono_forward.head_depth=2",), "a rule that takes part: phyll"),
        (["phyll"], ("rules.phyll=1",), "rules.NAME.key=value"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny: Path, names: list[str], overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        contestants(tiny, names, overrides=overrides)


def test_a_file_of_options_is_read(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text('[tuning]\ntrials = 4\n\n[rules.phyll]\ntheta = 2.0\nmode = "unsupervised"\n', encoding="utf-8")
    found = read_options(path)
    assert found.rules == {"phyll": {"theta": 2.0, "mode": "unsupervised"}} and found.tuning == {"trials": 4}


@pytest.mark.parametrize("text", ["", "[rules]\nphyll = 1\n", "theta = 1\n", "[rules\n", "[other]\n", "\xff"])
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "options.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ExperimentError, match=r"rules\.|TOML"):
        read_options(path)
    with pytest.raises(ExperimentError, match="TOML"):
        read_options(tmp_path / "none.toml")
