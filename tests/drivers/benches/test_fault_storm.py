"""Ten thousand exchanges of which every twentieth goes wrong: nothing wrong is believed, nothing waits for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import physnet
from physnet.drivers.boards.serial_board import SerialBoard
from physnet.drivers.boards.stream import ByteStream
from physnet.encoders import Bias, Levels
from physnet.errors import InputError, MeasurementError
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.simulators.instruments.faults import FaultKind, FaultPlan

from . import speckle_board, speckle_room, wire_bench
from .served import served
from .storm import BUSY, RATES, SHARE, Clock, Judge, loose
from .training import answers, differ, trained, trainer_of

EXCHANGES = {"tones": 3500, "patterns": 2500, "board": 4000}  # ten thousand
ENDLESS = 1_000_000  # retries: at this rate most bursts fail
TRAINING: dict[str, Any] = {"seed": 1, "learning_rate": 2e-2, "standardise": 50, "epochs": 3}
# Of the predictions: responses are the same within quantisation, and few samples lie so near to a boundary.
ALIKE = 0.95
TIMES = "delay = 0.03\npause = 2e-4\nrefuse_for = 0.01"  # s; an answer that is late by so much still comes in time
LATE = 0.13  # s; one that does not
LATE_DETECTOR, LATE_ANALYSER = f"{TIMES}\ndetector.delay = {LATE}", f"{TIMES}\nanalyser.delay = {LATE}"

# What one fault costs at most, in s. It is noticed when the longest wait of an exchange is over: of a reset five times
# the timeout, of a missed trigger the burst and its margin, which is longer, half a second for a last answer included.
# The way back waits for its backoff; what goes wrong on it is a fault of its own.
BURST = (wire_bench.ROWS + 1) * 16.1e-3
TONES = max(5 * wire_bench.TIMEOUT, BURST + wire_bench.MARGIN + 0.5) + sum(wire_bench.BACKOFF) + 2 * LATE
# A board that says nothing is waited for in the rows and in a status, and when it is made safe; a line that is lost is
# reopened within `reopen_timeout`, whose last attempt may take `open_timeout`.
OPENING = {"timeout": speckle_room.TIMEOUT, "open_timeout": 4 * speckle_room.TIMEOUT, "reopen_timeout": 1.0}
PATIENCE = speckle_room.TIMEOUT + 8 * (speckle_room.SETTLE + 1e-3)  # for eight frames on their way
BOARD = 4 * PATIENCE + OPENING["open_timeout"] + OPENING["reopen_timeout"] + 2 * LATE


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Looks at the waits of boards; those of other lines are handed to it."""
    found = Clock()
    open_stream = SerialBoard.open_stream

    def opened(board: SerialBoard) -> ByteStream:
        return found.stream(open_stream(board))

    monkeypatch.setattr(SerialBoard, "open_stream", opened)
    return found


def enter(stack: contextlib.ExitStack, network: contextlib.AbstractContextManager[object]) -> None:
    """Open what a busy computer may keep from answering in time; faults come later."""
    for left in reversed(range(5)):
        try:
            stack.enter_context(network)
            return
        except InputError:
            if not left:
                raise


def weathered(
    trainer: physnet.Trainer, judge: Judge, exchanges: Callable[[], int], *, wanted: int, kinds: set[FaultKind]
) -> NDArray[np.bool_]:
    """Open, let faults loose, train to the end, and measure on until there were exchanges and faults of every kind."""
    (port,) = trainer.network.ports
    port.on_exchange = judge
    spec = port.spec.drive
    rng, epoch = np.random.default_rng(0), 0
    with contextlib.ExitStack() as stack:
        enter(stack, trainer.network)
        before = exchanges()
        with loose(judge.plans):
            right = answers(trainer)
            while exchanges() - before < wanted or judge.counts.total() < SHARE * wanted or kinds - set(judge.counts):
                drive_ND = rng.uniform(spec.low_array, spec.high_array, (16, spec.channels))
                drive_ND = np.rint(drive_ND) if spec.domain == "binary" else drive_ND
                port.measure(drive_ND, pass_numbers(Purpose.CALIBRATE, epoch=epoch, rows=16))
                epoch += 1
    assert not judge.misses
    assert judge.refused > 0 and judge.accepted > 0
    return right


def assert_equal_ends(right: NDArray[np.bool_], directly: NDArray[np.bool_]) -> None:
    """Both trainings must have ended alike, and with something learnt; chance is 10 %."""
    assert not differ(right, directly)
    assert (right == directly).mean() >= ALIKE
    assert right.mean() > 0.4


@pytest.mark.timeout(240)
def test_tones_in_a_storm_are_those_of_the_medium(clock: Clock) -> None:
    options = {**TRAINING, "train": 100, "test": 60, "encoder": Bias()}
    with served(wire_bench.wire_file(faults=LATE_DETECTOR), wrap=clock.transport) as (bench, simulation):
        judge = Judge(wire_bench.direct, wire_bench.bound(), simulation.plans, longest=TONES)
        right = weathered(
            trainer_of(bench, **options, port=Port(bench, seed=1, retries=ENDLESS)),
            judge,
            lambda: sum(simulation.exchanges.values()),
            wanted=EXCHANGES["tones"],
            kinds=set(RATES["instrument"]) | {FaultKind.MISSED_TRIGGER},
        )
    tones = len(wire_bench.TONES)
    wire = physnet.system(wire_bench.direct, drives=tones, responses=2 * tones, response_dtype="complex128")
    assert_equal_ends(right, trained(wire, **options)[0])
    assert clock.waits > EXCHANGES["tones"] and clock.late < BUSY
    # A missed trigger is counted as such where nothing else befell its burst, which test_one_fault shows.
    assert {"timeout", "disconnected", "refused", "garbled", "rejected"} <= set(bench.faults)


@pytest.mark.timeout(240)
def test_patterns_in_a_storm_are_those_of_the_medium(clock: Clock, tmp_path: Path) -> None:
    options = {**TRAINING, "train": 150, "test": 100, "encoder": Levels(bits=1)}
    lines = {"board": speckle_board.line_in(tmp_path), "analyser": "TCPIP::127.0.0.1::0::SOCKET"}
    text = speckle_room.room_file(faults=LATE_ANALYSER)
    with served(text, wrap=clock.transport, resources=lines) as (bench, simulation):
        judge = Judge(speckle_room.direct, speckle_room.bound(), simulation.plans, longest=max(TONES, BOARD))
        right = weathered(
            trainer_of(bench, **options, port=Port(bench, seed=1, retries=ENDLESS)),
            judge,
            lambda: sum(simulation.exchanges.values()),
            wanted=EXCHANGES["patterns"],
            kinds={*RATES["instrument"], *RATES["board"], FaultKind.MISSED_TRIGGER},
        )
    assert_equal_ends(right, trained(speckle_room.medium(), **options)[0])
    assert clock.waits > EXCHANGES["patterns"] and clock.late < BUSY
    of_lines = {"timeout", "disconnected", "refused", "garbled", "rejected"}
    assert of_lines | {"lost", "missing", "interrupted", "unconfirmed", "miscounted"} <= set(bench.faults)


@pytest.mark.timeout(240)
def test_a_board_in_a_storm_answers_what_the_medium_answers(clock: Clock, tmp_path: Path) -> None:
    options = {**TRAINING, "train": 200, "test": 150, "encoder": Bias()}
    plan = FaultPlan(seed=1, delay=LATE, pause=2e-4, refuse_for=0.01)
    line = speckle_board.line_in(tmp_path)
    with speckle_board.served_board(line, faults=plan, baud=4_000_000, **OPENING) as (board, simulated):
        judge = Judge(speckle_board.direct, speckle_board.bound(), {"board": plan}, longest=BOARD)
        right = weathered(
            trainer_of(board, **options, port=Port(board, seed=1, retries=ENDLESS)),
            judge,
            lambda: simulated.exchanges,
            wanted=EXCHANGES["board"],
            kinds=set(RATES["board"]),
        )
    assert_equal_ends(right, trained(speckle_board.speckle(), **options)[0])
    assert clock.waits > 0 and clock.late < BUSY
    assert {"lost", "missing", "reordered", "duplicate", "timeout", "late", "crc"} <= set(board.faults)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bench_that_is_opened_in_a_storm_is_open_and_right_or_closed_and_safe(seed: int) -> None:
    # Some 170 exchanges in a row must go well, or nearly: a tenth of the storm.
    drive_ND = np.random.default_rng(seed).uniform(0, 1, (20, len(wire_bench.TONES)))
    accepted = attempts = 0
    with served(wire_bench.wire_file(seed=seed, faults=LATE_DETECTOR)) as (bench, simulation):
        with loose(simulation.plans, share=0.1):
            while accepted < 3 and attempts < 100:
                attempts += 1
                try:
                    with bench:
                        reading = bench.measure(drive_ND, np.arange(20))
                    assert reading.valid is not None
                    error = np.abs(reading.response - wire_bench.direct(drive_ND))[reading.valid]
                    assert (error < wire_bench.bound()).all()
                    accepted += 1
                except (InputError, MeasurementError):  # it can't be opened, or a burst failed
                    pass
        assert simulation.plans["source"].counts
        with contextlib.ExitStack() as stack:  # without faults it opens, whatever was before
            enter(stack, bench)
        done = [event.kind for event in simulation.rig.log if event.role == "source"]
    assert accepted == 3
    assert done[-1] == "off"
