"""Whatever an instrument answers to whatever its driver asks, what comes of it is an error of ours, and soon."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.instruments.keysight_infiniivision import KeysightInfiniiVision
from physnet.drivers.instruments.red_pitaya import RedPitaya
from physnet.drivers.instruments.rohde_schwarz_znb import RohdeSchwarzZNB
from physnet.drivers.roles import DetectorSetup, SourceSetup, SweepSetup
from physnet.drivers.transport import Deadline
from physnet.errors import PhysnetError
from physnet.simulators.instruments.device import ScpiDevice
from physnet.simulators.instruments.generator import Generator
from physnet.simulators.instruments.medium import Wire
from physnet.simulators.instruments.network_analyser import SimulatedNetworkAnalyser
from physnet.simulators.instruments.oscilloscope import Oscilloscope
from physnet.simulators.instruments.red_pitaya import SimulatedRedPitaya
from physnet.simulators.instruments.rig import Burst, Rig

from .fuzzed_line import ENDLESS, FuzzedLine

QUICK = {"timeout": 0.05, "quiet": 1e-3, "backoff": (0.0,)}
SOON = 0.1  # s
RATE = 125e6 / 64


@dataclass(frozen=True)
class Life:
    """An instrument's life with its driver.

    Args:
        device: Makes the instrument; and what happens to it after a message.
        driver: Its driver.
        use: All that a bench does with it.
        terminator: What ends a line.
    """

    device: Callable[[], tuple[ScpiDevice, Callable[[str], None]]]
    driver: Any
    use: Callable[[Any], None]
    terminator: bytes = b"\n"


def rig(detectors: int = 1) -> Rig:
    return Rig(Wire(gains=[[1.0]] * detectors), sources=(1,), detectors=tuple(range(1, detectors + 1)))


def nothing(text: str) -> None:
    """Nothing happens after a message."""


def waveform() -> Any:
    wave_NCT = np.zeros((2, 1, 16))
    wave_NCT[:, :, 4:12] = 0.1
    return wave_NCT


def use_generator(source: Any) -> None:
    source.setup(SourceSetup(channels=(1,), sample_rate=1e4, peak=(0.2,), load=(50.0,)))
    for _ in range(2):
        source.load(waveform())
        source.arm()
        source.fire()
        source.finish(Deadline.after(SOON))


def oscilloscope() -> tuple[ScpiDevice, Callable[[str], None]]:
    cables = rig(2)
    scope = Oscilloscope(cables, noise=0.0, model="DSO-X 3024A")

    def after(text: str) -> None:
        if text == "SING":  # what it waits for
            cables.play(Burst(volts={1: np.ones(400)}, sample_rate=1e4, rises=[0, 200], falls=[100, 300]))

    return scope, after


def use_oscilloscope(detector: Any) -> None:
    for segments in (1, 2):
        detector.setup(
            DetectorSetup(
                channels=(1, 2), sample_rate=1e4, points=80, segments=segments, full_scale=(1.0, 0.5), before=1e-3
            )
        )
        detector.arm()
        detector.wait(Deadline.after(SOON))
        detector.fetch().volts()


class Flat:
    """A network that passes everything."""

    frequencies = np.array([1e9, 2e9, 4e9])

    def respond(self, pattern_NE: Any) -> Any:
        return np.ones((len(pattern_NE), 3), np.complex128)


def analyser() -> tuple[ScpiDevice, Callable[[str], None]]:
    found = SimulatedNetworkAnalyser(Flat(), latched=lambda: np.zeros(2, np.uint8), now=lambda: next(times))
    times = iter(range(10**9))  # s: every sweep is over when the next one begins
    begun = False

    def after(text: str) -> None:
        nonlocal begun
        if begun and text.endswith("COUN?"):  # it said that it has counted none
            found.trigger(np.zeros(2, np.uint8))
            found.trigger(np.ones(2, np.uint8))
        begun = text == "INIT1:IMM"

    return found, after


def use_analyser(listener: Any) -> None:
    for frequencies in ((1e9, 2e9, 3e9), (1e9, 2e9, 4e9)):  # swept linearly, and in segments
        listener.setup(SweepSetup(frequencies=frequencies, sweeps=2))
        listener.arm()
        listener.wait(Deadline.after(SOON))
        listener.fetch()


def use_red_pitaya(board: Any) -> None:
    board.setup(SourceSetup(channels=(1,), sample_rate=RATE, peak=(0.2,), load=(50.0,)))
    board.setup(DetectorSetup(channels=(1, 2), sample_rate=RATE, points=100, segments=1, full_scale=(1.0, 1.0)))
    board.load(waveform())
    board.arm(1)
    board.fire()
    board.wait(Deadline.after(SOON))
    board.finish(Deadline.after(SOON))
    board.fetch().volts()


LIVES = {
    "keysight_33500b": Life(lambda: (Generator(rig(), model="33521B"), nothing), Keysight33500B, use_generator),
    "keysight_infiniivision": Life(oscilloscope, KeysightInfiniiVision, use_oscilloscope),
    "rohde_schwarz_znb": Life(analyser, RohdeSchwarzZNB, use_analyser),
    "red_pitaya": Life(
        lambda: (
            SimulatedRedPitaya(Rig(Wire(gains=[[1.0, 0.0], [0.5, 0.0]]), sources=(1, 2), detectors=(1, 2))),
            nothing,
        ),
        RedPitaya,
        use_red_pitaya,
        b"\r\n",
    ),
}


def live(name: str, changes: Mapping[int, bytes], piece: int = 1 << 16) -> tuple[int, Exception | None]:
    """Live a life; return how many exchanges it had, and what ended it."""
    life = LIVES[name]
    device, after = life.device()
    line = FuzzedLine(device, terminator=life.terminator, changes=changes, piece=piece, after=after)
    instrument = life.driver(resource="FUZZED::SOCKET", transport=line, **QUICK)
    ended: Exception | None = None
    try:
        instrument.open()
        instrument.make_safe()
        life.use(instrument)
        instrument.check_errors()
    except PhysnetError as error:
        ended = error
        # Whatever it was, the way back must not fail otherwise.
        with contextlib.suppress(PhysnetError):
            instrument.recover()
            instrument.make_safe()
    finally:
        instrument.close()
        device.close()
    assert not device.mistakes, "the simulated instrument itself went wrong"
    return line.exchanges, ended


@pytest.mark.parametrize("name", LIVES)
def test_a_life_without_faults_has_none(name: str) -> None:
    exchanges, ended = live(name, {})
    assert ended is None
    assert exchanges > 40


LENGTHS = {name: live(name, {})[0] for name in LIVES}
NUMBERS = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(
        ["9.91E37", "9.9E37", "-9.9E37", "1E400", "1E-400", "0", "-0.0", "+1", "1" * 3000, "", "--1", "0x10"]
    ),
)
WORDS = st.sampled_from(["ON", "OFF", "REAL,64", "TD", "WAIT", "CHAN1", '0,"No error"', '-113,"Undefined header"', "*"])
TEXTS = st.one_of(NUMBERS, WORDS, st.lists(NUMBERS, max_size=12).map(",".join), st.text(max_size=20))
BLOCKS = st.one_of(
    st.binary(max_size=200).map(lambda data: b"#3%03d%b" % (len(data), data)),
    st.lists(st.floats(), max_size=20).map(
        lambda values: b"#3%03d" % (8 * len(values)) + struct.pack(f"<{len(values)}d", *values)
    ),
    st.sampled_from(
        [b"#", b"#0", b"#0\n", b"#1", b"#10", b"#9999999999", b"#3 12", b"#2-1", b"#\xb21", b"#41600" + bytes(1600)]
    ),
)
TAILS = st.sampled_from([b"\n", b"\r\n", b"", b"\n\n", b";1\n", b"\x00"])
ANSWERS = st.one_of(st.binary(max_size=80), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")), BLOCKS)


@pytest.mark.parametrize("name", LIVES)
@given(data=st.data())
@settings(max_examples=100)
def test_any_answer_is_right_or_an_error_of_ours(name: str, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, LENGTHS[name] - 1), min_size=1, max_size=3, unique=True))
    changes = {place: data.draw(ANSWERS) + data.draw(TAILS) for place in places}
    live(name, changes, piece=data.draw(st.sampled_from([1, 3, 1 << 16])))


def peak_of(name: str, changes: Mapping[int, bytes]) -> tuple[int, Exception | None]:
    """Live a life; return how much memory it takes at most, in bytes, and what ended it."""
    tracemalloc.start()
    try:
        _, ended = live(name, changes)
        return tracemalloc.get_traced_memory()[1], ended
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("answer", [ENDLESS, b"#9999999999" + bytes(200_000), b"1," * 100_000 + b"1\n"])
@pytest.mark.parametrize("name", LIVES)
def test_no_answer_takes_more_memory_than_what_was_asked_for(name: str, answer: bytes) -> None:
    # Beside what a life takes without faults, the line holds the answer; the driver reads 64 KiB of a text at most, and
    # of a block what was declared, a few kilobytes here. With copies, and errors that show them, less than a megabyte.
    most = peak_of(name, {})[0] + (1 << 20)
    for place in range(0, LENGTHS[name], 7):
        peak, ended = peak_of(name, {place: answer})
        assert ended is not None and peak < most
