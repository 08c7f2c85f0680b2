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

from physnet.drivers.buffered import BufferedTransport
from physnet.drivers.instruments.rohde_schwarz_znb import RohdeSchwarzZNB
from physnet.drivers.roles import SweepSetup
from physnet.drivers.scripted import ScriptedTransport
from physnet.drivers.transport import Deadline
from physnet.errors import InputError
from tests.drivers.instruments.script_rohde_schwarz_znb import (
    IDENTITY,
    LINEAR,
    NONE,
    UNEVEN,
    close_all,
    opened,
    set_up,
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


REFUSED = [
    {"frequencies": ()},
    {"frequencies": (1e9,)},
    {"frequencies": (2e9, 1e9)},
    {"frequencies": (1e9, 1e9)},
    {"frequencies": (1e9, 1e9 + 0.5)},
    {"frequencies": (1e9, math.nan)},
    {"frequencies": (1e9, math.inf)},
    {"frequencies": (0.0, 1e9)},
    {"frequencies": (1e9, 44e9)},
    {"frequencies": tuple(1e9 + 10.0 * np.arange(100_002))},
    {"parameter": "S51"},
    {"parameter": "S21', 'S11"},
    {"parameter": ""},
    {"power": 0.01},
    {"power": 26.0},
    {"power": -81.0},
    {"power": math.nan},
    {"power": -math.inf},
    {"bandwidth": 0.0},
    {"bandwidth": 1200.0},
    {"bandwidth": 1.5e6},
    {"bandwidth": math.nan},
    {"sweeps": 0},
    {"sweeps": 100_001},
    {"sweeps": 1.5},
]


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: f"{next(iter(change))}")
def test_a_setup_that_is_out_of_range_sends_nothing(change: dict[str, Any]) -> None:
    analyser, line = opened()
    with pytest.raises(InputError):
        analyser.setup(dataclasses.replace(LINEAR, **change))
    line.assert_used_up()


def test_the_power_limit_is_an_option_within_what_the_family_has() -> None:
    analyser, line = opened(power_limit=-20.0)
    with pytest.raises(InputError, match="power_limit"):
        analyser.setup(LINEAR)
    line.assert_used_up()
    for limit in (25.1, -81.0, math.nan):
        with pytest.raises(InputError, match="power_limit"):
            RohdeSchwarzZNB(resource="SCRIPT::INSTR", power_limit=limit, transport=ScriptedTransport())


@pytest.mark.parametrize("sweeps", [0, 3, -1])
def test_more_sweeps_than_the_setup_are_refused(sweeps: int) -> None:
    analyser, line = opened(*set_up())
    analyser.setup(LINEAR)
    with pytest.raises(InputError, match="sweeps must be 1 to 2"):
        analyser.arm(sweeps)
    line.assert_used_up()


class GuardedAnalyser(BufferedTransport):
    """An analyser that takes every setting, and fails on the first one that is out of range."""

    def __init__(self, *, power: float) -> None:
        super().__init__("GUARD::INSTR", stream=True)
        self._power = power
        self._values: dict[str, str] = {"INIT1:CONT": "0"}
        self._answers = bytearray()
        self._segments: list[float] = []

    def _connect(self, deadline: Deadline) -> None: ...

    def _disconnect(self) -> None: ...

    def _send(self, data: bytes, deadline: Deadline) -> None:
        for line in data.decode("ascii").splitlines():
            header, _, value = line.partition(" ")
            if header.endswith("?"):
                self._answers += self._answer(header[:-1])
            else:
                self._take(header, value)

    def _take(self, header: str, value: str) -> None:
        if re.search(r"POW$|BAND$|FREQ|POIN$|COUN$", header):
            number = float(value)
            assert math.isfinite(number)
            if header.endswith("POW"):
                assert -80 <= number <= self._power
            elif header.endswith("BAND"):
                assert 1 <= number <= 1e6
            elif "FREQ" in header:
                assert 9e3 <= number <= 43.5e9
            else:
                assert 1 <= number <= 100_001 and number == int(number)
        if header == "SENS1:SEGM:DEL:ALL":
            self._segments = []
        elif re.fullmatch(r"SENS1:SEGM\d+:FREQ:STAR", header):
            self._segments.append(float(value))
        self._values[header] = {"ON": "1", "OFF": "0"}.get(value, value)

    def _answer(self, header: str) -> bytes:
        fixed = {"*IDN": IDENTITY, "*OPC": "1", "SYST:ERR": NONE, "CALC1:PAR:CAT": "'Trc1,S21'", "INIT1:CONT": "0"}
        fixed |= {"SENS1:SWE:TIME": "0.1", "SENS1:SEGM:SWE:TIME:SUM": "0.1"}
        if header == "CALC1:PAR:MEAS":
            return (self._values["CALC1:PAR:SDEF"].split(", ")[1] + "\n").encode()
        if header == "CALC1:DATA:STIM":
            return self._block()
        return (fixed.get(header) or self._values[header]).encode() + b"\n"

    def _block(self) -> bytes:
        points_F = np.array(self._segments)
        if self._values["SENS1:SWE:TYPE"] == "LIN":
            start, stop = float(self._values["SENS1:FREQ:STAR"]), float(self._values["SENS1:FREQ:STOP"])
            points_F = np.linspace(start, stop, int(self._values["SENS1:SWE:POIN"]))
        data = points_F.astype("<f8").tobytes()
        size = str(len(data)).encode()
        return b"#%d%b%b\n" % (len(size), size, data)

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


@given(
    frequencies=st.lists(anything | st.floats(8e3, 45e9), min_size=1, max_size=4) | st.just([1e9, 2e9, 3e9]),
    power=anything | st.floats(-85, 30),
    bandwidth=anything | st.sampled_from([1.0, 1e3, 7e5, 1e6, 1.5e6]),
    sweeps=st.integers(-1, 100_002),
    ordered=st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_nothing_out_of_range_is_ever_sent(
    frequencies: list[float], power: float, bandwidth: float, sweeps: int, ordered: bool
) -> None:
    line = GuardedAnalyser(power=5.0)
    asked_for = SweepSetup(
        frequencies=tuple(sorted(frequencies) if ordered else frequencies),
        power=power,
        bandwidth=bandwidth,
        sweeps=sweeps,
    )
    with RohdeSchwarzZNB(resource="GUARD::INSTR", transport=line, power_limit=5.0) as analyser:
        try:
            made = analyser.setup(asked_for)
        except InputError:
            return
        assert made == asked_for
        assert analyser.sweep_time == 0.1


def test_the_guard_itself_takes_a_sound_setup_of_either_kind() -> None:
    """Otherwise the test above could pass because everything is refused."""
    for wanted in (LINEAR, UNEVEN):
        with RohdeSchwarzZNB(resource="GUARD::INSTR", transport=GuardedAnalyser(power=5.0)) as analyser:
            assert analyser.setup(wanted) == wanted
