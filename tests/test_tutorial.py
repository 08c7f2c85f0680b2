"""The tutorial does what it says: its files are written, its commands run in order, in a folder of their own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from physnet.cli import main

TEXT = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def test_every_command_of_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILE.findall(TEXT):
        (tmp_path / name).write_text(content, encoding="utf-8")
    rows = np.random.default_rng(0).random((3, 64))
    header = ",".join(f"pixel{n}" for n in range(64))
    np.savetxt(tmp_path / "new.csv", rows, delimiter=",", header=header, comments="")
    said = {}
    for block in COMMANDS.findall(TEXT):
        for line in block.strip().splitlines():
            program, *words = shlex.split(line)
            assert program == "physnet"
            code = main(words)
            out, err = capsys.readouterr()
            assert code == 0, f"{line}: {err}"
            said[line] = out
    assert "without any physics" in said["physnet train"]
    assert "accuracy on test" in said["physnet evaluate runs"]
    assert "verdict" in said["physnet train experiment.toml --controls"].lower()
    assert len(said["physnet predict runs new.csv"].splitlines()) == 4
    assert {"learning.png", "confusion.png", "responses.png"} <= {
        path.name for path in tmp_path.glob("runs/*/figures/*")
    }
    assert list(tmp_path.glob("characterisation-*.png"))
    assert len(said) >= 7
