"""Threads that each do a share of the rows from beginning to end, and wait for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def lone_threads(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Open threads in which torch uses no others, and flushes numbers too small to be normal to zero.

    torch's number of threads is restored in the end: new threads would inherit it.
    """

    def begin() -> None:
        torch.set_flush_denormal(True)
        torch.get_num_threads()  # a thread takes on torch's number when it is first asked for: before it is set
        torch.set_num_threads(1)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=begin) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
