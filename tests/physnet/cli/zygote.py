"""A process that has imported everything, and runs `physnet` in copies of itself: without it, forty kills cost minutes.

Reads a list of words as JSON from each line, answers with the number of the process that runs them, and tells when it
has ended. What such a process prints goes into files.
"""

from __future__ import annotations

import json
import os
import select
import sys
import traceback
from typing import Any

import torch

import physnet.assembly
import physnet.cli
import physnet.cli.resume
import physnet.cli.train  # what takes long is imported here, once


def run(request: dict[str, Any]) -> None:
    """Be a `physnet` process."""
    out = os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    err = os.open(request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # The old ones know what 1 and 2 were before: files that can seek, maybe, where these are pipes.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    torch.set_num_threads(1)
    code = 1
    try:
        code = physnet.cli.main(request["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def main() -> None:
    """Serve until the input ends."""
    waiting: set[int] = set()
    while True:
        ready, _, _ = select.select([0], [], [], 0.005)
        if ready:
            line = b""
            while not line.endswith(b"\n"):
                part = os.read(0, 1)
                if not part:
                    return
                line += part
            child = os.fork()
            if child == 0:
                run(json.loads(line))
            waiting.add(child)
            os.write(1, f"started {child}\n".encode())
        for child in list(waiting):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                waiting.remove(child)
                os.write(1, f"ended {child} {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
