"""`physnet recover`, on runs that were really killed, and on copies that were cut."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.session import checkpoint, open_run

from .processes import Start, Until

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]


def told(answer: Answer) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_training_is_recovered_shown_and_gone_on_with(
    fork: Start, until: Until, call: Call, tiny: Path, runs: Path
) -> None:
    with fork("train", tiny, "--output", runs, "--set", "training.epochs=200") as process:
        until(lambda: len(list(runs.glob("*/checkpoints/epoch-*.npz"))) > 1, process)
        if process.poll() is None:
            refused = call("recover", runs)
            assert refused.returncode == 2 and "still going on" in " ".join(refused.stderr.split())
        process.send_signal(signal.SIGKILL)
    (folder,) = runs.iterdir()
    assert (folder / ".reserve").exists() and (folder / "live.json").exists()
    before = open_run(folder)
    dry = told(call("recover", folder, "--dry-run", "--json"))
    assert dry["dry_run"] and (folder / ".reserve").exists()
    done = call("recover", folder, "--json")
    answer = told(done)
    assert answer["found"] == dry["found"] and answer["lost"] == dry["lost"]
    assert any("it was killed" in line for line in answer["found"])
    assert f"go on from step {answer['resume_step']}: physnet resume {folder}" in done.stdout
    after = open_run(folder)
    assert after.steps["step"].tolist() == before.steps["step"].tolist()
    assert after.status == "killed" and "KILLED" in call("show", folder).stdout
    assert told(call("recover", folder, "--json"))["sound"]
    assert sorted(path.name for path in folder.iterdir() if "damaged" not in path.name) == ["checkpoints", "session.h5"]
    epochs = answer["checkpoints"][-1]["epoch"] + 2
    resumed = call("resume", folder, "--set", f"training.epochs={epochs}", "--accept-changes")
    assert resumed.returncode == 0, resumed.stderr
    run = open_run(folder)
    assert run.status == "done" and run.steps["step"].tolist() == list(range(len(run.steps["step"])))


def test_a_cut_copy_is_recovered_and_brought_to_its_end_again(
    call: Call, trained: tuple[Path, Answer], tmp_path: Path
) -> None:
    folder = shutil.copytree(trained[0], tmp_path / "a copy")
    path = folder / "session.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: 9 * len(whole) // 10])
    refused = call("show", folder)
    assert refused.returncode == 2 and "physnet recover" in " ".join(refused.stderr.split())
    answer = told(call("recover", folder, "--json"))
    assert not answer["sound"] and "final weights" in answer["lost"]
    assert Path(answer["kept"][0]).read_bytes() == whole[: 9 * len(whole) // 10]
    resumed = call("resume", folder, "--json", "--accept-changes")
    assert resumed.returncode == 0, resumed.stderr
    assert open_run(folder).weights().sha256 == open_run(trained[0]).weights().sha256
    assert told(call("evaluate", folder, "--json"))["accuracy"] == open_run(trained[0]).result.test_accuracy  # type: ignore[union-attr]


def test_what_can_not_be_saved_is_refused_with_what_is_left(
    call: Call, trained: tuple[Path, Answer], tmp_path: Path
) -> None:
    folder = shutil.copytree(trained[0], tmp_path / "run")
    (folder / "session.h5").write_bytes(b"")
    answer = call("recover", folder)
    assert answer.returncode == 2 and answer.stdout == ""
    assert "Copy it again from where it was written" in " ".join(answer.stderr.split())
    assert all(str(path) in answer.stderr for path in checkpoint.listed(folder / "checkpoints"))


def test_checkpoints_with_weights_alone_are_no_way_on(call: Call, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    folder = shutil.copytree(trained[0], tmp_path / "run")
    saved = checkpoint.load(checkpoint.listed(folder / "checkpoints")[-1]).snapshot
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()
    checkpoint.save(folder / "checkpoints", dataclasses.replace(saved, state={}))  # as physnet 0.1 wrote them
    path = folder / "session.h5"
    path.write_bytes(path.read_bytes()[:-20000])
    answer = told(call("recover", folder, "--json"))
    assert answer["resume_step"] is None and "weights only" in answer["resume_not"]
    assert "weights only" in call("recover", folder).stdout


def test_a_sound_run_has_nothing_to_recover(call: Call, trained: tuple[Path, Answer]) -> None:
    before = (trained[0] / "session.h5").stat().st_mtime_ns
    answer = call("recover", trained[0].parent)
    assert answer.returncode == 0 and "sound, nothing to do" in answer.stdout
    assert "physnet resume" not in answer.stdout
    assert (trained[0] / "session.h5").stat().st_mtime_ns == before


def test_a_run_that_never_began_is_cleared_away(call: Call, runs: Path) -> None:
    left = runs / f".first.part-{2**22 + 1}"
    (left / "checkpoints").mkdir(parents=True)
    (left / ".reserve").write_bytes(b"x")
    answer = call("recover", runs)
    assert answer.returncode == 0 and "nothing had been recorded" in answer.stdout
    assert list(runs.iterdir()) == []
    assert call("recover", runs).returncode == 2


def test_a_folder_of_other_files_is_not_touched(call: Call, tmp_path: Path) -> None:
    other = tmp_path / f".mine.part-{2**22 + 1}"
    other.mkdir()
    (other / "thesis.tex").write_text("text")
    assert call("recover", tmp_path).returncode == 2
    assert (other / "thesis.tex").exists()
