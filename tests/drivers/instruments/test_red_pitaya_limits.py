from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.drivers.buffered import BufferedTransport
from physnet.drivers.instruments.red_pitaya import RedPitaya
from physnet.drivers.roles import DetectorSetup
from physnet.drivers.scripted import ScriptedTransport
from physnet.drivers.transport import Deadline
from physnet.errors import DriveError, InputError
from tests.drivers.instruments.script_red_pitaya import (
    BURST,
    DETECTOR,
    IDENTITY,
    NONE,
    RATE,
    SOURCE,
    SOURCE_ANSWERS,
    close_all,
    compared,
    opened,
    source_set,
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


REFUSED_SOURCES = [
    {"channels": (3,)},
    {"channels": (0,)},
    {"channels": (1, 1), "peak": (0.2, 0.2), "load": (50.0, 50.0)},
    {"sample_rate": 64e3},
    {"sample_rate": 250e6},
    {"sample_rate": 125e6 / 8192},
    {"sample_rate": 125e6 / 3},
    {"sample_rate": math.inf},
    {"peak": (1.01,)},
    {"peak": (0.5e-3,)},
    {"peak": (math.inf,)},
    {"load": (math.inf,)},
    {"load": (1e6,)},
]
REFUSED_DETECTORS = [
    {"channels": ()},
    {"channels": (1, 3)},
    {"channels": (1, 1)},
    {"channels": (1,)},
    {"sample_rate": 64e3},
    {"sample_rate": 0.0},
    {"sample_rate": math.nan},
    {"sample_rate": 125e6 / 131072},
    {"points": 0},
    {"points": 16369},
    {"segments": 2},
    {"segments": 0},
    {"full_scale": (0.5, 1.1)},
    {"full_scale": (0.5, 0.0)},
    {"full_scale": (math.nan, 1.0)},
    {"before": -1e-6},
    {"before": 6 / RATE},
    {"before": math.nan},
    {"before": math.inf},
    {"coupling": "AC"},
]


@pytest.mark.parametrize("change", REFUSED_SOURCES, ids=str)
def test_a_source_setup_that_is_out_of_range_sends_nothing(change: dict[str, Any]) -> None:
    board, line = opened()
    with pytest.raises(InputError):
        board.setup(dataclasses.replace(SOURCE, **change))
    line.assert_used_up()


@pytest.mark.parametrize("change", REFUSED_DETECTORS, ids=str)
def test_a_detector_setup_that_is_out_of_range_sends_nothing(change: dict[str, Any]) -> None:
    board, line = opened()
    with pytest.raises(InputError):
        board.setup(dataclasses.replace(DETECTOR, **change))
    line.assert_used_up()


@pytest.mark.parametrize(
    "options",
    [
        {"jumpers": ("LV",)},
        {"jumpers": ("LV", "MV")},
        {"volts_out": (1.0,)},
        {"volts_out": (1.0, 0.0)},
        {"volts_out": (math.nan, 1.0)},
        {"volts_out": (math.inf, 1.0)},
        {"trigger": "NOW"},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RedPitaya(resource="SCRIPT::INSTR", transport=ScriptedTransport(), **options)


@pytest.mark.parametrize(
    "burst",
    [
        np.array([[[0.0, 0.2000001, 0.0]]]),
        np.array([[[0.0, -0.2000001, 0.0]]]),
        np.array([[[0.0, math.nan, 0.0]]]),
        np.array([[[0.0, math.inf, 0.0]]]),
        np.array([[[0.0, -math.inf, 0.0]]]),
        np.zeros((1, 2, 4)),
        np.zeros((1, 4)),
        np.zeros((0, 1, 4)),
        np.zeros((1, 1, 0)),
        np.zeros((1, 1, 16385)),
        np.zeros((2, 1, 8193)),
        np.zeros((1, 1, 4), complex),
        np.array([[["0.1"]]]),
    ],
    ids=lambda burst: f"{burst.dtype} {burst.shape}",
)
def test_a_burst_that_must_not_be_played_sends_nothing(burst: NDArray[Any]) -> None:
    board, line = opened(*source_set(), *compared(SOURCE_ANSWERS))
    board.setup(SOURCE)
    with pytest.raises(DriveError):
        board.load(burst)
    line.assert_used_up()


class GuardedBoard(BufferedTransport):
    """A board that takes every setting, and fails on the first voltage that is beyond what was allowed."""

    def __init__(self, peak: float) -> None:
        super().__init__("GUARD::INSTR", stream=True)
        self.peak = peak
        self.tables = 0
        self._values: dict[str, str] = {}
        self._answers = bytearray()

    def _connect(self, deadline: Deadline) -> None: ...

    def _disconnect(self) -> None: ...

    def _send(self, data: bytes, deadline: Deadline) -> None:
        assert data.endswith(b"\r\n")
        for line in data.decode("ascii").split("\r\n")[:-1]:
            header, _, value = line.partition(" ")
            if header.endswith("?"):
                self._answers += self._answer(header[:-1]).encode() + b"\r\n"
            else:
                self._take(header, value)

    def _take(self, header: str, value: str) -> None:
        if header.endswith(":VOLT"):
            # Six digits of the peak are answered; what is set is the peak itself.
            assert 0 < float(value) <= min(self.peak, 1.0)
        elif header.endswith("TRAC:DATA:DATA"):
            assert self._values.get("OUTPUT1:STATE") == "OFF"
            samples = [float(part) for part in value.split(",")]
            assert len(samples) == 16384
            assert all(abs(sample) <= 1.0 for sample in samples)  # false for NaN
            self.tables += 1
        elif header.endswith("FREQ:FIX"):
            assert 1.0 <= float(value) <= 125e6 / 16384
        elif re.search(r"OFFS$|LASTValue$|INITValue$", header):
            assert float(value) == 0.0
        elif header == "ACQ:DEC":
            assert int(value) in [2**power for power in range(17)]
        elif header == "ACQ:TRIG:DLY":
            assert -8192 <= int(value) <= 8192
        self._values[header] = value

    def _answer(self, header: str) -> str:
        fixed = {"*IDN": IDENTITY, "*OPC": "1", "SYST:ERR": NONE, "SYST:BRD:NAME": "STEMlab 125-14 v1.1"}
        if header == "ACQ:SRATE":
            return f"{125e6 / int(self._values['ACQ:DEC']):9.0f} Hz"
        value = fixed.get(header) or self._values[header]
        return f"{float(value):g}" if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", value) else value

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        if not self._answers:
            raise self.timeout("the answer")
        count = min(len(buffer), len(self._answers))
        buffer[:count] = self._answers[:count]
        del self._answers[:count]
        return count

    def _peek(self) -> bytes:
        return bytes(self._answers[:64])


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(peak=st.floats(0.0005, 1.2), samples=st.lists(anything | st.floats(-1.2, 1.2), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_no_voltage_beyond_the_peak_is_ever_sent(peak: float, samples: list[float]) -> None:
    line = GuardedBoard(peak)
    with RedPitaya(resource="GUARD::INSTR", transport=line) as board:
        try:
            board.setup(dataclasses.replace(SOURCE, peak=(peak,)))
        except InputError:
            assert not 1e-3 <= peak <= 1.0
            return
        if all(abs(sample) <= peak for sample in samples):
            board.load(np.array([[samples]]))
            assert line.tables == 1
            return
        with pytest.raises(DriveError):
            board.load(np.array([[samples]]))
        assert line.tables == 0


@given(
    sample_rate=anything | st.integers(-1, 20).map(lambda power: 125e6 / 2.0**power),
    points=st.integers(-1, 17_000),
    before=anything | st.floats(0, 1e-3),
    full_scale=anything | st.floats(0, 1.1),
)
@settings(deadline=None, max_examples=100)
def test_no_setting_of_the_digitiser_is_out_of_range(
    sample_rate: float, points: int, before: float, full_scale: float
) -> None:
    wanted = DetectorSetup(
        channels=(1,), sample_rate=sample_rate, points=points, segments=1, full_scale=(full_scale,), before=before
    )
    with RedPitaya(resource="GUARD::INSTR", transport=GuardedBoard(1.0), trigger="EXT_PE") as board:
        try:
            made = board.setup(wanted)
        except InputError:
            return
        assert made == dataclasses.replace(wanted, full_scale=(1.0,))


def test_the_guard_itself_takes_sound_setups() -> None:
    """Otherwise the tests above could pass because everything is refused."""
    line = GuardedBoard(0.2)
    with RedPitaya(resource="GUARD::INSTR", transport=line) as board:
        assert board.setup(SOURCE) == SOURCE
        board.setup(DETECTOR)
        board.load(BURST)
    assert line.tables == 1
