"""`physnet check`: the passes it predicts are those of the run, and everything that is wrong is told at once."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
BENCH = Path(__file__).with_name("bench.py")


def last_object(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("rule.name=phyll",),
        ("rule={name='phyll', mode='unsupervised'}", "training.batch_size=64"),
        ("training.batch_size=all", "training.epochs=5", "training.validate_every=2"),
        ("data.validation_fraction=0", "rule.name=phyll", "training.standardise_rows=33"),
        ("training.evaluation_batch=7", "layers.1.before=random", "systems.upper.drives=9"),
        ("layers.1.system=lower", "layers.0.width=64"),
    ],
)
def test_the_passes_predicted_are_exactly_those_of_the_run(
    call: Call, tmp_path: Path, tiny: Path, words: tuple[str, ...]
) -> None:
    options = [part for word in words for part in ("--set", word)]
    if "layers.1.system=lower" in words:
        text = tiny.read_text().replace('[systems.upper]\ntype = "scattering"\nresponses = 30\n', "")
        tiny = tmp_path / "shared.toml"
        tiny.write_text(text)
    checked = call("check", tiny, *options, "--json")
    assert checked.returncode == 0, checked.stderr
    predicted = last_object(checked)
    trained = call("train", tiny, *options, "--output", tmp_path / "runs", "--json")
    assert trained.returncode == 0, trained.stderr
    result = last_object(trained)
    assert predicted["passes"] == result["passes"]
    assert predicted["physical_passes"] == result["physical_passes"]
    assert sum(predicted["passes_by_system"].values()) == result["physical_passes"]
    folder = Path(result["session"])
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    # At most: while a run goes on, its file is there twice, and a reserve is kept.
    assert used < predicted["disk_bytes"] < 20e6


def test_the_passes_of_controls_and_characterisation_are_those_that_they_take(
    call: Call, tmp_path: Path, tiny: Path
) -> None:
    words = ["--controls", "--characterise", "--set", "controls.repeats=2"]
    checked = call("check", tiny, *words, "--json")
    assert checked.returncode == 0, checked.stderr
    predicted = last_object(checked)
    trained = call("train", tiny, *words, "--output", tmp_path / "runs", "--json")
    assert trained.returncode == 0, trained.stderr
    result = last_object(trained)
    assert predicted["passes"] == result["passes"]
    assert predicted["passes"]["calibrate"] == 2 * 2000
    assert predicted["physical_passes"] == result["physical_passes"]
    assert sum(predicted["passes_by_system"].values()) == result["physical_passes"]
    took = result["controls"]["controls"]
    expected = {name: count for name, count in predicted["controls"]["passes"].items() if name != "network"}
    assert expected == {name: one["physical_passes"] for name, one in took.items() if one["physical_passes"]}
    # The run itself is the network's first training.
    others = result["controls"]["network"]["physical_passes"] - result["physical_passes"]
    assert predicted["controls"]["passes"]["network"] == others > 0
    assert predicted["controls"]["trainings"] == 2 * (1 + len(took)) - 1
    assert "They are not counted as the run's" in " ".join(checked.stdout.split())
    # Every pass is declared to take 1 ms, whatever it is for.
    everything = result["physical_passes"] + predicted["controls"]["physical_passes"]
    assert predicted["declared_seconds"] == pytest.approx(1e-3 * everything)
    folder = Path(result["session"])
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert used < predicted["disk_bytes"] < 20e6


def test_controls_that_can_not_be_are_a_problem(call: Call, tiny: Path) -> None:
    answer = call("check", tiny, "--controls", "--set", "controls.which=['skip_alone']", "--json")
    assert answer.returncode == 2
    assert last_object(answer)["problems"][0].startswith("controls: ")
    assert call("check", tiny, "--set", "controls.which=['skip_alone']").returncode == 0


def test_a_check_says_what_it_found_and_what_the_rehearsal_cost(call: Call, tiny: Path) -> None:
    answer = call("check", tiny, "--json")
    result = last_object(answer)
    assert answer.returncode == 0
    assert answer.stderr == ""
    assert result["ok"] is True
    # 64 rows of standardisation and three steps of 50, through two layers.
    assert result["rehearsal"] == {"passes": 2 * (64 + 3 * 50), "steps": 3, "invalid": 0, "clipped_response": 0}
    assert f"cost {2 * (64 + 3 * 50)} passes" in answer.stdout
    assert result["declared_seconds"] == pytest.approx(1e-3 * result["physical_passes"])
    assert result["seconds"] > 0
    assert "all is fine" in answer.stdout
    assert not (tiny.parent / "runs").exists()


def test_limits_that_end_a_run_early_are_named(call: Call, tiny: Path) -> None:
    answer = call("check", tiny, "--set", "training.patience=1", "--set", "training.budget_passes=900", "--json")
    assert last_object(answer)["at_most"] is True
    assert "patience of 1 validations or budget of 900 passes" in " ".join(answer.stdout.split())


def bench_experiment(tiny: Path, name: str) -> Path:
    text = tiny.read_text().replace('type = "scattering"\nresponses = 30', f'type = "{BENCH}:{name}"')
    path = tiny.with_name("bench.toml")
    # One layer: the benches of the tests have as many drives as digits have pixels.
    head, _, rest = text.partition("[systems.upper]")
    head = head.replace("[systems.lower.impairments]\nnoise = 0.02\n", "")
    layers, _, tail = rest.partition('[[layers]]\nsystem = "upper"\nwidth = 20\n')
    path.write_text(head + layers[layers.index("[[layers]]") :] + tail)
    return path


def test_a_measured_system_is_driven_only_when_asked_for(call: Call, tiny: Path) -> None:
    path = bench_experiment(tiny, "instrument")
    careful = call("check", path, "--json")
    assert careful.returncode == 0, careful.stderr
    assert last_object(careful)["rehearsal"] is None
    assert "--rehearse" in careful.stdout
    driven = call("check", path, "--rehearse", "--json")
    assert last_object(driven)["rehearsal"]["passes"] == 64 + 3 * 50 + 8  # sentinels
    assert "drives lower" in driven.stdout


@pytest.mark.parametrize(("name", "message"), [("nan", "no usable response"), ("wrong_shape", "must have shape")])
def test_a_system_that_fails_in_the_rehearsal_is_a_problem(call: Call, tiny: Path, name: str, message: str) -> None:
    answer = call("check", bench_experiment(tiny, name), "--json")
    assert answer.returncode == 2
    (problem,) = last_object(answer)["problems"]
    assert problem.startswith("rehearsal, step 0")
    assert message in problem
    assert message in answer.stderr


def test_every_problem_is_listed_at_once(call: Call, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.parent / "runs" / "taken").mkdir(parents=True)
    usage = SimpleNamespace(total=10, used=9, free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr("physnet.cli.room._available", lambda: 1)
    answer = call("check", tiny, "--output", tiny.parent / "runs", "--set", "output.name=taken", "--json")
    assert answer.returncode == 2
    problems = last_object(answer)["problems"]
    assert [problem.partition(":")[0] for problem in problems] == ["output", "disk", "memory"]
    assert all(problem in answer.stderr for problem in problems)
    assert "3 to mend" in answer.stdout


def test_data_and_networks_that_can_not_be_are_problems(call: Call, tiny: Path) -> None:
    missing = tiny.with_name("missing.toml")
    missing.write_text(tiny.read_text().replace('name = "digits"', 'name = "table"\npath = "none.npz"'))
    answer = call("check", missing, "--json")
    assert answer.returncode == 2
    assert last_object(answer)["problems"][0].startswith("data: ")
    narrow = call("check", tiny, "--set", "systems.lower.drives=3", "--json")
    assert narrow.returncode == 2
    assert "64 numbers, the system" in last_object(narrow)["problems"][0]


def test_a_joint_limit_is_tried_on_real_training_rows_and_on_the_layers_above(call: Call, tiny: Path) -> None:
    bench = tiny.with_name("limited.py")
    bench.write_text(
        "import numpy as np, physnet\n"
        "class Limited:\n"
        "    def __init__(self, drives: int, limit: float = 0.1):\n"
        "        self._inner = physnet.system(np.abs, drives=drives, responses=drives)\n"
        "        self.spec = physnet.SystemSpec(name='limited', kind='measured', response=self._inner.spec.response,\n"
        "            drive=physnet.DriveSpec(shape=(drives,), max_rms=limit))\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *error): return None\n"
        "    def measure(self, drive, passes): raise SystemExit('driven')\n"
    )
    text = tiny.read_text()
    for name, where in (("lower", "limits, layer0, training rows 0"), ("upper", "limits: ")):
        changed = text.replace(
            f'[systems.{name}]\ntype = "scattering"\nresponses = 30', f'[systems.{name}]\ntype = "limited.py:Limited"'
        )
        path = tiny.with_name(f"limited-{name}.toml")
        path.write_text(changed.replace("[systems.lower.impairments]\nnoise = 0.02\n", ""))
        answer = call("check", path, "--json")
        assert answer.returncode == 2, answer.stdout
        problems = last_object(answer)["problems"]
        assert problems[0].startswith(where)
        assert "root mean square" in problems[0]


def test_a_mistake_in_the_file_ends_with_all_of_them(call: Call, tiny: Path) -> None:
    answer = call("check", tiny, "--set", "rule.name=phil", "--set", "training.epochs=0")
    assert answer.returncode == 2
    assert "phil" in answer.stderr
    assert "training.epochs" in answer.stderr
