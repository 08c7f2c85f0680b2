from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def raw() -> ModuleType:
    """The module that makes specs and calls, which is also the process that the tests kill."""
    spec = importlib.util.spec_from_file_location("raw_child", Path(__file__).with_name("raw_child.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
