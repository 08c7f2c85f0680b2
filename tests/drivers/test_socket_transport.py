from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from physnet.drivers import socket_transport
from physnet.drivers.resources import transport_for
from physnet.drivers.serial_transport import SerialTransport
from physnet.drivers.socket_transport import SocketTransport
from physnet.drivers.transport import Deadline
from physnet.drivers.visa_transport import VisaTransport
from physnet.errors import InputError, TransportError
from tests.drivers.loopback import Line, Server


@pytest.fixture(params=["scatters", "one buffer"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to receive: into several buffers at once, and that of Windows."""
    if request.param == "one buffer":
        monkeypatch.setattr(socket_transport, "_SCATTERS", False)


@pytest.fixture
def timer() -> Iterator[list[int]]:
    """Signals of a timer that comes every 20 ms, as they are taken."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("needs a timer that sends signals")
    came: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    yield came
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def echo(line: Line) -> None:
    while data := line.receive():
        line.send(data)


def deadline(seconds: float = 2.0) -> Deadline:
    return Deadline.after(seconds)


def test_bytes_of_any_value_come_back_exactly_as_they_are_asked_for() -> None:
    with Server(echo) as server:
        transport = SocketTransport(server.resource, chunk=7)
        transport.open(deadline())
        data = bytes(range(256)) * 300
        transport.write(data, deadline())
        assert transport.read_exactly(5, deadline()) == data[:5]
        rest = bytearray(len(data) - 5)
        with memoryview(rest) as view:
            transport.read_into(view, deadline())
        assert bytes(rest) == data[5:]
        assert transport.waiting() == b""
        transport.close()
        transport.close()
        assert not transport.opened


def test_clear_drops_what_came_and_says_how_much() -> None:
    with Server(echo) as server:
        transport = SocketTransport(server.resource)
        transport.open(deadline())
        transport.write(b"x" * 1000 + b"\nrest", deadline())
        assert transport.read_exactly(1, deadline()) == b"x"
        assert transport.clear(deadline(), quiet=0.05) == 1004
        transport.write(b"y\n", deadline())
        assert transport.read_until(b"\n", 10, deadline()) == b"y"
        transport.close()


def test_a_device_that_never_falls_silent_is_a_fault() -> None:
    def talk(line: Line) -> None:
        while not line.stopped.is_set():
            line.dribble(b"x" * 100, 0.001)

    with Server(talk) as server:
        transport = SocketTransport(server.resource)
        transport.open(deadline())
        with pytest.raises(TransportError, match="never fell silent"):
            transport.clear(deadline(0.2), quiet=0.1)
        transport.close()


def test_signals_do_not_lengthen_a_wait_for_an_answer(timer: list[int]) -> None:
    with Server(lambda line: line.wait(10)) as server:
        transport = SocketTransport(server.resource)
        transport.open(deadline())
        # Three hundred milliseconds are fifteen periods of the timer: a wait that begins anew with each signal ends
        # only with the connection, after ten seconds, and that is another fault.
        with pytest.raises(TransportError, match="the answer was not over by the deadline"):
            transport.read_exactly(1, deadline(0.3))
        transport.close()
    assert len(timer) > 1


def test_signals_do_not_lengthen_a_wait_to_send(timer: list[int]) -> None:
    with Server(lambda line: line.wait(10)) as server:
        transport = SocketTransport(server.resource)
        transport.open(deadline())
        with pytest.raises(TransportError, match=r"sending \(\d+ of \d+ bytes are gone\) was not over"):
            transport.write(bytes(1 << 25), deadline(0.3))  # more than the system's buffers take
        transport.close()
    assert len(timer) > 1


def test_a_device_that_dribbles_does_not_lengthen_a_wait() -> None:
    with Server(lambda line: line.dribble(bytes(1000), 0.01)) as server:
        transport = SocketTransport(server.resource)
        transport.open(deadline())
        with pytest.raises(TransportError, match=r"the deadline, \d+ of 1000 bytes read"):
            transport.read_exactly(1000, deadline(0.3))  # ten seconds' worth
        transport.close()


def test_a_closed_transport_is_told_apart_from_a_silent_one() -> None:
    transport = SocketTransport("TCPIP::127.0.0.1::1::SOCKET")
    with pytest.raises(TransportError, match="not open"):
        transport.write(b"x", deadline())
    with pytest.raises(TransportError, match="no connection to 127"):
        transport.open(deadline())


@pytest.mark.parametrize("name", ["", "TCPIP::host::0::SOCKET", "TCPIP::host::65536::SOCKET", "TCPIP::a b::1::SOCKET"])
def test_a_name_that_is_no_socket_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="SOCKET"):
        SocketTransport(name)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_deadline_is_finite_and_in_the_future(seconds: float) -> None:
    with pytest.raises(InputError):
        Deadline.after(seconds)


@pytest.mark.parametrize(
    ("name", "kind", "resource"),
    [
        ("tcpip0::192.0.2.5::5025::socket", SocketTransport, "tcpip0::192.0.2.5::5025::socket"),
        ("TCPIP::[2001:db8::5]::5025::SOCKET", SocketTransport, "TCPIP::[2001:db8::5]::5025::SOCKET"),
        ("ASRL3::INSTR", SerialTransport, "COM3"),
        ("ASRL/dev/ttyUSB0::INSTR", SerialTransport, "/dev/ttyUSB0"),
        ("TCPIP::192.0.2.5::INSTR", VisaTransport, "TCPIP::192.0.2.5::INSTR"),
        ("GPIB0::7::INSTR", VisaTransport, "GPIB0::7::INSTR"),
    ],
)
def test_a_name_stands_for_its_transport(name: str, kind: type, resource: str) -> None:
    transport = transport_for(name)
    assert type(transport) is kind and transport.resource == resource and not transport.opened
    assert transport.stream == (kind is not VisaTransport)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="VISA name"):
        transport_for("scope")
