"""What kernels for CUDA devices stand on: whether they can run, what a chip has room for, and how they are launched.

Kernels are Python functions, compiled by numba-cuda. Where the environment variable NUMBA_ENABLE_CUDASIM is 1 before
numba is imported, an interpreter runs them instead, on the CPU and on CPU tensors: slowly, for tests and for finding
faults without a GPU. Nothing here imports numba before it is needed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

_ALWAYS = 48 * 1024  # bytes of shared memory that a block may have without asking for more
_FIRST = threading.Lock()  # numba compiles in one thread


@dataclass(frozen=True, kw_only=True)
class Chip:
    """What a CUDA device offers to a kernel.

    Args:
        name: As its maker calls it.
        capability: Compute capability, major and minor.
        multiprocessors: How many.
        warps: Groups of 32 threads that a multiprocessor has room for.
        registers: 32-bit registers of a multiprocessor.
        shared: Shared memory of a multiprocessor, bytes; a block on it takes 1 KiB more than it asks for.
        block: Shared memory that one block may ask for, bytes.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    warps: int
    registers: int
    shared: int
    block: int

    def blocks(self, *, threads: int, registers: int, shared: int) -> int:
        """Return how many blocks a multiprocessor has room for at once; 0 if not even for one.

        Args:
            threads: Of a block.
            registers: Of a thread; handed out in eights.
            shared: Shared memory of a block, bytes.
        """
        warps = -(-threads // 32)
        if threads > 1024 or registers > 255 or shared > self.block:
            return 0
        per_warp = 32 * (-(-registers // 8) * 8)
        return min(self.warps // warps, self.registers // (warps * per_warp), self.shared // (shared + 1024))


HOPPER = Chip(
    name="H100 or H200",
    capability=(9, 0),
    multiprocessors=132,
    warps=64,
    registers=65_536,
    shared=228 * 1024,
    block=227 * 1024,
)
"""Also what the interpreter passes for. Source: CUDA C++ Programming Guide 13.0, table of technical specifications."""

CONSUMER = Chip(
    name="GeForce RTX 4090",
    capability=(8, 9),
    multiprocessors=128,
    warps=48,
    registers=65_536,
    shared=100 * 1024,
    block=99 * 1024,
)
"""The same source, compute capability 8.9."""


def is_interpreted() -> bool:
    """Whether the interpreter runs the kernels, on the CPU."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def why_not(device: torch.device | str) -> str | None:
    """Return why kernels can't run on a device, with the way out; None if they can.

    The interpreter runs them on `cpu`, and on nothing else.
    """
    kind = torch.device(device).type
    if kind != ("cpu" if is_interpreted() else "cuda"):
        where = "the interpreter of CUDA kernels runs on cpu" if is_interpreted() else "CUDA kernels run on cuda"
        return f"{where}, and the device is {device}. Choose that device, or another backend"
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed. pip install 'physnet[cuda]' brings it"
    if kind == "cuda" and torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA. Install torch's build for CUDA"
    if kind == "cuda" and not torch.cuda.is_available():
        return "torch finds no CUDA device. nvidia-smi tells whether the driver does"
    return None


def chip_of(device: torch.device | str) -> Chip:
    """Return what a device offers; the interpreter passes for `HOPPER`."""
    if is_interpreted():
        return HOPPER
    found, ours = torch.cuda.get_device_properties(device), _cuda().gpus[_index(device)]
    return Chip(
        name=found.name,
        capability=(found.major, found.minor),
        multiprocessors=found.multi_processor_count,
        warps=found.max_threads_per_multi_processor // 32,
        registers=int(ours.MAX_REGISTERS_PER_MULTIPROCESSOR),
        shared=int(ours.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
        block=int(ours.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
    )


def kernel(function: Callable[..., None], **options: Any) -> Any:
    """Turn a function into a kernel for `launch`.

    What an enclosing function has set for it, numbers and truth values, is constant in the compiled code: loops over
    `range` of such a number are unrolled, and `cuda.local.array` of such a size becomes registers, as long as every
    index into it is constant then.

    Args:
        function: Refers to the module `numba.cuda` by a global name, so that the interpreter can take its place.
        options: Of `numba.cuda.jit`, as `fastmath`, `max_registers`, `launch_bounds`; the interpreter ignores them.
    """
    cuda = _cuda()
    return cuda.jit(function) if is_interpreted() else cuda.jit(**options)(function)


def launch(kernel: Any, *arguments: Any, blocks: int, threads: int, shared: int = 0) -> None:
    """Run a kernel on torch's current stream; return before it ends, unless it is interpreted.

    Args:
        kernel: From `kernel`.
        arguments: Tensors are passed as they are, without a copy, contiguous ones as such, and must all be on one
            device. A first call with new types compiles. Numbers keep their type only as NumPy's: `np.float32(x)`.
        blocks: Of the grid.
        threads: Of a block.
        shared: Dynamic shared memory of a block, bytes.
    """
    tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
    if is_interpreted():
        views = [one.detach().numpy() if isinstance(one, torch.Tensor) else one for one in arguments]
        kernel[blocks, threads, 0, shared](*views)
        return
    cuda, device = _cuda(), tensors[0].device
    with _FIRST, torch.cuda.device(device), cuda.gpus[_index(device)]:
        given = [
            cuda.as_cuda_array(one.detach(), sync=False) if isinstance(one, torch.Tensor) else one for one in arguments
        ]
        if shared > _ALWAYS:
            _allow(kernel, given, shared, _index(device))
        stream = cuda.external_stream(torch.cuda.current_stream(device).cuda_stream)
        kernel[blocks, threads, stream, shared](*given)


def _allow(kernel: Any, given: list[Any], shared: int, device: int) -> None:
    """Let a kernel's blocks have more shared memory than every chip gives."""
    driver = importlib.import_module("numba.cuda.cudadrv.driver")
    attribute = driver.binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    compiled = kernel.compile(tuple(kernel.typeof_pyval(one) for one in given))
    driver.driver.cuKernelSetAttribute(attribute, shared, compiled.library.get_cufunc().handle, device)


def _index(device: torch.device | str) -> int:
    index = torch.device(device).index
    return torch.cuda.current_device() if index is None else index


def _cuda() -> Any:
    # A small batch leaves multiprocessors idle, which is no reason to warn.
    config: Any = importlib.import_module("numba.cuda.core.config")
    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
    return importlib.import_module("numba.cuda")
