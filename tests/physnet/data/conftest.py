from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data, with PHYSNET_DATA_DIR set to it; the test is skipped where there is none."""
    chosen = os.environ.get("PHYSNET_DATA_DIR")
    folder = Path(chosen) if chosen else Path(__file__).parents[3].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs real data: set PHYSNET_DATA_DIR")
    monkeypatch.setenv("PHYSNET_DATA_DIR", str(folder))
    return folder
