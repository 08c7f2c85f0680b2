from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from physnet.session.environment import PACKAGES, asked, describe, version


def test_the_environment_names_versions_and_command_line() -> None:
    found = describe()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == np.__version__
    assert found["command_line"] == sys.argv
    assert re.fullmatch(r"|[0-9a-f]{40}", found["git_commit"])
    assert version("no-such-package") == "not installed"
    assert {name: version(name) for name in PACKAGES} == {name: metadata.version(name) for name in PACKAGES}


def test_git_may_be_missing_or_find_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe()["git_commit"] == ""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert describe()["git_commit"] == ""


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_tells_the_commit_and_whether_files_were_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        done = subprocess.run(["git", *identity, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    git("init")
    (tmp_path / "bench.py").write_text("gain = 1\n")
    assert (describe()["git_commit"], describe()["git_changes"]) == ("", False)  # no commit, and nothing that git knows
    git("add", "bench.py")
    git("commit", "-m", "a bench")
    found = describe()
    assert (found["git_commit"], found["git_changes"]) == (git("rev-parse", "HEAD"), False)
    os.utime(tmp_path / "bench.py", (1e9, 1e9))  # git has to look again, and would like to note what it saw
    index = (tmp_path / ".git" / "index").read_bytes()
    assert not describe()["git_changes"]
    # It only looks: were it killed while it writes, its lock would keep the user from every commit.
    assert (tmp_path / ".git" / "index").read_bytes() == index
    (tmp_path / "bench.py").write_text("gain = 2\n")
    assert describe()["git_changes"]


def test_an_answer_that_nobody_asks_for_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), asked():
        raise ZeroDivisionError  # a process that is still running would be a ResourceWarning, which is an error here
