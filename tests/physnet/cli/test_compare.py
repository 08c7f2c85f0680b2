"""`physnet compare`: what it prints, that it goes on, and that nothing is left behind by a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
RULES = ("--rules", "mono_forward,phyll", "--seeds", 2)


def last_line(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return values


def trainings(folder: Path) -> dict[str, int]:
    """Name and time of change of every training that is kept."""
    found = (folder / "trainings").glob("[!.]*.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def test_it_prints_a_table_and_a_verdict_and_draws_them(call: Call, tiny: Path, tmp_path: Path) -> None:
    answer = call("compare", tiny, *RULES, "--output", tmp_path / "out", "--json", "--target", 50)
    assert answer.returncode == 0, answer.stderr
    for word in ("verdict: ", "mono_forward", "phyll", "raw_logistic_regression", "passes to 50 %"):
        assert word in answer.stdout
    values = last_line(answer)
    assert values["seeds"] == [0, 1] and values["missing"] == 0
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    assert "verdict: " in (tmp_path / "out" / "comparison.txt").read_text(encoding="utf-8")
    again = call("compare", tiny, *RULES, "--output", tmp_path / "out", "--json", "--target", 50)
    assert "to do" not in again.stderr
    assert last_line(again) == values


def test_its_folder_is_named_after_the_experiment(
    call: Call, tiny: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    assert call("compare", tiny, "--rules", "mono_forward", "--seeds", 1).returncode == 0
    assert (runs / "compare-tiny" / "comparison.png").exists()


def test_options_come_from_a_file(call: Call, tiny: Path, tmp_path: Path) -> None:
    options = tmp_path / "options.toml"
    options.write_text("[rules.mono_forward]\nhead_depth = 2\n", encoding="utf-8")
    words = ("compare", tiny, "--rules", "mono_forward", "--seeds", 1, "--output", tmp_path / "out", "--json")
    answer = call(*words, "--options", options, "--set", "rules.mono_forward.head_width=7")
    assert answer.returncode == 0, answer.stderr
    about = last_line(answer)["rules"]["mono_forward"]["about"]["options"]
    assert (about["head_depth"], about["head_width"]) == (2, 7)


def test_bad_input_ends_with_2_before_anything_is_trained(call: Call, tiny: Path, tmp_path: Path) -> None:
    for words in (
        ("--rules", "unheard_of"),
        ("--rules", "mono_forward", "--jobs", 0),
        ("--rules", "mono_forward", "--seeds", 0),
        ("--rules", "mono_forward", "--budget-passes", 3),
        ("--rules", "mono_forward", "--options", tmp_path / "none.toml"),
        ("--rules", "mono_forward,phyll", "--set", "layers.*.nonlinearity=relu"),
    ):
        assert call("compare", tiny, "--output", tmp_path / "out", *words).returncode == 2, words
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_costs_the_trainings_it_was_in_and_leaves_no_process(
    start: Callable[..., subprocess.Popen[str]],
    until: Callable[[Callable[[], bool], subprocess.Popen[str]], None],
    call: Call,
    tiny: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    # A marker in the environment finds the processes that it starts, whatever their names.
    process = start("compare", tiny, *RULES, "--output", out, "--jobs", 2, PHYSNET_TEST_MARK=str(tmp_path))
    until(lambda: len(trainings(out)) >= 2, process)
    process.kill()
    process.communicate(timeout=60)
    kept = trainings(out)
    assert kept
    if os.path.isdir("/proc/self"):
        deadline = time.monotonic() + 60
        while _marked(str(tmp_path)):
            assert time.monotonic() < deadline, "a worker outlived the process that started it"
    answer = call("compare", tiny, *RULES, "--output", out, "--json")
    assert answer.returncode == 0, answer.stderr
    after = trainings(out)
    assert {name: after[name] for name in kept} == kept
    assert last_line(answer)["missing"] == 0 and len(after) > len(kept)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_it_and_says_how_to_go_on(
    start: Callable[..., subprocess.Popen[str]], tiny: Path, tmp_path: Path, jobs: int
) -> None:
    long = ("--set", "training.epochs=2000")
    process = start("compare", tiny, *RULES, "--output", tmp_path / "out", "--jobs", jobs, *long)
    assert process.stderr is not None and "trainings to do" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "To go on where it was" in err and "Traceback" not in err


def _marked(mark: str) -> list[str]:
    """Return the processes whose environment holds a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark.encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
        except OSError:  # it has ended, or is somebody else's
            continue
    return found
