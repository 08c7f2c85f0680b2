"""The acoustic cavity's CUDA kernel compiled, without a device: needs NVVM and NVRTC, which the extra cuda brings."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from physnet.simulators.acoustic_cuda_plan import Plan

PLAN = Plan(
    lines=8, shape=(21, 40), order=2, slabs=(5, 5, 5, 5), uniform=True, nonlinear=False, single=True
)  # fmt: skip


def compiled(plan: Plan, capability: tuple[int, int]) -> str:
    """Return a kernel's PTX for a compute capability."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda")
    found: Any = importlib.import_module("cuda.pathfinder")
    for library in ("nvvm", "nvrtc"):
        try:
            found.load_nvidia_dynamic_lib(library)
        except found.DynamicLibNotFoundError:
            pytest.skip(f"needs {library}, which the extra cuda brings")
    cuda: Any = importlib.import_module("numba.cuda")
    kernels = importlib.import_module("physnet.simulators.acoustic_cuda_kernels")
    real, integer, wide = cuda.float32[::1], cuda.int32[::1], cuda.int64[::1]
    types = (
        real, real, integer, real, real, real, real, *(cuda.int32,) * 8, integer, real, real, wide, integer, real, real,
        wide,
    )  # fmt: skip
    ptx, _ = cuda.compile_ptx(
        kernels.make_kernel(plan).py_func, types, cc=capability, launch_bounds=(plan.threads, plan.rows)
    )
    return str(ptx)


@pytest.mark.parametrize(
    ("capability", "change"), [((9, 0), {}), ((8, 9), {"order": 4, "slabs": (0, 0, 0, 0), "uniform": False})]
)
def test_a_strip_of_cells_stays_in_registers(tmp_path: Path, capability: tuple[int, int], change: Any) -> None:
    plan = dataclasses.replace(PLAN, **change)
    ptx = compiled(plan, capability)
    assert "__local_depot" not in ptx  # where arrays go whose indices are not constant
    assert ptx.count("bar.sync") >= 4 and "fma.rn.f32" in ptx
    assembler = shutil.which("ptxas")
    if assembler is None:
        return
    (tmp_path / "kernel.ptx").write_text(ptx)
    target = f"sm_{capability[0]}{capability[1]}"
    command = [assembler, "-v", f"-arch={target}", "-o", str(tmp_path / "kernel.cubin"), str(tmp_path / "kernel.ptx")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in said, said
