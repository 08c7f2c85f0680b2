"""Every lab script runs as it stands, in a process of its own, from another folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "lab_scripts"
ARGUMENTS = {
    "train_default.py": (["--epochs", "1"], "test accuracy"),
    "train_own_system.py": ([], "test accuracy"),
    "train_on_recorded_pairs.py": ([], "none was measured"),
    "characterise_bench.py": (["--passes", "1000"], "What a network can learn"),
}


def test_every_script_is_run_here() -> None:
    assert {path.name for path in SCRIPTS.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_lab_script_runs(name: str, tmp_path: Path) -> None:
    words, expected = ARGUMENTS[name]
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / name), *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert not list(tmp_path.iterdir())
