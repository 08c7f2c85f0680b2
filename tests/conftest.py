"""What every test may use, and what every test must leave as it was."""

from __future__ import annotations

import physnet  # isort: skip  # noqa: F401  # before torch: docs/decisions/0006

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# The first example pays for imports and caches: no single one is timed.
hypothesis.settings.register_profile("physnet", deadline=None)
hypothesis.settings.load_profile("physnet")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--thorough`."""
    parser.addoption(
        "--thorough",
        action="store_true",
        help="repeat what kills, cuts and damages runs as often as was promised, not a part of it: for a release",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files beside this one: they are the longest, and a process that gets one last is waited for."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether tests of chance events are to repeat them as often as was promised."""
    return bool(request.config.getoption("--thorough"))


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data, with PHYSNET_DATA_DIR set to it.

    Where there is none the test is skipped, or fails if PHYSNET_REQUIRE_DATA is set, as in CI.
    """
    chosen = os.environ.get("PHYSNET_DATA_DIR")
    folder = Path(chosen) if chosen else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("PHYSNET_REQUIRE_DATA"):
            pytest.fail(f"real data are required here, and {folder} is no folder")
        pytest.skip("needs real data: set PHYSNET_DATA_DIR")
    monkeypatch.setenv("PHYSNET_DATA_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before and not thread.daemon]
    assert not left, f"threads left running: {left}"
