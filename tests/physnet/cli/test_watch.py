"""`physnet watch` on runs that go on in processes of their own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from physnet.live import Connection, Moment, find_live
from physnet.session import open_run

from .processes import Process, Start, Until

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]

LONG = ("--set", "training.epochs=16384")


@contextmanager
def running(fork: Start, until: Until, tiny: Path, runs: Path) -> Iterator[Process]:
    """Train until told otherwise."""
    with fork("train", tiny, "--json", "--output", runs, *LONG) as process:
        try:
            until(lambda: bool(find_live(runs)), process)
            yield process
        finally:
            process.kill()


@contextmanager
def viewing(runs: Path) -> Iterator[Connection]:
    ((folder, address),) = find_live(runs)
    with Connection(folder, address) as connection:
        yield connection


def seen(connection: Connection, condition: Callable[[Moment], bool]) -> Moment:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        moment = connection.receive(1)
        if moment is not None and condition(moment):
            return moment
    raise AssertionError("it was not seen within 30 s")


def test_a_run_is_seen_paused_let_go_on_and_missed_when_it_dies(
    call: Call, fork: Start, until: Until, tiny: Path, runs: Path
) -> None:
    with running(fork, until, tiny, runs) as process, viewing(runs) as connection:
        seen(connection, lambda moment: moment.state == "running" and moment.step > 0)
        folder = connection.folder

        once = call("watch", runs, "--once")
        assert (once.returncode, once.stderr) == (0, "")
        assert "Tiny digits" in once.stdout
        assert "SIMULATED physics" in once.stdout
        assert "\x1b" not in once.stdout
        as_json = json.loads(call("watch", folder, "--json").stdout)
        assert (as_json["state"], as_json["pid"], as_json["epochs"]) == ("running", process.pid, 16384)
        assert "token" not in as_json
        listed = call("watch", runs, "--list").stdout
        assert folder.name in listed
        assert f"process {process.pid}" in listed

        connection.ask("pause")
        first = seen(connection, lambda moment: moment.state == "paused")
        later = seen(connection, lambda moment: moment.seconds > first.seconds)
        assert (later.step, later.physical_passes) == (first.step, first.physical_passes)
        connection.ask("continue")
        seen(connection, lambda moment: moment.state == "running" and moment.step > first.step)

        with fork("watch", runs) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline().startswith("epoch ")
            process.kill()
            _, err = follower.communicate()
        assert follower.returncode == 3
        assert "gone without a word" in " ".join(err.split())
        assert f"physnet resume {folder}" in err
    stale = call("watch", runs)
    assert stale.returncode == 2
    assert "has gone without a word" in " ".join(stale.stderr.split())
    assert f"What it recorded: physnet show {folder}" in stale.stderr
    assert f"physnet resume {folder}" in stale.stderr
    assert call("watch", runs, "--list").returncode == 2


def test_a_run_interrupted_from_a_pause_can_be_resumed(fork: Start, until: Until, tiny: Path, runs: Path) -> None:
    with running(fork, until, tiny, runs) as process, viewing(runs) as connection:
        connection.ask("pause")
        seen(connection, lambda moment: moment.state == "paused")
        connection.ask("interrupt")
        ended = seen(connection, lambda moment: moment.state == "finished")
        _, err = process.communicate(timeout=60)
        folder = connection.folder
    assert process.returncode == 130, err
    assert ended.status == "interrupted"
    assert open_run(folder).status == "interrupted"
    assert find_live(runs) == []
    assert [event.message for event in ended.events if "went on" in event.message] == []


def test_among_several_runs_the_newest_living_one_is_shown(
    call: Call, fork: Start, until: Until, tiny: Path, runs: Path
) -> None:
    with running(fork, until, tiny, runs) as process, viewing(runs) as connection:
        ((folder, address),) = find_live(runs)
        for name, later, port in (("dead", 2, 1), ("older", -1, address.port), ("newer", 1, address.port)):
            (runs / name).mkdir()
            replace(address, started=address.started + later, port=port).write(runs / name)
        answer = call("watch", runs, "--once")
        assert answer.returncode == 0
        assert folder.name in answer.stdout
        err = " ".join(answer.stderr.split())
        assert "dead has gone without a word" in err
        assert "this is the newest run that goes on, newer. All: physnet watch" in err
        assert call("watch", runs, "--list").stdout.count(f"process {process.pid}") == 3
        connection.ask("interrupt")
        process.communicate(timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_the_viewer_leaves_a_run_alone_with_ctrl_c_and_finishes_it_when_asked(
    fork: Start, until: Until, tiny: Path, runs: Path
) -> None:
    with running(fork, until, tiny, runs) as process:
        with terminal("watch", runs) as (viewer, near):
            screen = read_until(near, b"RUNNING")
            assert b"Tiny digits" in screen
            os.write(near, b"\x03")
            screen += read_until(near, b"The run goes on")
            assert viewer.wait(30) == 0
        assert screen.index(b"\x1b[?1049h") < screen.rindex(b"\x1b[?1049l")
        assert process.poll() is None
        with terminal("watch", runs) as (viewer, near):
            read_until(near, b"RUNNING")
            os.write(near, b"s")
            read_until(near, b"test and end?")
            os.write(near, b"y")
            read_until(near, b"look at it: physnet show")
            assert viewer.wait(30) == 0
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert result["status"] == "done"
    assert result["test_accuracy"] is not None


def test_where_no_run_goes_on_the_way_to_look_at_old_ones_is_told(
    call: Call, tmp_path: Path, trained: tuple[Path, Answer]
) -> None:
    for folder in (trained[0], trained[0].parent):
        answer = call("watch", folder)
        assert answer.returncode == 2
        assert "no run goes on" in " ".join(answer.stderr.split())
        assert f"physnet show {folder}" in answer.stderr
    missing = call("watch", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "there is no such folder" in " ".join(missing.stderr.split())


@contextmanager
def terminal(*words: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `physnet` on a terminal of 80 x 24."""
    import fcntl
    import pty
    import struct
    import termios

    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def take() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it as a signal

    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONUTF8": "1", "TERM": "xterm"}
    program = [sys.executable, "-m", "physnet", *map(str, words)]
    try:
        with subprocess.Popen(program, stdin=far, stdout=far, stderr=far, env=environment, preexec_fn=take) as process:
            os.close(far)
            try:
                yield process, near
            finally:
                process.kill()
    finally:
        os.close(near)


def read_until(near: int, text: bytes) -> bytes:
    data, deadline = b"", time.monotonic() + 30
    while text not in data:
        assert time.monotonic() < deadline, data
        if select.select([near], [], [], 0.5)[0]:
            data += os.read(near, 1 << 16)
    return data
