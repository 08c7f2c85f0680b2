"""What goes over the lines, in order: who is there, safe outputs, settings; and safe outputs as the last thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from physnet.drivers.benches.bench import Bench
from physnet.drivers.boards.frames import FrameDecoder
from physnet.drivers.boards.messages import Kind
from physnet.drivers.boards.serial_board import SerialBoard
from physnet.drivers.boards.stream import ByteStream
from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.instruments.rohde_schwarz_znb import RohdeSchwarzZNB
from physnet.drivers.transport import Transport
from physnet.drivers.watched import WatchedTransport
from physnet.errors import MeasurementError
from physnet.simulators.instruments.serve import Simulation

from . import speckle_room, wire_bench
from .served import served

ROWS = 12
PATIENT = 0.5  # s: a computer with other things to do makes no fault of its own
GENERATOR = [f"source {text}" for text in Keysight33500B.SAFE]
ANALYSER = [f"analyser {text}" for text in RohdeSchwarzZNB.SAFE]
TONES = np.random.default_rng(0).uniform(0, 1, (ROWS, len(wire_bench.TONES)))
PATTERNS = np.random.default_rng(0).integers(0, 2, (ROWS, speckle_room.ELEMENTS)).astype(np.uint8)


class Tap:
    """Writes down what is sent on all lines of a bench, questions left out, in one order; and may interrupt it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.trap: Callable[[str], None] = lambda text: None
        """Called with what is about to be sent."""
        open_stream = SerialBoard.open_stream
        monkeypatch.setattr(SerialBoard, "open_stream", lambda board: _TappedStream(open_stream(board), self))

    def transport(self, role: str, line: Transport) -> Transport:
        """Look on at a line."""
        return WatchedTransport(line, lambda text: self.sent(role, text))

    def sent(self, role: str, text: str) -> None:
        """Write down what is about to be sent."""
        if not text.endswith("?") or text == "*IDN?":
            self.trap(f"{role} {text}")
            self.log.append(f"{role} {text}")

    def outputs(self) -> list[str]:
        """What makes outputs safe or not, in order."""
        found = re.compile(r"OUTP|\*TRG|ABOR|INIT|SAFE|ARM|PATTERN")
        return [text for text in self.log if found.search(text)]


class _TappedStream:
    def __init__(self, line: ByteStream, tap: Tap) -> None:
        self._line, self._tap, self._frames = line, tap, FrameDecoder(4096)

    def read(self, limit: int, deadline: float) -> bytes:
        return self._line.read(limit, deadline)

    def write(self, data: bytes, deadline: float) -> None:
        for frame in self._frames.feed(data):
            self._tap.sent("board", Kind(frame.kind).name)
        self._line.write(data, deadline)

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    """On the lines of every bench of a test."""
    return Tap(monkeypatch)


@contextmanager
def tones(tap: Tap) -> Iterator[tuple[Bench, Simulation]]:
    """A bench of tones under the tap."""
    with served(wire_bench.wire_file(timeout=PATIENT), wrap=tap.transport) as both:
        yield both


@contextmanager
def patterns(tap: Tap, *order: str) -> Iterator[tuple[Bench, Simulation]]:
    """A bench of patterns under the tap, with an order in which it is made safe."""
    text = speckle_room.room_file(timeout=PATIENT).replace('["board", "analyser"]', str(list(order)).replace("'", '"'))
    with served(text, wrap=tap.transport) as both:
        yield both


def test_a_bench_of_tones_is_told_nothing_before_all_have_said_who_they_are(tap: Tap) -> None:
    with tones(tap) as (bench, _), bench:
        pass
    assert tap.log[:4] == ["source *CLS", "source *IDN?", "detector *CLS", "detector *IDN?"]
    assert tap.log[4:7] == GENERATOR
    assert "*RST" in tap.log[7 + len(GENERATOR)]  # `setup` makes sure once more, before its first setting
    assert tap.log[-3:] == GENERATOR


@pytest.mark.parametrize("order", [("board", "analyser"), ("analyser", "board")])
def test_a_bench_of_patterns_is_made_safe_in_its_order(tap: Tap, order: tuple[str, ...]) -> None:
    safe = {"board": ["board SAFE"], "analyser": ANALYSER}
    expected = [text for role in order for text in safe[role]]
    with patterns(tap, *order) as (bench, _), bench:
        # A board that is asked who it is makes itself safe.
        assert tap.log[:3] == ["board IDENTIFY", "analyser *CLS", "analyser *IDN?"]
        assert tap.log[3 : 3 + len(expected)] == expected
        assert bench.measure(PATTERNS, np.arange(ROWS)).valid is not None
        played = len(tap.log)
        assert "board ARM" in tap.log
    # A batch leaves the board safe, leaving the bench makes all of it so, and closing its line the board once more.
    assert tap.log[played:] == [*expected, "board SAFE"]


class Mishap(Exception):
    """Something that nobody expects."""


@pytest.mark.parametrize("error", [Mishap, KeyboardInterrupt])
@pytest.mark.parametrize("at", ["source OUTP1 ON", "source *TRG", "detector SING"])
def test_an_exception_in_the_middle_of_a_burst_ends_with_safe_outputs(
    tap: Tap, at: str, error: type[BaseException]
) -> None:
    def strike(text: str) -> None:
        if text == at:
            tap.trap = lambda text: None
            raise error

    with tones(tap) as (bench, simulation), bench:
        bench.measure(TONES, np.arange(ROWS))
        tap.trap = strike
        with pytest.raises(error):
            bench.measure(TONES, np.arange(ROWS))
        assert tap.outputs()[-3:] == GENERATOR
        assert [event.kind for event in simulation.rig.log if event.role == "source"][-1] == "off"
        # Whoever goes on, in a notebook say, gets what is right.
        for _ in range(3):
            try:
                reading = bench.measure(TONES, np.arange(ROWS))
                break
            except MeasurementError:  # the line of the detector was left in the middle of an exchange
                continue
        assert (np.abs(reading.response - wire_bench.direct(TONES)) < wire_bench.bound()).all()


@pytest.mark.parametrize("order", [("board", "analyser"), ("analyser", "board")])
@pytest.mark.parametrize("at", ["board ARM", "board PATTERN", "analyser INIT1:IMM"])
def test_an_exception_in_the_middle_of_a_batch_ends_with_safe_outputs_in_order(
    tap: Tap, at: str, order: tuple[str, ...]
) -> None:
    def strike(text: str) -> None:
        if text == at:
            tap.trap = lambda text: None
            raise Mishap

    safe = {"board": ["board SAFE"], "analyser": ANALYSER}
    expected = [text for role in order for text in safe[role]]
    with patterns(tap, *order) as (bench, simulation), bench:
        bench.measure(PATTERNS, np.arange(ROWS))
        tap.trap = strike
        with pytest.raises(Mishap):
            bench.measure(PATTERNS, np.arange(ROWS))
        assert tap.outputs()[-len(expected) :] == expected
        assert simulation.bench.board.record[-1].kind == "safe"  # type: ignore[attr-defined]
        reading = bench.measure(PATTERNS, np.arange(ROWS))
        assert (
            np.abs(reading.response - speckle_room.direct(PATTERNS.astype(np.float64))) < speckle_room.bound()
        ).all()


@pytest.mark.parametrize("kind", ["dropped", "stall", "garbage"])
@pytest.mark.parametrize("role", ["source", "detector"])
def test_after_a_fault_safe_outputs_come_first_and_only_what_was_lost_is_set_up(tap: Tap, role: str, kind: str) -> None:
    with tones(tap) as (bench, simulation), bench:
        bench.measure(TONES, np.arange(ROWS))
        before = len(tap.log)
        simulation.plans[role].add(kind, simulation.exchanges[role] + 5)
        with pytest.raises(MeasurementError, match="made safe and set up again"):
            bench.measure(TONES, np.arange(ROWS))
        after = tap.log[before:]
        back = [text for text in after if text.startswith("source")]
        if role == "source":
            start = after.index("source *IDN?")
            assert after[start - 1] == "source *CLS" and after[start + 1 : start + 4] == GENERATOR
            assert not any("*RST" in text for text in after if text.startswith("detector"))
        else:
            start = after.index("detector *IDN?")
            assert GENERATOR[0] in after[:start]  # the generator was safe before anything else was tried
            assert "source *RST" not in back and "detector *RST" in after[start:]
        assert "source *TRG" not in after[start:]
        reading = bench.measure(TONES, np.arange(ROWS))
        assert (np.abs(reading.response - wire_bench.direct(TONES)) < wire_bench.bound()).all()


def test_what_was_refused_while_a_line_was_out_of_step_is_set_up_again(tap: Tap) -> None:
    # The analyser gives no answer when it is made safe because the board stopped: it is recovered, and must be set up.
    with patterns(tap, "analyser", "board") as (bench, simulation), bench:
        simulation.plans["board"].add("dropped", simulation.exchanges["board"] + 3)

        def strike(text: str) -> None:
            if text == "board PATTERN":
                simulation.plans["analyser"].add("garbage", simulation.exchanges["analyser"])
                tap.trap = lambda text: None

        tap.trap = strike
        with pytest.raises(MeasurementError):
            bench.measure(PATTERNS, np.arange(ROWS))
        assert not simulation.plans["analyser"].pending
        reading = bench.measure(PATTERNS, np.arange(ROWS))
        assert (
            np.abs(reading.response - speckle_room.direct(PATTERNS.astype(np.float64))) < speckle_room.bound()
        ).all()
