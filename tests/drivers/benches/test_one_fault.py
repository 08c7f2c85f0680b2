"""One fault at a time, at every exchange in turn: it is refused, or makes no difference; and it is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.benches.bench import Bench
from physnet.errors import MeasurementError
from physnet.simulators.instruments.serve import Simulation

from . import red_pitaya_bench, speckle_room, wire_bench
from .served import served

ROWS = 12


class Case(NamedTuple):
    """A bench, its medium, and a drive."""

    text: str
    direct: Callable[[NDArray[Any]], NDArray[Any]]
    bound: Any
    drive_ND: NDArray[Any]


def unit_drives(channels: int) -> NDArray[np.float64]:
    return np.random.default_rng(channels).uniform(0, 1, (ROWS, channels))


TIMEOUT = 0.3  # s: a computer with other things to do makes few faults of its own
LATE = "delay = 0.4\npause = 0.35\nrefuse_for = 0.01"  # s: an answer, or each of its bytes, misses its deadline
CASES = {
    "tones": Case(
        wire_bench.wire_file(timeout=TIMEOUT, faults=LATE),
        wire_bench.direct,
        wire_bench.bound(),
        unit_drives(len(wire_bench.TONES)),
    ),
    "red pitaya": Case(
        red_pitaya_bench.red_pitaya_file(timeout=TIMEOUT),
        red_pitaya_bench.direct,
        red_pitaya_bench.bound(),
        unit_drives(len(red_pitaya_bench.TONES)),
    ),
    "patterns": Case(
        speckle_room.room_file(timeout=TIMEOUT, faults=LATE),
        speckle_room.direct,
        speckle_room.bound(),
        np.rint(unit_drives(speckle_room.ELEMENTS)).astype(np.uint8),
    ),
}


def accepted(bench: Bench, case: Case) -> int:
    """Measure once; how many rows are believed, all of which must be right."""
    try:
        reading = bench.measure(case.drive_ND, np.arange(ROWS))
    except MeasurementError as error:
        assert error.reading is None
        return 0
    valid = np.ones(ROWS, np.bool_) if reading.valid is None else reading.valid
    distance = np.abs(reading.response - case.direct(case.drive_ND))[valid]
    assert (distance <= case.bound).all()
    return int(valid.sum())


def answer(bench: Bench, case: Case) -> None:
    """Measure until every row is believed: at once, but for timeouts so short that a busy computer breaks them."""
    deadline = time.monotonic() + 10
    while accepted(bench, case) < ROWS:
        assert time.monotonic() < deadline


def used(simulation: Simulation, role: str, act: Callable[[], object]) -> int:
    """How many exchanges something takes."""
    before = simulation.exchanges[role]
    act()
    return simulation.exchanges[role] - before


@pytest.mark.parametrize(("name", "roles"), [("tones", ("source", "detector")), ("patterns", ("analyser",))])
def test_an_answer_to_the_exchange_before_is_refused_or_harmless_wherever_it_comes(
    name: str, roles: tuple[str, ...]
) -> None:
    case = CASES[name]
    with served(case.text) as (bench, simulation), bench:
        answer(bench, case)
        for role in roles:
            for place in range(used(simulation, role, lambda: answer(bench, case))):
                simulation.plans[role].add("stale", simulation.exchanges[role] + place)
                accepted(bench, case)
                while simulation.plans[role].pending:
                    accepted(bench, case)
                answer(bench, case)
        assert sum(bench.faults.values()) > 0


def test_nor_does_a_wrong_setting_come_of_one_on_the_way_back() -> None:
    case = CASES["tones"]

    def again() -> int:
        bench._rack.suspect("whatever there is")
        return accepted(bench, case)

    with served(case.text) as (bench, simulation), bench:
        for role in ("source", "detector"):
            burst = used(simulation, role, lambda: answer(bench, case))
            for place in range(used(simulation, role, again) - burst):
                simulation.plans[role].add("stale", simulation.exchanges[role] + place)
                again()
                while simulation.plans[role].pending:
                    again()
        answer(bench, case)


@pytest.mark.parametrize("kind", ["stale", "wrong_length"])
def test_a_record_of_a_red_pitaya_is_whole_and_of_its_input_whatever_comes(kind: str) -> None:
    case = CASES["red pitaya"]
    with served(case.text) as (bench, simulation), bench:
        answer(bench, case)
        exchanges = used(simulation, "source", lambda: answer(bench, case))
        for place in range(exchanges - 9, exchanges):  # from its flags before it is read to the error queue
            simulation.plans["source"].add(kind, simulation.exchanges["source"] + place)
            accepted(bench, case)
        while simulation.plans["source"].pending:
            accepted(bench, case)
        answer(bench, case)


# Which of these is counted depends on what is hit: the request or its answer, a header or what follows it.
COUNTED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stall", "delay", "dribble", "truncated"), ("timeout",)),
    **dict.fromkeys(("extra", "garbage", "stale", "wrong_length"), ("garbled",)),
    "dropped": ("disconnected",),
    "refused": ("refused", "disconnected"),
    "overload": ("garbled", "overload"),
    "queued_error": ("rejected",),
    "missed_trigger": ("miscounted",),
}
FRAMES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stall", "lost", "reordered"), ("missing", "timeout")),
    **dict.fromkeys(("dropped", "refused"), ("lost",)),
    "garbage": ("crc", "cobs", "oversize"),
    "corrupted": ("crc", "cobs", "oversize", "missing", "timeout"),
    "delay": ("late", "duplicate"),
    "extra": ("duplicate",),
    "stale": ("duplicate", "stale"),
}


def counted(bench: Bench, simulation: Simulation, role: str, kind: str, case: Case) -> Counter[str]:
    """Let a fault happen; which faults are counted until the bench answers again."""
    before = bench.faults
    simulation.plans[role].add(kind)
    while simulation.plans[role].pending:
        accepted(bench, case)
    answer(bench, case)
    return bench.faults - before


@pytest.mark.parametrize(("name", "role"), [("tones", "detector"), ("patterns", "analyser")])
def test_each_kind_of_fault_is_counted(name: str, role: str) -> None:
    case = CASES[name]
    with served(case.text) as (bench, simulation), bench:
        answer(bench, case)
        for kind, wanted in COUNTED.items():
            found = counted(bench, simulation, role, kind, case)
            assert set(wanted) & set(found), (kind, found)


def test_each_kind_of_fault_of_a_board_is_counted() -> None:
    case = CASES["patterns"]
    with served(case.text) as (bench, simulation), bench:
        for kind, wanted in FRAMES.items():
            found = counted(bench, simulation, "board", kind, case)
            assert set(wanted) & set(found), (kind, found)
