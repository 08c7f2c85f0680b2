"""`physnet` processes that start at once, and may be killed: copies of one that has imported everything."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

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

    def start(self, *words: object) -> tuple[int, Path]:
        """Start one, and return its number and where it prints to."""
        assert self._server.stdin is not None
        self._count += 1
        out, err = self._folder / f"{self._count}.out", self._folder / f"{self._count}.err"
        request = {"words": [str(word) for word in words], "out": str(out), "err": str(err)}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        return int(self._next("started").split()[1]), out

    def wait(self, process: int) -> int:
        """Wait for its end and return the exit code."""
        while process not in self._ended:
            _, number, code = self._next("ended").split()
            self._ended[int(number)] = int(code)
        return self._ended[process]

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
