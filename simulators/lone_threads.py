"""Threads that each do a share of the rows from beginning to end, and wait for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def lone_threads(threads: int, *, flush: bool = True) -> Iterator[ThreadPoolExecutor]:
    """Open threads in which torch uses no others.

    torch's number of threads is restored in the end: new threads would inherit it.

    Args:
        threads: How many.
        flush: Numbers too small to be normal become 0 in them.
    """

    def begin() -> None:
        torch.set_flush_denormal(flush)
        torch.get_num_threads()  # a thread takes on torch's number when it is first asked for: before it is set
        torch.set_num_threads(1)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=begin) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
