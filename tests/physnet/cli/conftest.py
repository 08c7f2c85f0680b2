"""A tiny experiment, and two ways to run the command line on it: in this process, and in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from physnet.cli import main

from .processes import Process, Processes, Start, Until

ROOT = Path(__file__).parents[3]
TINY = """\
title = "Tiny digits"

[data]
name = "digits"
train_limit = 200
test_limit = 60

[systems.lower]
type = "scattering"
responses = 30

[systems.lower.impairments]
noise = 0.02

[systems.upper]
type = "scattering"
responses = 30

[[layers]]
system = "lower"
width = 20

[[layers]]
system = "upper"
width = 20

[rule]
name = "mono_forward"

[training]
epochs = 2
batch_size = 50
"""

Answer = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def call() -> Callable[..., Answer]:
    """Run `physnet` with some words in this process."""

    def run(*words: object) -> Answer:
        arguments, out, err = [str(word) for word in words], io.StringIO(), io.StringIO()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as below
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(arguments)
            except SystemExit as ended:  # argparse
                code = int(ended.code or 0)
            finally:
                torch.set_num_threads(threads)
        return Answer(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start `physnet` with some words in a process of its own."""

    def run(*words: object, code: str | None = None, **environment: str) -> subprocess.Popen[str]:
        program = ["-m", "physnet"] if code is None else ["-c", code]
        return subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # One thread: threads that wait for each other on busy cores take ten times as long on layers this small.
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", **environment},
        )

    return run


@pytest.fixture(scope="session")
def fork(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start `physnet` in a copy of a process that has imported everything, where the system can copy one.

    It is as good as `start` for whoever does not ask how a process begins, and takes a tenth of its time.
    """
    if os.name == "nt":
        yield start
        return
    processes = Processes(tmp_path_factory.mktemp("printed"))
    yield processes.popen
    processes.close()


@pytest.fixture(scope="session")
def until() -> Until:
    """Wait until something about a process is so, the process has ended, or a minute is over."""

    def wait(condition: Callable[[], bool], process: Process) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.002)
                return

    return wait


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The tiny experiment in a file of its own."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder for runs, which does not exist yet."""
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, call: Callable[..., Answer]) -> tuple[Path, Answer]:
    """The folder of a finished run, with two splits and noise, and what training it printed. Not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    answer = call("train", folder / "tiny.toml", "--output", folder / "runs", "--json")
    assert answer.returncode == 0, answer.stderr
    (run,) = (folder / "runs").iterdir()
    return run, answer


@pytest.fixture(scope="session")
def needs_tmpfs() -> None:
    """Skip where a user can't mount a small disk of their own."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    probe = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o size=4m none /mnt"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this machine lets no user mount a tmpfs")
