from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from physnet.session.environment import describe, version


def test_the_environment_names_versions_and_command_line() -> None:
    found = describe()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == np.__version__
    assert found["command_line"] == sys.argv
    assert re.fullmatch(r"|[0-9a-f]{40}", found["git_commit"])
    assert version("no-such-package") == "not installed"


def test_git_may_be_missing_or_find_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe()["git_commit"] == ""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert describe()["git_commit"] == ""
