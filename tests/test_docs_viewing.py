"""What the description of viewing says can be said: its commands are understood, its Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from physnet import registry
from physnet.cli.parser import parse
from physnet.viewing import Viewable
from physnet.viewing.contract import FRAMES, PIXELS
from physnet.viewing.drives import FEW
from physnet.viewing.view import REPEATS

FILE = Path(__file__).parents[1] / "docs" / "viewing.md"
TEXT = FILE.read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    program, *words = shlex.split(command)
    assert program == "physnet"
    assert callable(parse(words).command)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_every_piece_of_python_runs(code: str) -> None:
    exec(compile(code, "viewing.md", "exec"), {})


def test_every_system_that_shows_a_field_is_described_and_no_other() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", TEXT.partition("## What is shown")[2], re.MULTILINE))
    shown = {
        name
        for name in registry.names("systems")
        if isinstance(found := registry.find("systems", name), type) and issubclass(found, Viewable)
    }
    assert described == shown


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"at most {FRAMES} frames of at most {PIXELS // 1000} 000 numbers" in TEXT
    assert f"and {FEW + REPEATS - 2} rows around it" in TEXT and f"{FEW + REPEATS - 1} rows within its declared" in TEXT
    assert f"over {REPEATS} passes" in TEXT
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (FILE.parent / picture).stat().st_size < 200_000
