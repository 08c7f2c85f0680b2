from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def small_run() -> ModuleType:
    """The module that makes plans, steps and results, which is also the process that the tests kill."""
    return _neighbour("session_child")


@pytest.fixture(scope="session")
def damage() -> ModuleType:
    """The module that makes whole run folders and damages them, which is also the process that reads them."""
    return _neighbour("damage_child")


def _neighbour(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
