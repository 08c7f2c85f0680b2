"""The ground that CUDA kernels stand on: in the interpreter, and without any device."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from physnet.simulators import cuda
from physnet.simulators.cuda import CONSUMER, HOPPER


def test_what_a_multiprocessor_has_room_for() -> None:
    # 512 threads of 128 registers are all 65 536; a row of 128 x 128 numbers is 64 KiB of 228.
    assert HOPPER.blocks(threads=512, registers=128, shared=64 * 1024) == 1
    assert HOPPER.blocks(threads=512, registers=64, shared=64 * 1024) == 2
    assert HOPPER.blocks(threads=512, registers=57, shared=0) == 2  # handed out in eights
    assert HOPPER.blocks(threads=1024, registers=65, shared=0) == 0
    assert HOPPER.blocks(threads=32, registers=256, shared=0) == 0
    assert HOPPER.blocks(threads=32, registers=32, shared=228 * 1024) == 0
    assert HOPPER.blocks(threads=32, registers=32, shared=0) == 64
    assert CONSUMER.blocks(threads=1024, registers=32, shared=0) == 1


def test_a_device_that_runs_no_kernels_is_told_from_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    assert "the device is cpu" in str(cuda.why_not("cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "physnet[cuda]" in str(cuda.why_not("cuda"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "without CUDA" in str(cuda.why_not("cuda:0"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in str(cuda.why_not("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cuda.why_not("cuda") is None


def _reverse(values: torch.Tensor) -> tuple[Any, ...]:
    from .kernel_example import reversed_rows

    return reversed_rows(values), cuda.why_not("cpu"), str(cuda.why_not("cuda")), cuda.chip_of("cpu")


def test_the_interpreter_runs_a_kernel_on_the_memory_of_tensors(interpreter: Callable[..., Any]) -> None:
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    found, reason, other, chip = interpreter(_reverse, values)
    assert torch.equal(found, 2 * values.flip(1))
    assert reason is None and "interpreter" in other
    assert chip == HOPPER


@pytest.mark.gpu
def test_a_device_runs_a_kernel_on_the_memory_of_tensors() -> None:
    values = torch.arange(12, dtype=torch.float32, device="cuda").reshape(3, 4)
    found, reason, _, chip = _reverse(values)
    assert torch.equal(found, 2 * values.flip(1))
    assert reason == "CUDA kernels run on cuda, and the device is cpu. Choose that device, or another backend"
    assert chip.block >= 48 * 1024 and chip.registers >= 32_768
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):  # more shared memory than without asking, on a stream of one's own
        found = _reverse(values)[0]
    stream.synchronize()
    assert np.array_equal(found.cpu(), 2 * values.flip(1).cpu())
