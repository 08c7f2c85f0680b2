"""The driver of DAC/ADC boards against the firmware that a board runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet import registry
from physnet.contracts import Flag
from physnet.drivers.boards import DacAdcBoard
from physnet.drivers.boards.stream import ByteStream, SerialStream
from physnet.errors import DriveError, InputError, MeasurementError, SpecError, Stopped
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.testing import check_system
from tests.drivers.boards.host_board import HostBoard, Plug, transfer

SAFE = "safe"
CREDITS = 8  # kCredits of the firmware


def make(board: HostBoard, **options: Any) -> DacAdcBoard:
    given = {"drives": 8, "responses": 4, "drive_range": (0.0, 3.3), "simulated": True, "reopen_timeout": 0.0}
    return DacAdcBoard(port=board.port, **{**given, **options})


def drives(rows: int, *, channels: int = 8, high: float = 3.3) -> NDArray[np.float64]:
    return np.random.default_rng(rows).uniform(0, high, (rows, channels))


def expected(drive: NDArray[np.float64], responses: int = 4) -> NDArray[np.int64]:
    return transfer(np.rint(drive * (4095 / 3.3)) - 2048, responses=responses)


def passes(rows: int) -> NDArray[np.int64]:
    return pass_numbers(Purpose.CALIBRATE, rows=rows)


class Watched(DacAdcBoard):
    """A board whose line calls a function before every read."""

    before_read: Callable[[], None] = staticmethod(lambda: None)

    def open_stream(self) -> ByteStream:
        outer, stream = self, super().open_stream()

        class Stream:
            def read(self, limit: int, deadline: float) -> bytes:
                outer.before_read()
                return stream.read(limit, deadline)

            write, close = staticmethod(stream.write), staticmethod(stream.close)

        return Stream()


@pytest.mark.parametrize(("channels", "rows"), [(1, 1), (8, 7), (8, 256), (200, 100)])
def test_responses_are_those_of_the_firmware_to_the_bit(plug: Plug, channels: int, rows: int) -> None:
    board = plug("--dac", channels, "--adc", 5)
    drive = drives(rows, channels=channels)
    with make(board, drives=channels, responses=5) as system:
        reading = system.measure(drive, passes(rows))
        assert system.link.status().rows == rows
    assert reading.response.dtype == np.int32
    assert np.array_equal(reading.response, expected(drive, 5))
    assert reading.valid is not None and reading.valid.all()
    assert reading.flags is not None
    assert np.array_equal(reading.flags == Flag.CLIPPED, np.any((expected(drive, 5) == 4095), axis=1))
    assert not +system.faults


def test_the_spec_tells_the_unit_once_it_is_open(plug: Plug) -> None:
    system = make(plug("--id", 9))
    with Port(system) as port:
        answered = port.spec.found["instruments"]["board"]
        assert "0000000000000009" in answered and answered.endswith("firmware 1.0.0")


def test_no_batch_overflows_the_buffer(plug: Plug) -> None:
    with make(plug(), max_batch=500) as system:
        for rows in (1, 7, 8, 9, 64, 500):
            system.measure(drives(rows), passes(rows))
        status = system.link.status()
    assert status.overflow == 0
    assert 1 < status.peak <= CREDITS


def test_it_keeps_to_the_contract(plug: Plug) -> None:
    board = plug()
    check_system(lambda: make(board, max_batch=20))


def test_volts_are_codes_on_the_boards_scale(plug: Plug) -> None:
    drive = drives(5)
    with make(plug(), response_unit="V") as system:
        response = system.measure(drive, passes(5)).response
    # one rounding in the scale and one in the product
    assert np.allclose(response, expected(drive) * (3.3 / 4095), rtol=4 * np.finfo(float).eps, atol=0)


def test_a_drive_out_of_range_is_never_sent(plug: Plug) -> None:
    board = plug()
    with make(board, drive_range=(0.0, 1.0)) as system:
        sent = system.link.status().frames
        for wrong in (1.01, -0.01, np.nan):
            with pytest.raises(DriveError, match="nothing was sent"):
                system.measure(np.full((2, 8), wrong), passes(2))
        with pytest.raises(DriveError, match="at most 256 rows"):
            system.measure(drives(257, high=1.0), passes(257))
        assert system.link.status().frames == sent + 1
        # 1 V lies between two codes: the lower one is played, which is inside the range
        system.measure(np.full((1, 8), 1.0), passes(1))
    assert "out" + 8 * f" {int(4095 / 3.3)}" in board.events()


def test_outputs_are_live_within_a_batch_only(plug: Plug) -> None:
    board = plug()
    with make(board) as system:
        for _ in range(2):
            system.measure(drives(3), passes(3))
    kinds = [event.partition(" ")[0] for event in board.events()]
    assert kinds == [SAFE, SAFE, *["out"] * 3, SAFE, *["out"] * 3, SAFE, SAFE]


@pytest.mark.parametrize("trouble", [ValueError(), KeyboardInterrupt(), Stopped(signal.SIGTERM)])
def test_outputs_are_safe_after_trouble_within_a_batch(plug: Plug, trouble: BaseException) -> None:
    board = plug()

    def interrupt() -> None:
        if sum(event.startswith("out") for event in board.events()) >= 5 and system.before_read is interrupt:
            system.before_read = lambda: None
            raise trouble

    system = Watched(
        port=board.port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True, settle=0.002, max_batch=1000
    )
    with pytest.raises(type(trouble)), system:
        system.before_read = interrupt
        system.measure(drives(1000), passes(1000))
    events = board.until(lambda events: events[-1] == SAFE)
    assert sum(event.startswith("out") for event in events) < 100


def test_the_watchdog_trips_is_told_and_is_left_by_the_next_batch_only(plug: Plug) -> None:
    board = plug("--watchdog", 50)

    def dawdle() -> None:
        if any(event.startswith("out") for event in board.events()):
            system.before_read = lambda: None
            board.until(lambda events: events[-1] == SAFE)

    system = Watched(port=board.port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True)
    drive = drives(30)
    with system:
        system.before_read = dawdle
        with pytest.raises(MeasurementError, match="watchdog found the host silent") as caught:
            system.measure(drive, passes(30))
        reading = caught.value.reading
        assert reading is not None and 1 <= len(reading) < 30
        assert np.array_equal(reading.response, expected(drive)[: len(reading)])
        assert system.link.status().trips == 1
        assert np.array_equal(system.measure(drive, passes(30)).response, expected(drive))


def test_a_pulled_cable_is_a_fault_that_keeps_the_rows_before(plug: Plug) -> None:
    board = plug()

    def pull() -> None:
        if sum(event.startswith("out") for event in board.events()) >= 20:
            board.unplug()

    system = Watched(
        port=board.port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True, reopen_timeout=0.0, settle=0.002
    )
    drive = drives(200)
    with pytest.raises(MeasurementError, match=r"did not confirm safe outputs.*watchdog"), system:
        system.before_read = pull
        with pytest.raises(MeasurementError, match="line is gone") as caught:
            system.measure(drive, passes(200))
        with pytest.raises(MeasurementError, match="did not come back within 0 s"):
            system.measure(drive, passes(200))
    reading = caught.value.reading
    assert reading is not None and reading.valid is not None and 1 <= len(reading) < 200
    # those on their way when the line went may have been played: they are there, and not valid
    assert np.array_equal(reading.response[reading.valid], expected(drive)[: len(reading)][reading.valid])
    assert reading.valid[:10].all() and np.count_nonzero(~reading.valid) <= CREDITS
    assert system.faults["lost"] == 1


def test_a_line_that_comes_back_goes_on_with_the_same_board_alone(plug: Plug) -> None:
    boards = [plug("--id", 7), plug("--id", 7), plug("--id", 8)]

    class Moving(DacAdcBoard):
        def open_stream(self) -> ByteStream:
            return SerialStream(boards[0].port)

    drive = drives(10)
    system = Moving(port=boards[0].port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True)
    with pytest.raises(MeasurementError, match="did not confirm"), Port(system, retries=1) as port:
        boards.pop(0).unplug()
        assert np.array_equal(np.asarray(port.measure(drive, passes(10)).response), expected(drive))
        boards.pop(0).unplug()
        with pytest.raises(MeasurementError, match=r"must be the board .*07, got .*08"):
            port.measure(drive, passes(10))


def test_a_board_that_hangs_is_a_fault_and_what_it_says_later_is_not_used(plug: Plug) -> None:
    board = plug()

    def hang() -> None:
        if sum(event.startswith("out") for event in board.events()) >= 20:
            system.before_read = lambda: None
            board.process.send_signal(signal.SIGSTOP)

    system = Watched(
        port=board.port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True, timeout=0.2, settle=0.002
    )
    drive = drives(200)
    with system:
        system.before_read = hang
        with pytest.raises(MeasurementError, match=r"stopped answering.*did not confirm safe outputs") as caught:
            system.measure(drive, passes(200))
        board.process.send_signal(signal.SIGCONT)
        # told to be safe while it hung: the rows that it still held are refused
        played = sum(event.startswith("out") for event in board.until(lambda events: events[-1] == SAFE))
        other = drives(100)
        assert np.array_equal(system.measure(other, passes(100)).response, expected(other))
    reading = caught.value.reading
    assert reading is not None and reading.valid is not None and reading.valid[:10].all()
    assert np.array_equal(reading.response[reading.valid], expected(drive)[: len(reading)][reading.valid])
    assert played <= len(reading)
    assert system.faults["late"] + system.faults["stale"] > 0


def test_an_experiment_names_a_board_by_plain_options() -> None:
    for name, words in (
        ("dac_adc_board", {"drives": 4, "drive_range": [0.0, 1.0]}),
        ("metasurface_board", {"elements": 4}),
    ):
        model = registry.options_model(registry.find("systems", name))
        given = registry.arguments(model, {"port": "COM3", "responses": 2, "nonlinearity": ["detector"], **words})
        spec = registry.find("systems", name)(**given).spec
        assert spec.name == name and spec.kind == "measured" and spec.resource == "serial:COM3"


@pytest.mark.parametrize(
    ("started", "options", "message"),
    [
        (["--version", 2], {}, "version 1 of the protocol, got version 2"),
        (["--dac", 9], {}, "drives of dac_adc_board must be 9"),
        (["--adc", 3], {}, "responses of dac_adc_board must be 3"),
        ([], {"adc_bits": 10}, "adc_bits of dac_adc_board must be 12"),
        ([], {"drive_range": (0.0, 5.0)}, r"within 0 to 3.3 V"),
        ([], {"simulated": False}, "Set simulated = true"),
        (["--real"], {}, "Set simulated = false"),
        ([], {"unique_id": "00000000000000ff"}, "must be the board 00000000000000ff"),
        ([], {"settle": 1.0}, "at most 0.1 s"),
        ([], {"watchdog": 60.0}, "at most 0.5 s"),
    ],
)
def test_a_board_that_is_not_the_one_described_is_refused(
    plug: Plug, started: list[object], options: dict[str, Any], message: str
) -> None:
    board = plug(*started)
    with pytest.raises(InputError, match=message), make(board, **options):
        pass
    assert set(board.events()) <= {SAFE}


def test_a_port_without_a_board_is_refused(plug: Plug) -> None:
    board = plug()
    board.process.send_signal(signal.SIGSTOP)
    with pytest.raises(InputError, match=r"must answer IDENTIFY within 0\.1 s"), make(board, open_timeout=0.1):
        pass
    board.process.send_signal(signal.SIGCONT)
    board.unplug()
    with pytest.raises(InputError, match="Check"), make(board):
        pass
    with pytest.raises(InputError, match="can't be opened"), DacAdcBoard(port="/dev/none", drives=1, responses=1):
        pass


def test_options_that_nothing_can_honour_are_refused() -> None:
    for wrong in ({"settle": -1.0}, {"timeout": 0.0}, {"watchdog": 0.0}, {"baud": 0}, {"drive_range": (1.0, 0.0)}):
        with pytest.raises(SpecError):
            DacAdcBoard(**{"port": "COM1", "drives": 1, "responses": 1, **wrong})  # type: ignore[arg-type]


def test_it_must_be_entered_first() -> None:
    with pytest.raises(InputError, match="must be entered first"):
        DacAdcBoard(port="COM1", drives=1, responses=1).measure(np.zeros((1, 1)), passes(1))
