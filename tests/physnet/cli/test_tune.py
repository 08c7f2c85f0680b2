"""`physnet tune` and `physnet sensitivity`."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]


def last_line(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return values


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_search_ends_as_one_that_was_not(
    start: Callable[..., subprocess.Popen[str]],
    until: Callable[[Callable[[], bool], subprocess.Popen[str]], None],
    call: Call,
    tiny: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("optuna")
    words = ("tune", tiny, "--rules", "mono_forward,phyll", "--trials", 3, "--output")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(*words, killed)
    until(lambda: len(list(killed.glob("trainings/[!.]*"))) >= 2, process)
    process.kill()
    process.communicate(timeout=60)
    answers = [call(*words, folder, "--json") for folder in (killed, whole)]
    assert [answer.returncode for answer in answers] == [0, 0], answers[0].stderr
    one, other = ((folder / "options.toml").read_text(encoding="utf-8") for folder in (killed, whole))
    assert one == other
    assert set(tomllib.loads(one)["rules"]) == {"mono_forward", "phyll"}
    assert last_line(answers[0])["rules"] == last_line(answers[1])["rules"]
    compared = call(
        "compare", tiny, "--rules", "phyll", "--seeds", 1, "--options", killed / "options.toml", "--json",
        "--output", tmp_path / "compared",
    )  # fmt: skip
    assert compared.returncode == 0, compared.stderr
    found = last_line(compared)["rules"]["phyll"]["about"]["options"]
    assert found == last_line(answers[0])["rules"]["phyll"]["options"]


def test_what_rules_bear_is_printed_and_drawn(call: Call, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("sensitivity", tiny, "--rules", "mono_forward", "--of", "noise", "--values", "0,1", "--seeds", 2)
    answer = call(*words, "--output", out, "--json")
    assert answer.returncode == 0, answer.stderr
    assert "4 trainings to do" in answer.stderr and "response noise" in answer.stdout
    assert (out / "sensitivity-noise.png").stat().st_size > 10_000
    again = call(*words, "--output", out, "--json")
    assert "to do" not in again.stderr and last_line(again) == last_line(answer)


def test_bad_input_ends_with_2(call: Call, tiny: Path, tmp_path: Path) -> None:
    common = ("sensitivity", tiny, "--rules", "mono_forward", "--output", tmp_path / "out")
    for words in (
        ("--of", "warmth", "--values", "0,1"),
        ("--of", "noise", "--values", "1"),
        ("--of", "noise", "--values", "0,-1"),
        ("--of", "impairments.nothing", "--values", "0,1"),
        ("--of", "noise", "--values", "0,1", "--seeds", 0),
    ):
        assert call(*common, *words).returncode == 2, words
    assert call("tune", tiny, "--rules", "phyll", "--trials", 0, "--output", tmp_path / "out").returncode == 2
    assert not (tmp_path / "out").exists()
