"""What a binary query costs over each transport: `python benchmarks/instruments.py [tcp] [serial]`.

A query is sent, and a block of float32 comes back from a server in another process, over loopback or over a pseudo
terminal. The floor is the system's own calls with one buffer that is there already, and nothing checked: `recv_into` or
pyserial's `read`. physnet fills one row of a batch (`out=`), unless said otherwise.

Each way takes turns with the floor, query by query; a ratio is that of the two beside each other. Run it on a machine
that does nothing else: both sides of a line need a core. The lowest tenth is what is left of the figures on one that
does.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import platform
import socket
import statistics
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pyvisa
import serial
from cobs import cobs
from numpy.typing import NDArray

from physnet.drivers.boards.link import BoardLink
from physnet.drivers.boards.messages import Kind
from physnet.drivers.boards.stream import SerialStream
from physnet.drivers.scpi import ScpiSession
from physnet.drivers.serial_transport import SerialTransport
from physnet.drivers.socket_transport import SocketTransport
from physnet.drivers.visa_transport import VisaTransport, resource_manager

QUERY = b"CURV?\n"
Way = Callable[[], NDArray[Any]]


def block(count: int) -> bytes:
    """Return the answer, made by hand. It has no line end inside, which pyvisa-py could not read otherwise."""
    payload = np.full(count, 1.5, "<f4").tobytes()
    length = str(len(payload))
    return f"#{len(length)}{length}".encode() + payload + b"\n"


def answer(line: bytes, count: int) -> bytes:
    return b"BENCH,LOOPBACK,1,0\n" if b"*IDN?" in line else block(count) if b"CURV?" in line else b""


def serve_tcp(count: int, ports: Connection) -> None:
    """Serve one connection after the other, each in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    ports.send(listener.getsockname()[1])
    whole = block(count)
    connections = []
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections.append(connection)  # keeps it open in this process
        if os.fork() == 0:
            while data := connection.recv(65536):
                connection.sendall(whole if data.endswith(QUERY) else answer(data, count))
            os._exit(0)


def serve_terminal(count: int, master: int) -> None:
    whole = block(count)
    while data := os.read(master, 65536):
        left = memoryview(whole if data.endswith(QUERY) else answer(data, count))
        while left:
            left = left[os.write(master, left) :]


@contextlib.contextmanager
def running(target: Callable[..., None], *arguments: object) -> Iterator[None]:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def raw_socket(port: int, count: int, stack: contextlib.ExitStack) -> Way:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(len(block(count)))
    view, start = memoryview(buffer), len(buffer) - 1 - 4 * count

    def ask() -> NDArray[Any]:
        connection.sendall(QUERY)
        done = 0
        while done < len(buffer):
            done += connection.recv_into(view[done:])
        return np.frombuffer(buffer, "<f4", count, start)

    return ask


def raw_visa(port: int, count: int, stack: contextlib.ExitStack, *, exact: bool) -> Way:
    resource: Any = resource_manager("@py").open_resource(f"TCPIP::127.0.0.1::{port}::SOCKET")
    stack.callback(resource.close)
    resource.timeout = 10_000
    length = len(block(count))
    if exact:
        resource.read_termination = None

        def ask() -> NDArray[Any]:
            resource.write_raw(QUERY)
            return np.frombuffer(resource.read_bytes(length), "<f4", count, length - 1 - 4 * count)

        return ask
    resource.read_termination = "\n"

    def ask_binary() -> NDArray[Any]:
        values: NDArray[Any] = resource.query_binary_values(
            "CURV?", "f", is_big_endian=False, container=np.array, chunk_size=length
        )
        return values

    return ask_binary


def ours(session: ScpiSession, count: int, stack: contextlib.ExitStack, *, out: bool = True) -> Way:
    if not session.identity:
        stack.enter_context(session)
    if out:
        row = np.empty(count, "<f4")
        return lambda: session.query_block("CURV?", "<f4", count, out=row)
    return lambda: session.query_block("CURV?", "<f4", count)


def raw_terminal(port: str, count: int, stack: contextlib.ExitStack) -> Way:
    number = os.open(port, os.O_RDWR | os.O_NOCTTY)
    stack.callback(os.close, number)
    buffer = bytearray(len(block(count)))
    view, start = memoryview(buffer), len(buffer) - 1 - 4 * count

    def ask() -> NDArray[Any]:
        os.write(number, QUERY)
        done = 0
        while done < len(buffer):
            done += os.readv(number, [view[done:]])
        return np.frombuffer(buffer, "<f4", count, start)

    return ask


def raw_serial(port: str, count: int, stack: contextlib.ExitStack) -> Way:
    line = stack.enter_context(serial.Serial(port, 115200, timeout=10, write_timeout=10))
    length = len(block(count))

    def ask() -> NDArray[Any]:
        line.write(QUERY)
        return np.frombuffer(line.read(length), "<f4", count, length - 1 - 4 * count)

    return ask


def compare(line: str, count: int, ways: dict[str, Way], repeats: int) -> None:
    """Let each way take turns with the first one, and print what both take."""
    (_, ask_floor), *others = ways.items()
    for name, ask in others:
        taken: tuple[list[float], list[float]] = ([], [])
        for repeat in range(repeats + repeats // 10):
            for way, seconds in zip((ask_floor, ask), taken, strict=True):
                began = time.perf_counter()
                values = way()
                ended = time.perf_counter()
                assert len(values) == count and values[-1] == 1.5, name
                if repeat >= repeats // 10:  # the first ones fill caches
                    seconds.append(ended - began)
        (base, quiet_base), (median, quiet) = figures(taken[0]), figures(taken[1])
        print(
            f"| {line} | {count} | {name} | {1e6 * median:.1f} | {1e6 * base:.1f} | {median / base:.2f} | "
            f"{1e6 * quiet:.1f} | {quiet / quiet_base:.2f} |",
            flush=True,
        )


def figures(taken: list[float]) -> tuple[float, float]:
    """Return the median and the lowest tenth: what a query takes when nothing else uses the machine."""
    return statistics.median(taken), sorted(taken)[len(taken) // 10]


def tcp(count: int, repeats: int) -> None:
    here, there = multiprocessing.Pipe()
    with running(serve_tcp, count, there), contextlib.ExitStack() as stack:
        port = here.recv()
        name = f"TCPIP::127.0.0.1::{port}::SOCKET"
        visa = VisaTransport(f"TCPIP::localhost::{port}::SOCKET", backend="@py")
        own = ScpiSession(SocketTransport(name))
        ways = {
            "raw socket, recv_into": raw_socket(port, count, stack),
            "physnet, own socket": ours(own, count, stack),
            "physnet, own socket, a new array each": ours(own, count, stack, out=False),
            "physnet, pyvisa-py": ours(ScpiSession(visa), count, stack),
            "pyvisa-py, exact read_bytes": raw_visa(port, count, stack, exact=True),
            "pyvisa-py, query_binary_values": raw_visa(port, count, stack, exact=False),
        }
        compare("TCP", count, ways, repeats)


def terminal(count: int, repeats: int) -> None:
    import tty

    with contextlib.ExitStack() as stack:
        ways: dict[str, Way] = {}
        for name in ("raw pyserial, read", "raw os.readv", "physnet, serial"):
            master, slave = os.openpty()  # a line has one reader: each way has its own
            tty.setraw(slave)
            port = os.ttyname(slave)
            stack.callback(os.close, slave)
            stack.enter_context(running(serve_terminal, count, master))
            os.close(master)
            ways[name] = (
                raw_terminal(port, count, stack)
                if name == "raw os.readv"
                else raw_serial(port, count, stack)
                if name == "raw pyserial, read"
                else ours(ScpiSession(SerialTransport(port)), count, stack)
            )
        compare("serial (pty)", count, ways, repeats)


# What a board says of itself: firmware/README.md has the fields. Sixteen frames fit into its buffer.
ABOUT = struct.pack(
    "<BBBBBx8sHBBHHHHIIiiiiB", 1, 1, 0, 0, 1, b"BENCHTOP", 2, 12, 12, 2, 0, 16, 8000, 500, 10**6, 0, 10**6, 0, 10**6, 0
)
REQUEST = b"\1\2\3\4"


def frame(kind: int, number: bytes, payload: bytes) -> bytes:
    """Return a frame, made by hand."""
    whole = struct.pack("<BB4sH", 1, kind, number, len(payload)) + payload
    return bytes(cobs.encode(whole + struct.pack("<I", zlib.crc32(whole)))) + b"\0"


def serve_frames(payload: bytes, master: int) -> None:
    """Answer each framed request with the same payload."""
    rest = b""
    while data := os.read(master, 65536):
        *requests, rest = (rest + data).split(b"\0")
        for request in filter(None, requests):
            body = cobs.decode(request)
            left = memoryview(frame(body[1] | 0x80, body[2:6], ABOUT if body[1] == Kind.IDENTIFY else payload))
            while left:
                left = left[os.write(master, left) :]


def frames(count: int, rows: int, repeats: int) -> None:
    """Rows of a board by its framed protocol, beside raw pyserial that sends and reads the same bytes unchecked."""
    import tty

    payload = np.full(count, 1.5, "<f4").tobytes()
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(2):  # a line has one reader
            master, slave = os.openpty()
            tty.setraw(slave)
            ports.append(os.ttyname(slave))
            stack.callback(os.close, slave)
            stack.enter_context(running(serve_frames, payload, master))
            os.close(master)
        line = stack.enter_context(serial.Serial(ports[0], 115200, timeout=10, write_timeout=10))
        question = frame(Kind.PLAY, b"BNCH", REQUEST)
        length = len(frame(Kind.PLAY | 0x80, b"BNCH", payload))
        link = BoardLink(SerialStream(ports[1]), timeout=10.0)
        stack.callback(link.close)
        link.identify(timeout=10.0)

        def unchecked() -> NDArray[Any]:
            for _ in range(rows):
                line.write(question)
                line.read(length)
            return np.full(count, 1.5, "<f4")  # what it read is not looked at

        def framed() -> NDArray[Any]:
            outcomes = link.exchange_many(Kind.PLAY, [REQUEST] * rows)
            values = [np.frombuffer(outcome.payload or b"", "<f4") for outcome in outcomes]
            return values[-1]

        compare(f"serial (pty), {rows} rows", count, {"raw pyserial": unchecked, "physnet, framed": framed}, repeats)


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["tcp", "serial"], metavar="tcp|serial")
    parser.add_argument("--repeats", type=int, default=1000, help="queries of 1 000 numbers; a fifth of it for 100 000")
    arguments = parser.parse_args()
    print(
        f"Python {platform.python_version()} {platform.machine()}, pyvisa {pyvisa.__version__}, "
        f"pyserial {serial.VERSION}"
    )
    print(
        "\n| line | float32 | way | us, median | floor | ratio | us, lowest tenth | ratio |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    for count in (1_000, 100_000):
        repeats = max(10, arguments.repeats if count == 1_000 else arguments.repeats // 5)
        if "tcp" in arguments.parts:
            tcp(count, repeats)
        if "serial" in arguments.parts:
            terminal(count, repeats)
    if "serial" in arguments.parts:
        for count, rows in ((100, 100), (1_000, 1), (1_000, 100)):
            frames(count, rows, max(10, arguments.repeats // rows))


if __name__ == "__main__":
    main()
