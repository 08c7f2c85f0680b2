"""`physnet train --dry-run`: every line that would be sent, and nothing sent to anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ROOT, Answer

BENCHES = ROOT / "lab_scripts" / "benches"


def test_it_prints_what_would_be_sent_in_order_and_records_nothing(call: Callable[..., Answer], runs: Path) -> None:
    answer = call("train", BENCHES / "digits.toml", "--dry-run", "--output", runs)
    assert answer.returncode == 0, answer.stderr
    lines = [line.split(" > ")[-1] for line in answer.stdout.splitlines() if " > " in line]
    # All are identified before the first is told anything; then outputs go off, before anything is set.
    assert lines[:4] == ["*CLS", "*IDN?", "*CLS", "*IDN?"]
    assert lines[4:7] == ["OUTP1 OFF", "OUTP2 OFF", "ABOR"]
    on = [number for number, line in enumerate(lines) if line == "OUTP1 ON"]
    trigger = [number for number, line in enumerate(lines) if line == "*TRG"]
    assert on and trigger and on[0] < trigger[0]
    blocks = [line for line in lines if "<block of" in line]
    assert blocks
    assert lines[-6:-3] == ["OUTP1 OFF", "OUTP2 OFF", "ABOR"]
    assert not runs.exists()


def test_a_real_bench_is_not_looked_for(call: Callable[..., Answer], runs: Path) -> None:
    # The file's own addresses are of a network for documentation: a real attempt would end in a time-out.
    answer = call(
        "train", BENCHES / "digits.toml", "--dry-run", "--set", "systems.bench.simulated=false", "--output", runs
    )
    assert answer.returncode == 0, answer.stderr


def test_without_a_bench_it_says_so(call: Callable[..., Answer], tiny: Path) -> None:
    answer = call("train", tiny, "--dry-run")
    assert answer.returncode == 2
    assert "needs a system of type 'bench'" in answer.stderr


@pytest.mark.parametrize("kind", ["instruments"])
def test_instruments_are_listed(call: Callable[..., Answer], kind: str) -> None:
    answer = call("list", kind)
    assert answer.returncode == 0
    assert "keysight_33500b" in answer.stdout and "(broken" not in answer.stdout
