"""Raw data from the command line: kept by training, replayed to the bit, fitted by twins that pass for nothing more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.session import open_run

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, call: Call) -> tuple[Path, str]:
    """A folder with `tiny.toml` and a finished run `night` that kept all raw data, and the hash of its weights."""
    from .conftest import TINY

    folder = tmp_path_factory.mktemp("recorded")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    words = ("--set", "session.raw=all", "--set", "output.name=night", "--output", folder)
    answer = call("train", folder / "tiny.toml", "--json", *words)
    assert answer.returncode == 0, answer.stderr
    return folder, json.loads(answer.stdout.splitlines()[-1])["weights_sha256"]


def words_of(answer: subprocess.CompletedProcess[str]) -> str:
    return " ".join((answer.stdout + answer.stderr).split())


def replaced(folder: Path, name: str, *lines: str) -> Path:
    """Write the experiment with other systems."""
    text = (folder / "tiny.toml").read_text(encoding="utf-8")
    begin, end = text.index("[systems.lower]"), text.index("[[layers]]")
    path = folder / name
    path.write_text(text[:begin] + "\n".join(lines) + "\n\n" + text[end:], encoding="utf-8")
    return path


def test_a_run_trains_again_on_its_replay_to_the_same_weights(recorded: tuple[Path, str], call: Call) -> None:
    folder, sha256 = recorded
    systems = [
        line
        for name in ("lower", "upper")
        for line in (f"[systems.{name}]", 'type = "replay"', 'run = "night"', f'system = "{name}"')
    ]
    again = call("train", replaced(folder, "again.toml", *systems), "--json", "--output", folder / "again")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["weights_sha256"] == sha256
    assert "replay physics" in words_of(again)


def test_twins_of_a_run_say_how_far_off_they_are_and_train_as_twins(recorded: tuple[Path, str], call: Call) -> None:
    folder, _ = recorded
    paths = {}
    for name in ("lower", "upper"):
        answer = call("twin", folder / "night", "--system", name, "--json")
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout.splitlines()[-1])
        errors = {one["kind"]: one["error"] for one in found["twins"]}
        assert errors.keys() == {"linear", "coherent", "mlp"}
        # The medium is a matrix and a modulus: nothing else comes close.
        assert errors["coherent"] < min(errors["linear"], errors["mlp"])
        assert "SIMULATED" in answer.stdout and "nothing that is trained on it is measured" in answer.stdout
        paths[name] = folder / "night" / f"twin-{name}-coherent.npz"
        assert f'path = "{paths[name]}"' in answer.stdout
        assert (found["twins"][0]["noise_floor"] or 0) > 0 if name == "lower" else True
    systems = [
        line
        for name, path in paths.items()
        for line in (f"[systems.{name}]", 'type = "twin"', f"path = {json.dumps(str(path))}")
    ]
    trained = call("train", replaced(folder, "twin.toml", *systems), "--json", "--output", folder / "twins")
    assert trained.returncode == 0, trained.stderr
    assert "twin physics" in words_of(trained)
    run = open_run(Path(json.loads(trained.stdout.splitlines()[-1])["session"]))
    assert {run.kind(name) for name in run.layer_systems} == {"twin"}
    assert run.systems["lower"]["identity"]["recorded_kind"] == "simulated"
    assert "TWIN" in call("show", run.folder).stdout


def test_one_kind_goes_to_the_file_that_was_asked_for(recorded: tuple[Path, str], call: Call, tmp_path: Path) -> None:
    folder, _ = recorded
    words = ("twin", folder / "night", "--system", "upper", "--kind", "linear", "-o", tmp_path / "mine.npz")
    first, again = call(*words, "--seed", "3"), call(*words, "--seed", "3")
    assert first.returncode == again.returncode == 0
    assert (tmp_path / "mine.npz").is_file()
    assert "linear" in first.stdout and "coherent" not in first.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "are of lower, upper: name one of these"),
        (("--system", "middle"), "got 'middle'"),
        (("--system", "upper", "-o", "twin.npz"), "Choose a kind"),
        (("--system", "upper", "--seed", "-1"), "--seed must be >= 0"),
        (("--system", "upper", "--kind", "guess"), "invalid choice"),
    ],
)
def test_what_can_not_be_done_is_said(
    recorded: tuple[Path, str], call: Call, words: tuple[str, ...], complaint: str
) -> None:
    answer = call("twin", recorded[0] / "night", *words)
    assert answer.returncode == 2
    assert complaint in words_of(answer)


def test_a_run_without_raw_data_says_how_to_get_some(trained: tuple[Path, object], call: Call) -> None:
    answer = call("twin", trained[0])
    assert answer.returncode == 2
    assert "session.raw" in words_of(answer)


def test_twin_and_replay_are_listed(call: Call) -> None:
    listed = call("list", "systems").stdout
    assert "twin" in listed and "replay" in listed
