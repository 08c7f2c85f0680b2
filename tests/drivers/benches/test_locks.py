"""One program a bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from physnet.drivers.benches.locks import BenchLock
from physnet.errors import InputError

LINE = "TCPIP0::192.0.2.7::5025::SOCKET"
HOLD = """
import sys, pathlib
from physnet.drivers.benches.locks import BenchLock
with BenchLock("theirs", [sys.argv[2]], folder=pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with BenchLock("one", [LINE], folder=tmp_path):
        other = BenchLock("two", ["COM3", "tcpip::192.0.2.7::5025::socket"], folder=tmp_path)
        with pytest.raises(InputError, match=r"must be free, and another program holds it.*bench one"), other:
            pass
        with BenchLock("three", ["COM3"], folder=tmp_path):  # the refused one gave back what it had taken
            pass
    with other:
        pass


def test_a_killed_program_leaves_no_lock_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), LINE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="bench theirs"), BenchLock("mine", [LINE], folder=tmp_path):
            pass
        child.kill()
        child.wait()
        with BenchLock("mine", [LINE], folder=tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be locked in"), BenchLock("b", [LINE], folder=tmp_path / "file"):
        pass
