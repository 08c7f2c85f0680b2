"""The benchmark of CUDA devices where there is none: it says so, compares in the interpreter, and judges."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *options]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=hidden, check=False)


@pytest.fixture(scope="module")
def turns() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_turns", BENCHMARKS / "gpu_turns.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_without_a_device_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "table.md"))
    assert done.returncode == 2
    assert done.stdout == "" and not (tmp_path / "table.md").exists()
    assert done.stderr.splitlines() == [
        "no CUDA device: nothing was compared or timed. --interpreter compares on the CPU."
    ]


def test_in_the_interpreter_it_compares_the_kernels_and_times_nothing() -> None:
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda")
    done = run("--interpreter")
    assert done.returncode == 0, done.stderr
    assert "Schroedinger, kernel: off the answer" in done.stdout
    assert done.stdout.splitlines()[-1] == "interpreted on the CPU: nothing was timed"


def test_who_is_wrong_is_not_timed(turns: ModuleType) -> None:
    right, wrong = (
        turns.Entrant(name=name, run=lambda value=value: torch.tensor(value))
        for name, value in (("right", 1.0), ("wrong", 1.1))
    )
    assert turns.compared([right], lambda found: abs(float(found) - 1), 1e-6) == {"right": 0.0}
    with pytest.raises(SystemExit, match=r"more than 1.0e-06: wrong by 1.0e-01"):
        turns.compared([right, wrong], lambda found: abs(float(found) - 1), 1e-6)
    with pytest.raises(SystemExit, match="wrong by nan"):
        turns.compared([turns.Entrant(name="wrong", run=lambda: None)], lambda found: float("nan"), 1e-6)


def test_ratios_are_to_the_fastest_peer_turn_by_turn(turns: ModuleType) -> None:
    taken = {"ours": [9.0, 1.0, 1.0, 2.0], "slow": [9.0, 8.0, 8.0, 8.0], "fast": [9.0, 4.0, 3.0, 4.0]}
    entrants = [
        turns.Entrant(name=name, run=lambda: None, is_peer=name != "ours", seconds=iter(values).__next__)
        for name, values in taken.items()
    ]
    lines = turns.timed("task", entrants, dict.fromkeys(taken, 1e-5), work=6.0, repeats=3)
    # The first turn warms up. 6 billion in the median of 1 s; 4, 3 and 2 times as fast.
    assert lines[0] == "| task | ours | 1000.000 | 1000.000 to 2000.000 | 6.0 | 3.00 | 2.00 to 4.00 | 1.0e-05 |"
    assert lines[2].startswith("| task | fast | 4000.000 |") and "| 1.00 | 1.00 to 1.00 |" in lines[2]
