"""What is left of a session when its process is killed, or its disk is full."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physnet.errors import SessionError
from physnet.session import open_run

CHILD = Path(__file__).with_name("session_child.py")
ROOT = CHILD.parents[3]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and tmpfs")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_run_loses_no_acknowledged_step(tmp_path: Path, seed: int) -> None:
    target = random.Random(seed).randrange(1, 600)
    folder = tmp_path / "run"
    command = [sys.executable, str(CHILD), "steps", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as child:
        assert child.stdout is not None
        acknowledged = 0
        while acknowledged < target:
            acknowledged = int(child.stdout.readline())
        if seed == 0:
            with pytest.raises(SessionError, match="still going on"):
                open_run(folder)
        child.send_signal(signal.SIGKILL)
        # the last line may be cut, which makes it a smaller number or none
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout.read().split())])
    run = open_run(folder)
    assert run.status == "killed"
    assert run.damaged_rows <= 1
    steps = run.steps["step"]
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    assert acknowledged <= len(steps) <= acknowledged + 1


def _tmpfs() -> str:
    if shutil.which("unshare") is None:
        return "no unshare on this machine"
    probe = "mount -t tmpfs -o size=4m none /mnt"
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", probe], capture_output=True)
    return "" if done.returncode == 0 else "this machine lets no user mount a tmpfs"


@pytest.fixture(scope="module")
def needs_tmpfs() -> None:
    if reason := _tmpfs():
        pytest.skip(reason)


def _on_a_small_disk(mode: str, disk: Path, size: str = "4m") -> dict[str, Any]:
    script = f'mount -t tmpfs -o size={size} none "$1" && exec "$2" "$3" "$4" "$1/run"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*command, str(disk), sys.executable, str(CHILD), mode], capture_output=True, text=True, env=_environment()
    )
    assert done.stderr == ""
    assert done.returncode == 0
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.usefixtures("needs_tmpfs")
def test_a_disk_full_at_creation_leaves_no_folder(tmp_path: Path) -> None:
    answer = _on_a_small_disk("creation", tmp_path)
    assert answer["error"] == "SessionError"
    assert "the disk is full" in answer["message"]
    assert answer["left"] == []


@pytest.mark.usefixtures("needs_tmpfs")
def test_a_disk_full_during_steps_keeps_them_all(tmp_path: Path) -> None:
    answer = _on_a_small_disk("full-steps", tmp_path)
    assert answer["error"] == answer["after"] == "StorageError"
    assert answer["status"] == "fault"
    assert "the disk is full" in answer["message"]
    assert answer["steps"] == answer["acknowledged"] >= 64  # the room made at creation needs no disk
    assert answer["files"] == ["checkpoints", "session.h5"]


@pytest.mark.usefixtures("needs_tmpfs")
def test_a_disk_full_at_a_checkpoint_is_a_fault(tmp_path: Path) -> None:
    answer = _on_a_small_disk("full-checkpoint", tmp_path)
    assert answer["error"] == "StorageError"
    assert answer["status"] == "fault"
    assert answer["files"] == ["checkpoints", "session.h5"]


@pytest.mark.usefixtures("needs_tmpfs")
def test_a_disk_full_at_the_end_does_not_cost_the_weights(tmp_path: Path) -> None:
    answer = _on_a_small_disk("full-finish", tmp_path)
    assert "error" not in answer
    assert answer["status"] == "done"
    assert answer["final"]
    assert answer["steps"] == 1


def test_a_disk_that_takes_nothing_any_more_is_a_fault_without_noise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHILD), "limit", str(tmp_path / "run")], capture_output=True, text=True, env=_environment()
    )
    assert done.stderr == ""
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer["error"] == answer["after"] == "StorageError"
    assert answer["steps"] == answer["acknowledged"]
