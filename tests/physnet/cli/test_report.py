from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.session import open_run


@pytest.fixture
def run(trained: tuple[Path, Any], tmp_path: Path) -> Path:
    """A finished run that may be written to."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def test_the_page_lies_in_the_runs_folder(call: Callable[..., Any], run: Path) -> None:
    answer = call("report", run, "--json")
    assert answer.returncode == 0, answer.stderr
    assert f"report        {run / 'report.html'}" in answer.stdout
    page = (run / "report.html").read_text(encoding="utf-8")
    result = open_run(run).result
    assert result is not None
    assert f"{100 * result.test_accuracy:.2f} %" in page
    assert "SIMULATED." in page and "Tiny digits" in page
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["runs"][0]["physical_passes"] == result.physical_passes


def test_the_page_goes_where_it_is_asked_to(call: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    assert call("report", run, "-o", tmp_path / "a" / "b.html").returncode == 0
    assert (tmp_path / "a" / "b.html").is_file()
    answer = call("report", run, "--output", run / "session.h5" / "b.html")
    assert answer.returncode == 2 and "Choose another file" in " ".join(answer.stderr.split())


def test_controls_are_on_the_page(call: Callable[..., Any], run: Path) -> None:
    assert call("controls", run, "--repeats", "2").returncode == 0
    assert call("report", run).returncode == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Controls and verdict" in page and "verdict:" in page and "physics zeroed" in page
    (run / "controls.json").write_text("{}")
    assert call("report", run).returncode == 0
    assert "NO VERDICT." in (run / "report.html").read_text(encoding="utf-8")


def test_several_runs_are_compared(call: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "session.h5").write_bytes(b"text")
    answer = call("report", run, tmp_path / "broken", "--output", tmp_path / "both.html", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "some runs can't be read" in answer.stdout
    assert [row["status"] for row in json.loads(answer.stdout.splitlines()[-1])["runs"]] == ["done", "unreadable"]
    assert "Comparison of 2 runs" in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_what_is_not_a_run_is_refused(call: Callable[..., Any], tmp_path: Path) -> None:
    answer = call("report", tmp_path / "missing")
    assert answer.returncode == 2 and "is not a run folder" in " ".join(answer.stderr.split())
    answer = call("report", tmp_path / "missing", tmp_path / "too")
    assert answer.returncode == 2 and "is not a run folder" in " ".join(answer.stderr.split())
