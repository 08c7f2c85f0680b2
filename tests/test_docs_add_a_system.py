"""The guide's system is the one there is to copy: its own tests pass, its commands run, and it can be registered."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from physnet import contracts, registry, testing
from physnet.cli import main
from physnet.cli.parser import parse

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "add-a-system.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_shown_is_what_is_there_to_copy() -> None:
    template = ROOT / "lab_scripts" / "own_system"
    copied = {path.name: path.read_text(encoding="utf-8") for path in template.iterdir() if path.is_file()}
    assert copied == {name: FILES[name] for name in ("amplifiers.py", "test_amplifiers.py", "digits.toml")}


def test_every_test_of_the_guide_passes(folder: Path) -> None:
    (command,) = (line for line in COMMANDS if line.startswith("pytest"))
    words = [sys.executable, "-m", *shlex.split(command), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    # The checks of the contract, and those of the physics.
    assert passed is not None and int(passed[1]) >= 14 + 4


def test_its_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for line in COMMANDS:
        program, *words = shlex.split(line)
        if program == "pytest":
            continue
        assert program == "physnet"
        if words[0] == "compare":
            assert callable(parse(words).command)  # minutes
            continue
        code = main(words)
        out, err = capsys.readouterr()
        assert code == 0, f"{line}: {err}"
        said[line] = out
    own, function = (said[line] for line in said if "characterise" in line)
    for found in (own, function):
        assert "is no power of the drive" in found
        assert "Drives mix" in found
    accuracy = re.search(r"(?:accuracy on test|test accuracy)\D*([\d.]+) ?%", said["physnet train digits.toml"])
    assert accuracy is not None, said["physnet train digits.toml"]
    # Chance is 10 % of 200 test samples with a deviation of 2.1 %; five of them.
    assert float(accuracy[1]) > 21


def test_it_can_be_registered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    table = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]["physnet.systems"]
    entries = [EntryPoint(name=name, value=value, group="physnet.systems") for name, value in table.items()]
    found = registry.find("systems", "amplifiers", entries=lambda group: entries)
    model = registry.options_model(found, optional={"drives", "seed", "name", "device"})
    system = found(**registry.arguments(model, {"drives": 4, "responses": 6, "noise": 0.1}))
    assert isinstance(system, contracts.PhysicalSystem)
    assert system.spec.reproducible and not system.spec.repeatable
    assert registry.summary(found).startswith("Amplitudes that a medium mixes")
    sys.modules.pop("amplifiers", None)


def test_what_the_guide_names_is_there() -> None:
    for protocol in (contracts.Differentiable, contracts.Tunable, contracts.Stateful):
        own = {key for key in vars(protocol) if not key.startswith("_")}
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{protocol.__name__}`"))
        assert all(f"`{member}`" in row for member in own), (protocol, own)
    assert {"SystemConformance", "check_system"} <= set(testing.__all__)
    for path in re.findall(r"`((?:simulators|tests|lab_scripts|benchmarks)/[\w/]*(?:\.py|/))`", TEXT):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([\w-]+\.md)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
