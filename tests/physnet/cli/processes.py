"""`physnet` processes that start at once, and may be killed: copies of one that has imported everything."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

ZYGOTE = Path(__file__).with_name("zygote.py")
ROOT = Path(__file__).parents[3]


class Processes:
    """`physnet` processes that start at once, and may be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, str(ZYGOTE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._ended: dict[int, int] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._lines.put(line.decode())

    def start(self, *words: object, pipes: bool = False) -> tuple[int, Path]:
        """Start one, and return its number and where it prints to: files, or pipes that wait for a reader."""
        assert self._server.stdin is not None
        self._count += 1
        out, err = self._folder / f"{self._count}.out", self._folder / f"{self._count}.err"
        if pipes:
            os.mkfifo(out)
            os.mkfifo(err)
        request = {"words": [str(word) for word in words], "out": str(out), "err": str(err)}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        return int(self._next("started").split()[1]), out

    def wait(self, process: int, timeout: float = 120) -> int:
        """Wait for its end and return the exit code.

        Raises:
            queue.Empty: It has not ended after so many seconds.
        """
        deadline = time.monotonic() + timeout
        while process not in self._ended:
            _, number, code = self._lines.get(timeout=max(0.0, deadline - time.monotonic())).split()
            self._ended[int(number)] = int(code)
        return self._ended[process]

    def popen(self, *words: object) -> Forked:
        """Start one, as `subprocess.Popen` would."""
        return Forked(self, *words)

    def ended(self, process: int) -> bool:
        """Whether it came to its own end before a kill."""
        return self.wait(process) != -signal.SIGKILL

    def run(self, *words: object) -> tuple[int, str]:
        """Run one to its end; return its exit code and what it printed."""
        process, out = self.start(*words)
        code = self.wait(process)
        return code, out.read_text() + out.with_suffix(".err").read_text()

    def _next(self, kind: str) -> str:
        while True:
            line = self._lines.get(timeout=120)
            if line.startswith(kind):
                return line
            _, number, code = line.split()
            self._ended[int(number)] = int(code)

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        self._server.stdout.close()


class Forked:
    """One of these processes, with what the tests use of `subprocess.Popen`."""

    def __init__(self, processes: Processes, *words: object) -> None:
        self._processes = processes
        self.pid, out = processes.start(*words, pipes=True)
        # In the order in which the other side opens them.
        self.stdout = out.open(encoding="utf-8")
        self.stderr = out.with_suffix(".err").open(encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while it goes on."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code."""
        try:
            self.returncode = self._processes.wait(self.pid, 120 if timeout is None else timeout)
        except queue.Empty:
            raise subprocess.TimeoutExpired("physnet", timeout or 120) from None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read all that it prints, to its end."""
        with ThreadPoolExecutor(1) as pool:
            out = pool.submit(self.stdout.read)
            err = self.stderr.read()
        self.wait(timeout)
        self._close()
        return out.result(), err

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self.wait()

    def _close(self) -> None:
        self.stdout.close()
        self.stderr.close()


Process = subprocess.Popen[str] | Forked
Start = Callable[..., Process]
Until = Callable[[Callable[[], bool], Process], None]
