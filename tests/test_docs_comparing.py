"""What the description of comparisons says can be said: its commands are understood, its Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from physnet.cli.parser import parse
from physnet.comparison.changes import UNITS

TEXT = (Path(__file__).parents[1] / "docs" / "comparing.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    program, *words = shlex.split(command)
    assert program == "physnet"
    assert callable(parse(words).command)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_every_piece_of_python_runs(code: str) -> None:
    exec(compile(code, "comparing.md", "exec"), {})


def test_everything_that_can_be_changed_by_a_word_is_described() -> None:
    assert [word for word in UNITS if f"- `{word}`" not in TEXT] == []
