from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = """
kind = "tones"
[source]
type = "keysight_33500b"
channels = [1]
load = [50.0]
[detector]
type = "keysight_infiniivision"
channels = [1]
[simulation]
medium = { type = "wire" }
faults = { source = { script = [[0, "delay"]] } }
[simulation.resources]
source = "TCPIP::127.0.0.1::0::SOCKET"
detector = "TCPIP::127.0.0.1::0::SOCKET"
"""
RUN = "import argparse, sys\nfrom physnet.cli.simulate import simulate\n"
RUN += "sys.exit(simulate(argparse.Namespace(bench=sys.argv[1])))"


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_it_tells_where_instruments_are_serves_them_and_ends_in_order_when_told_to(tmp_path: Path) -> None:
    file = tmp_path / "bench.toml"
    file.write_text(BENCH)
    process = subprocess.Popen([sys.executable, "-c", RUN, str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != "ready\n":
            lines.append(process.stdout.readline())
            assert lines[-1], "it ended before it was ready"
        assert [line.split()[0] for line in lines] == ["source", "detector", "ready"]
        with socket.create_connection(("127.0.0.1", int(lines[0].split("::")[2])), timeout=10) as connection:
            connection.sendall(b"*IDN?\n")
            assert b"SIMULATED" in connection.recv(100)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert rest == "faults of the source: 1 delay\n"
    finally:
        process.kill()
        process.wait()


def test_a_file_that_is_no_bench_ends_with_exit_code_2_and_a_reason(tmp_path: Path) -> None:
    from physnet.cli import main

    for name, text in (("none", None), ("toml", "kind = ["), ("kind", 'kind = "radio"'), ("bytes", "\udcff")):
        file = tmp_path / f"{name}.toml"
        if text is not None:
            file.write_text(text, errors="surrogateescape")
        assert main(["simulate", str(file)]) == 2
