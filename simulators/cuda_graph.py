"""Work of torch on a CUDA device, recorded once and launched again as a whole.

A loop of small operations is bound by their launches, some microseconds each. A CUDA graph launches all of them at
once. It works on the memory that it was recorded with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

_ONE = threading.Lock()  # records at a time: layers with systems on one device are measured in threads of their own


def record(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Record what a function launches, and return what launches it again on torch's current stream.

    The function runs before, so that libraries have made their plans, and what it changes is changed.

    Args:
        work: Reads and writes tensors that stay where they are, waits for nothing and asks for no values.
        device: A CUDA device.
    """
    with _ONE, torch.no_grad(), torch.cuda.device(device):
        aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may go on
            work()
    replay: Callable[[], None] = graph.replay
    return replay
