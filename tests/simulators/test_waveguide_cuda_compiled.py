"""The CUDA kernel of the Schroedinger equation as the compiler sees it, where there is one: without any device.

The interpreter knows no types. Compiled, a number in double precision would be many times slower, and so would be a
function that is not inlined, or an array that is not in registers.
"""

from __future__ import annotations

import importlib
import re
from types import SimpleNamespace
from typing import Any

import pytest

CAPABILITY = (9, 0)


@pytest.fixture
def compile_kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compile a kernel of `waveguide_cuda_kernels` to PTX; skip without numba-cuda, NVVM or NVRTC."""
    pytest.importorskip("numba_cuda")
    pathfinder = importlib.import_module("cuda.pathfinder")
    for library in ("nvvm", "nvrtc"):
        try:
            pathfinder.load_nvidia_dynamic_lib(library)
        except Exception as error:  # of a kind that differs between its versions
            pytest.skip(f"needs {library}, which pip install 'physnet[cuda]' brings: {error}")
    cuda: Any = importlib.import_module("numba.cuda")
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    device = SimpleNamespace(compute_capability=CAPABILITY)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: device)  # parts of kernels are compiled for it
    kernels: Any = importlib.import_module("physnet.simulators.waveguide_cuda_kernels")
    monkeypatch.setattr(kernels, "kernel", lambda function, **options: (function, options))

    def compiled(samples: int, late: bool) -> str:
        function, options = kernels.make.__wrapped__(samples, late)
        floats, ints = cuda.types.float32, cuda.types.int32
        arrays = ((floats, 3), (floats, 2), (floats, 4), (ints, 2), (ints, 3), (floats, 3), (cuda.types.int64, 1))
        signature = (*(cuda.types.Array(kind, axes, "C") for kind, axes in arrays), floats, floats)
        ptx, _ = cuda.compile(function, signature, cc=CAPABILITY, device=False, abi="numba", **options)
        return str(ptx)

    return compiled


def test_everything_is_single_precision_inlined_and_in_registers(compile_kernel: Any) -> None:
    ptx = compile_kernel(128, True)
    assert ".target sm_90" in ptx
    assert re.findall(r"\.f64\b", ptx) == []
    assert re.findall(r"\b(?:call|ld\.local|st\.local)\b", ptx) == []
    # Two passes of sixteen points, forth and back, of the field and of the late response, are 600 sums and more.
    assert len(re.findall(r"\b(?:add|sub)\.f32\b", ptx)) > 600
    # A change of threads there and one back, for two filters; one at a look, and its sums: 3 + log2(8 threads), twice.
    assert ptx.count("bar.sync") == 2 * 2 + 1 + 2 * (3 + 3)
