"""What a system finds out when it is opened, and its faults by kind, are kept; other instruments are not accepted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.session import open_run

from .conftest import TINY, Answer

BENCH = '''
import os, signal
import numpy as np
from physnet.contracts import DriveSpec, Reading, ResponseSpec, SystemSpec

MATRIX = np.random.default_rng(7).standard_normal((64, 30)) / 8


class Bench:
    """Says who answered once it is open, and counts faults."""

    def __init__(self):
        self.found = {}
        self.calls = 0
        self.spec = SystemSpec(
            name="bench", kind="measured", drive=DriveSpec(shape=(64,)), response=ResponseSpec(shape=(30,)),
            identity={"model": "Bench", "found": self.found},
        )

    def measure(self, drive, passes):
        self.calls += 1
        self.found["faults"] = {"timeout": self.calls // 5}
        if self.calls == int(os.environ.get("STOP_AT", "0")):
            os.kill(os.getpid(), signal.SIGTERM)
        return Reading(response=np.abs(drive @ MATRIX))

    def __enter__(self):
        self.found["instruments"] = {"source": "MAKER,MODEL," + os.environ.get("SERIAL", "1")}
        self.found["calibration"] = {"delay": 1e-3}
        return self

    def __exit__(self, *exception):
        self.found.pop("calibration")
'''
EXPERIMENT = TINY.replace(
    'type = "scattering"\nresponses = 30\n\n[systems.lower.impairments]\nnoise = 0.02', 'type = "bench.py:Bench"'
)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "bench.py").write_text(BENCH, encoding="utf-8")
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return path


def test_who_answered_and_how_it_was_calibrated_is_kept(
    experiment: Path, runs: Path, call: Callable[..., Answer]
) -> None:
    answer = call("train", experiment, "--output", runs)
    assert answer.returncode == 0, answer.stderr
    (folder,) = runs.iterdir()
    run = open_run(folder)
    found = run.systems["lower"]["identity"]["found"]
    assert found["instruments"] == {"source": "MAKER,MODEL,1"}
    assert found["calibration"] == {"delay": 1e-3}
    assert found["faults"]["timeout"] > 0
    assert not run.damaged_parts
    told = [event.message for event in run.events if "faults so far" in event.message]
    assert told and "lower" not in told[0] and told[0].startswith("bench: faults so far: timeout ")


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_run_is_not_gone_on_with_on_other_instruments(
    experiment: Path, runs: Path, call: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOP_AT", "6")
    assert call("train", experiment, "--output", runs).returncode == 128 + signal.SIGTERM
    monkeypatch.setenv("STOP_AT", "0")
    monkeypatch.setenv("SERIAL", "2")
    (folder,) = runs.iterdir()
    answer = call("resume", folder)
    assert answer.returncode == 2
    assert 'lower.source was "MAKER,MODEL,1", and is "MAKER,MODEL,2"' in answer.stderr
    assert "--accept-changes" in answer.stderr
    answer = call("resume", folder, "--accept-changes")
    assert answer.returncode == 0, answer.stderr
    run = open_run(folder)
    assert run.status == "done"
    assert any("accepted: bench: lower.source" in event.message for event in run.events)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_the_same_instruments_are_gone_on_with(
    experiment: Path, runs: Path, call: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOP_AT", "6")
    assert call("train", experiment, "--output", runs).returncode == 128 + signal.SIGTERM
    monkeypatch.setenv("STOP_AT", "0")
    (folder,) = runs.iterdir()
    answer = call("resume", folder)
    assert answer.returncode == 0, answer.stderr
