"""Simulated boards under the drivers of real ones, over a pseudo-terminal and over TCP."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import physnet
from physnet.contracts import Flag, PhysicalSystem
from physnet.drivers.boards import BoardLink, DacAdcBoard, MetasurfaceBoard
from physnet.drivers.boards.messages import Kind
from physnet.drivers.boards.stream import SerialStream
from physnet.errors import InputError, MeasurementError, SpecError
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.instruments.board import SimulatedBoard
from physnet.simulators.instruments.board_hardware import OutputEvent, SimulatedHardware
from physnet.simulators.instruments.board_medium import BoardMedium
from physnet.simulators.instruments.board_messages import Abilities
from physnet.simulators.instruments.faults import FaultKind, FaultPlan
from physnet.simulators.instruments.frame_faults import BOARD_FAULTS
from physnet.simulators.instruments.serial_line import open_line
from physnet.simulators.instruments.shared_system import SharedSystem
from physnet.testing import check_system

DRIVES, RESPONSES, ELEMENTS = 6, 4, 21
VOLTS, FULL = 3.3, 4095
GAIN = 1.5e4  # V per unit: energies of the cavity, up to 1.8e-4 at these drives, fill the ADC's range

posix = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")
TCP, PTY = "socket://127.0.0.1:0", "ASRL{}"
# pyserial pauses for 0.3 s whenever it closes a socket: what opens a board many times does so over the other line.
USUAL = PTY if os.name == "posix" else TCP
lines = pytest.mark.parametrize("resource", [TCP, pytest.param(PTY, marks=posix)])

Serve = Callable[..., SimulatedBoard]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve a board, and make sure that it leaves its outputs safe."""
    with contextlib.ExitStack() as stack:

        def start(
            hardware: SimulatedHardware, resource: str = USUAL, faults: FaultPlan | None = None
        ) -> SimulatedBoard:
            line = open_line(resource.format(tmp_path / "board.pty"))
            board = SimulatedBoard(hardware, line, faults=faults)
            stack.callback(lambda: check_safe(board))
            return stack.enter_context(board)

        yield start


def check_safe(board: SimulatedBoard) -> None:
    assert board.record[-1].kind == "safe"


def cavity() -> AcousticCavity:
    return AcousticCavity(drives=DRIVES, responses=RESPONSES, sources=4, pitch=0.03)


def voltage_board(
    system: PhysicalSystem, *, gain: float = 1.0, noise: float = 0.0, **abilities: Any
) -> SimulatedHardware:
    has = Abilities(dac_channels=DRIVES, adc_channels=RESPONSES, **abilities)
    return SimulatedHardware(
        has, voltages=BoardMedium(SharedSystem(system), drives=DRIVES, responses=RESPONSES, gain=gain), noise=noise
    )


def sums(drive_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    return drive_ND @ np.linspace(0.02, 0.4, DRIVES * RESPONSES).reshape(DRIVES, RESPONSES)


def plain() -> PhysicalSystem:
    return physnet.system(sums, drives=DRIVES, responses=RESPONSES, drive_range=(0.0, VOLTS), repeatable=True)


def driver(board: SimulatedBoard, **options: Any) -> DacAdcBoard:
    given = {"drives": DRIVES, "responses": RESPONSES, "drive_range": (0.0, VOLTS), "response_unit": "V"}
    return DacAdcBoard(port=board.port, simulated=True, **{**given, **options})


def drives(rows: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, VOLTS, (rows, DRIVES))


def passes(rows: int) -> NDArray[np.int64]:
    return pass_numbers(Purpose.CALIBRATE, rows=rows)


def kinds(record: tuple[OutputEvent, ...]) -> list[str]:
    return [event.kind for event in record]


def until(condition: Callable[[], object]) -> None:
    """Poll for a condition, 10 s at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


@lines
def test_responses_are_those_of_the_cavity_within_the_rounding_of_the_converters(serve: Serve, resource: str) -> None:
    board = serve(voltage_board(cavity(), gain=GAIN), resource)
    drive = drives(40)
    with driver(board) as system:
        reading = system.measure(drive, passes(40))
    assert reading.valid is not None and reading.valid.all()
    # What the DAC plays is known: the nearest code. What is left is the ADC's half code, and float32 in the cavity: its
    # drive may differ in the last digit, 6e-8, from the one computed here; an energy of up to 3.3 V then differs by
    # twice that, and by what some hundred float32 sums lose: below 1e-5 of it.
    played = torch.from_numpy(np.rint(drive * (FULL / VOLTS)) / FULL).float()
    direct = np.asarray(cavity().measure(played, passes(40)).response, np.float64) * GAIN
    assert direct.max() < VOLTS, "the gain must keep within the ADC's range, or nothing is compared"
    assert np.abs(reading.response - direct).max() <= VOLTS / FULL / 2 + 1e-5 * VOLTS
    assert np.asarray(reading.response).max() > VOLTS / 10


def test_a_linear_system_is_found_within_half_a_code_of_each_converter(serve: Serve) -> None:
    board = serve(voltage_board(plain()))
    drive = drives(64) / 2  # sums of six drives times up to 0.4 stay below 3.3 V
    with driver(board) as system:
        response = np.asarray(system.measure(drive, passes(64)).response)
    # Half a code of each of the DACs through its coefficient, and half a code of the ADC: 3.3 V / 4095 both.
    bound = (np.linspace(0.02, 0.4, DRIVES * RESPONSES).reshape(DRIVES, RESPONSES).sum(0) + 1) * VOLTS / FULL / 2
    error = np.abs(response - sums(drive)).max(0)
    assert (error <= bound + 1e-12).all()
    assert (error > VOLTS / FULL / 20).all()  # converters do round


def test_a_voltage_board_keeps_to_the_contract(serve: Serve) -> None:
    board = serve(voltage_board(cavity(), gain=GAIN))
    check_system(lambda: driver(board, max_batch=20))


def test_a_metasurface_keeps_to_the_contract(serve: Serve) -> None:
    board = serve(element_board())
    check_system(lambda: element_driver(board))


def element_board(**options: Any) -> SimulatedHardware:
    weights = np.linspace(-0.1, 0.2, ELEMENTS * RESPONSES).reshape(ELEMENTS, RESPONSES)
    system = physnet.system(
        lambda bits_ND: np.abs(bits_ND @ weights) + 0j,
        drives=ELEMENTS,
        responses=RESPONSES,
        domain="binary",
        dtype="uint8",
        response_dtype="complex128",
    )
    medium = BoardMedium(SharedSystem(system), drives=ELEMENTS, responses=RESPONSES)
    return SimulatedHardware(Abilities(elements=ELEMENTS, adc_channels=RESPONSES), elements=medium, **options)


def element_driver(board: SimulatedBoard, **options: Any) -> MetasurfaceBoard:
    return MetasurfaceBoard(port=board.port, elements=ELEMENTS, responses=RESPONSES, simulated=True, **options)


def test_each_pattern_is_latched_and_triggers_once(serve: Serve) -> None:
    seen: list[NDArray[np.uint8]] = []
    board = serve(element_board(trigger=seen.append))
    drive = np.random.default_rng(1).integers(0, 2, (30, ELEMENTS), np.uint8)
    with element_driver(board, trigger=True) as system:
        system.measure(drive, passes(30))
    assert np.array_equal(seen, drive)
    packed = [tuple(row) for row in np.packbits(drive, axis=1, bitorder="little").tolist()]
    patterns = [event.value for event in board.record if event.kind == "pattern"]
    assert patterns == packed
    assert kinds(board.record) == ["safe", "safe", *["pattern", "trigger"] * 30, "safe", "safe"]
    times = [event.time for event in board.record]
    assert times == sorted(times)


def test_a_board_that_sees_its_medium_clip_says_so(serve: Serve) -> None:
    board = serve(voltage_board(plain(), adc_range=(0.0, 1.0)))
    drive = np.array([[0.1] * DRIVES, [VOLTS] * DRIVES])
    with driver(board, response_unit="count") as system:
        reading = system.measure(drive, passes(2))
    assert reading.flags is not None and reading.flags.tolist() == [0, Flag.CLIPPED]
    assert np.asarray(reading.response)[1].max() == FULL


def test_noise_of_the_inputs_is_seeded_and_as_wide_as_it_says(serve: Serve) -> None:
    found = []
    for _ in range(2):
        board = serve(voltage_board(plain(), noise=0.02))
        drive = np.full((256, DRIVES), 0.5)
        with driver(board) as system:
            found.append(np.asarray(system.measure(drive, passes(256)).response))
    assert np.array_equal(found[0], found[1])
    # 1024 numbers: their standard deviation is known to within 0.02 / sqrt(2 * 1024), of which 5 are 0.0022
    assert abs((found[0] - found[0].mean(0)).std() - 0.02) < 0.0025


def test_it_says_that_it_is_simulated(serve: Serve) -> None:
    board = serve(voltage_board(plain()))
    with driver(board) as system:
        assert system.board.simulated and system.spec.kind == "simulated"
        assert system.board.name == "SIMULATED" and bytes.fromhex(system.board.unique_id) == b"SIMULATE"
    with pytest.raises(InputError, match="Set simulated = true"), DacAdcBoard(port=board.port, drives=6, responses=4):
        pass


def arm(board: SimulatedBoard, watchdog: float) -> BoardLink:
    link = BoardLink(SerialStream(board.port), timeout=2.0)
    link.identify(timeout=5)
    link.exchange(Kind.ARM, struct.pack("<II", 0, round(watchdog * 1e3)))
    return link


@lines
@pytest.mark.parametrize("how", ["silent", "gone"])
def test_the_watchdog_makes_outputs_safe_when_the_host_is(serve: Serve, resource: str, how: str) -> None:
    board = serve(voltage_board(plain()), resource)
    with contextlib.closing(arm(board, 0.05)) as link:
        link.exchange_many(Kind.PLAY, [b"\1\0" * DRIVES] * 3)
        if how == "gone":
            link.close()
        until(lambda: board.record[-1].kind == "safe")
        *_, last, safe = board.record
        assert last.kind == "out" and safe.time - last.time > 0.05
        assert board.trips == 1
        if how == "silent":
            with pytest.raises(MeasurementError, match="watchdog found the host silent"):
                link.exchange(Kind.PLAY, b"\1\0" * DRIVES)
            link.exchange(Kind.ARM, struct.pack("<II", 0, 50))
            link.exchange(Kind.PLAY, b"\1\0" * DRIVES)
    assert kinds(board.record).count("out") == (4 if how == "silent" else 3)


def test_a_row_outside_the_medium_or_without_answer_is_refused_and_the_board_goes_on(serve: Serve) -> None:
    broken = [False]

    def moody(drive_ND: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums(drive_ND) * (np.nan if broken[0] else 1.0)

    medium = physnet.system(moody, drives=DRIVES, responses=RESPONSES, drive_range=(0.0, VOLTS))
    board = serve(voltage_board(medium))
    with driver(board) as system:
        before = system.measure(drives(3), passes(3)).response
        broken[0] = True
        with pytest.raises(MeasurementError, match="converters did not answer"):
            system.measure(drives(3), passes(3))
        broken[0] = False
        assert np.array_equal(system.measure(drives(3), passes(3)).response, before)


def test_a_stuck_element_is_found_by_the_read_back(serve: Serve) -> None:
    board = serve(element_board(stuck=5))
    with element_driver(board) as system, pytest.raises(MeasurementError, match="shift register is stuck"):
        system.measure(np.zeros((2, ELEMENTS), np.uint8), passes(2))


def measured(system: DacAdcBoard, seed: int, rows: int = 20) -> int:
    """Measure a batch, check that nothing wrong is believed, and return how many rows were."""
    drive = drives(rows, seed)
    try:
        reading = system.measure(drive, passes(rows))
    except MeasurementError as error:
        if error.reading is None:
            return 0
        reading = error.reading
    assert reading.valid is not None
    played = np.rint(drive * (FULL / VOLTS)) * (VOLTS / FULL)
    # the same sums of the same codes; a code of the ADC could fall on the other side of a half by rounding alone
    right = np.abs(np.asarray(reading.response) - np.clip(sums(played), 0, VOLTS)[: len(reading)]) < 0.51 * VOLTS / FULL
    assert right[reading.valid].all()
    return int(reading.valid.sum())


@pytest.mark.parametrize(("resource", "seed"), [(USUAL, 1), (USUAL, 2), (TCP, 3)])
def test_no_wrong_response_is_accepted_with_a_fault_in_every_twentieth_exchange(
    serve: Serve, resource: str, seed: int
) -> None:
    rates = dict.fromkeys(BOARD_FAULTS, 0.05 / len(BOARD_FAULTS))
    plan = FaultPlan(rates=rates, seed=seed, delay=0.01, pause=1e-4, refuse_for=0.01)
    board = serve(voltage_board(plain()), resource, plan)
    believed = 0
    with contextlib.suppress(MeasurementError), driver(board, timeout=0.1, open_timeout=2.0) as system:
        for batch in range(15):
            believed += measured(system, batch)
    assert believed > 100
    assert sum(plan.counts.values()) > 5


@pytest.mark.parametrize(
    ("resource", "kind"),
    [*((USUAL, kind) for kind in sorted(BOARD_FAULTS)), (TCP, FaultKind.DROPPED), (TCP, FaultKind.REFUSED)],
)
def test_each_fault_is_overcome(serve: Serve, resource: str, kind: FaultKind) -> None:
    # The 2nd and the 15th exchange: one is the row after arming, one is within a batch.
    plan = FaultPlan(script={2: kind, 15: kind}, delay=0.2, pause=1e-4, refuse_for=0.05)
    board = serve(voltage_board(plain()), resource, plan)
    drive = drives(20)
    with Port(driver(board, timeout=0.1), retries=5) as port:
        reading = port.measure(drive, passes(20))
        played = np.rint(drive * (FULL / VOLTS)) * (VOLTS / FULL)
        error = np.abs(np.asarray(reading.response) - np.clip(sums(played), 0, VOLTS))
        assert error.max() < 0.51 * VOLTS / FULL
    assert plan.counts == {kind: 2}


def test_a_board_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(SpecError, match="as many drives as its board has outputs, 5, got 6"):
        BoardMedium(SharedSystem(plain()), drives=5, responses=4)
    with pytest.raises(SpecError, match="a response for each of the 5 inputs"):
        BoardMedium(SharedSystem(plain()), drives=6, responses=5)
    for wrong in ({"dac_bits": 17}, {"adc_range": (1.0, 1.0)}, {"unique_id": b"1"}, {"adc_channels": 241}):
        with pytest.raises(SpecError):
            SimulatedHardware(Abilities(**wrong))
    with pytest.raises(SpecError, match="needs a medium"):
        SimulatedHardware(Abilities(elements=3))
