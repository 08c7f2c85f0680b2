"""Systems to record for the tests, and a process that records one until something happens to it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Reading, ResponseSpec, SystemSpec
from physnet.errors import StorageError
from physnet.exchange import Exchange
from physnet.raw import RawWriter, open_raw


def spec(
    *, drive: tuple[int, ...] = (6,), response: tuple[int, ...] = (8,), dtype: str = "float32", **options: Any
) -> SystemSpec:
    """Return a bench's spec."""
    return SystemSpec(
        name="bench",
        kind="measured",
        drive=DriveSpec(shape=drive, dtype="float32", unit="V"),
        response=ResponseSpec(shape=response, dtype=dtype, unit="mV"),
        identity={"idn": "ACME,1"},
        **options,
    )


def values(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """Return numbers of any type."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return random.integers(0, 100, shape).astype(kind)
    real = random.standard_normal(shape)
    return (real + 1j * random.standard_normal(shape) if kind.kind == "c" else real).astype(kind)


def exchange(first: int, rows: int, bench: SystemSpec | None = None, *, dtype: str = "float32") -> Exchange:
    """Return a call whose numbers follow from its first pass number."""
    bench = bench or spec()
    return Exchange(
        passes=np.arange(first, first + rows),
        drive=values((rows, *bench.drive.shape), "float32", first),
        reading=Reading(response=values((rows, *bench.response.shape), dtype, first + 1)),
        usable=np.ones(rows, np.bool_),
        fault="",
        started=time.time(),
        stopped=time.time(),
    )


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, or be written beyond it."""
    import resource  # not on Windows
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def main(mode: str, folder: Path) -> None:
    """Record until killed, or until the disk is full; then make room and go on."""
    folder.mkdir(exist_ok=True)
    first = sum(system.rows for system in open_raw(folder).systems.values()) if any(folder.glob("raw/*.h5")) else 0
    writer = RawWriter(folder, {"bench": spec()}, segment_bytes=1 << 15, reopen=True)
    observe = writer.observer("bench")
    if mode == "record":
        while True:
            for _ in range(3):
                observe(exchange(first, 7))
                first += 7
            writer.flush()
            print(first, flush=True)
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            pass
    os.truncate(filler, max(0, filler.stat().st_size - 150_000))
    answer: dict[str, Any] = {"faults": 0, "played": 0}
    while answer["faults"] == 0:
        try:
            observe(exchange(answer["played"], 7))
            answer["played"] += 7
            writer.flush()
        except StorageError as error:
            answer |= {"faults": 1, "message": str(error)}
    try:
        writer.retry()
    except StorageError:
        answer["faults"] += 1
    answer["before"] = open_raw(folder).system().rows
    filler.unlink()
    writer.retry()
    observe(exchange(answer["played"], 7))
    writer.close()
    answer["rows"] = open_raw(folder).system().rows
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
