"""A second process in which kernels for CUDA devices run without one."""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Callable[..., Any]]:
    """Call a function where an interpreter runs CUDA kernels: `interpreter(function, *arguments)`.

    That is another process, since numba chooses between compiler and interpreter once, when it is imported; it lasts
    for a test file. The function must stand at the top of a module. What it takes and returns crosses by pickle.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda")
    # The interpreter asks its threads all the time whether they wait, and meanwhile they wait for it: three times as
    # long if it hands over after Python's 5 ms only.
    switching: dict[str, Any] = {"initializer": sys.setswitchinterval, "initargs": (5e-5,)}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), **switching) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NUMBA_ENABLE_CUDASIM", "1")
            pool.submit(int).result()  # the process begins here

        def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            return pool.submit(function, *arguments, **options).result()

        yield call
