from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.drivers.buffered import BufferedTransport
from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.roles import SourceSetup
from physnet.drivers.transport import Deadline
from physnet.errors import DriveError, InputError
from tests.drivers.instruments.script_33500b import (
    BURST,
    ONE,
    SETUP,
    TWO,
    set_up,
    source,
)


@pytest.mark.parametrize(
    "changed",
    [
        {"channels": (3,)},
        {"channels": (2, 2), "peak": (0.2, 0.2), "load": (50.0, 50.0)},
        {"sample_rate": 62.6e6},
        {"sample_rate": 1e-7},
        {"sample_rate": math.inf},
        {"peak": (5.01,)},
        {"peak": (4e-4,)},
        {"peak": (math.inf,)},
        {"peak": (1e308,)},
        {"peak": (5.0,), "load": (10.0,)},
        {"load": (0.5,)},
        {"load": (1.1e4,)},
    ],
)
def test_a_setup_out_of_range_is_refused_before_a_byte_is_sent(changed: dict[str, Any]) -> None:
    with source() as generator, pytest.raises(InputError, match="must be"):
        generator.setup(dataclasses.replace(SETUP, **changed))


def test_a_second_channel_is_refused_by_a_model_that_has_one() -> None:
    with source(identity=ONE) as generator, pytest.raises(InputError, match="channels"):
        generator.setup(dataclasses.replace(SETUP, channels=(2,)))


@pytest.mark.parametrize("place", [(0, 0, 1), (1, 0, 2)], ids=["first row", "second row"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.2 + 1e-12, -0.21])
def test_a_sample_beyond_the_peak_or_not_finite_is_never_sent(place: tuple[int, ...], value: float) -> None:
    wave = BURST.copy()
    wave[place] = value
    with source(*set_up()) as generator:
        generator.setup(SETUP)
        with pytest.raises(DriveError, match="within"):
            generator.load(wave)


@pytest.mark.parametrize("place", [(0, 0, 0), (0, 0, -1), (1, 0, -1)])
def test_a_burst_that_does_not_rest_at_zero_is_never_sent(place: tuple[int, ...]) -> None:
    wave = BURST.copy()
    wave[place] = 0.01
    with source(*set_up()) as generator:
        generator.setup(SETUP)
        with pytest.raises(DriveError, match="0 V"):
            generator.load(wave)


@pytest.mark.parametrize(
    "wave",
    [np.zeros((1, 2, 8)), np.zeros((1, 8)), np.zeros((1, 1, 7)), np.zeros((1, 1, 33)), np.zeros((1, 1, 8), "c16")],
)
def test_a_waveform_of_a_wrong_shape_length_or_type_is_never_sent(wave: NDArray[Any]) -> None:
    with source(*set_up(), points=32) as generator:
        generator.setup(SETUP)
        with pytest.raises(DriveError, match="must"):
            generator.load(wave)


class Guard(BufferedTransport):
    """Answers as a 33522B whose settings are what was sent, and raises at the first voltage beyond a limit.

    `converter`: an amplitude is that of all codes; otherwise that of the waveform, and limited by it.
    """

    def __init__(self, limit: dict[int, float], *, converter: bool) -> None:
        super().__init__("GUARD::INSTR", stream=True)
        self.limit, self.converter = limit, converter
        self.values: dict[bytes, bytes] = {b"OUTP1": b"OFF", b"OUTP2": b"OFF"}
        self.memory: dict[tuple[int, bytes], list[int]] = {}
        self.bursts = 0
        self._coming = bytearray()

    def volts(self, channel: int) -> list[float]:
        """What a channel plays."""
        codes = self.memory[channel, self.values[b"SOUR%d:FUNC:ARB" % channel]]
        span = 65534 if self.converter else max(codes) - min(codes)
        return [code * float(self.values[b"SOUR%d:VOLT" % channel]) / span for code in codes]

    def _connect(self, deadline: Deadline) -> None:
        self._coming.clear()

    def _disconnect(self) -> None:
        self._coming.clear()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        while data:
            upload = re.match(rb"SOUR(\d):DATA:ARB:DAC (\w+),#(\d)", data)
            if upload:
                start = upload.end() + int(upload[3])
                stop = start + int(data[upload.end() : start])
                codes = [int.from_bytes(data[i : i + 2], "little", signed=True) for i in range(start, stop, 2)]
                assert codes[0] == codes[-1] == 0 and min(codes) >= -32767
                self.memory[int(upload[1]), upload[2]] = codes
                self.bursts += upload[2][:1] == b"B"
                assert data[stop : stop + 1] == b"\n"
                data = data[stop + 1 :]
                continue
            line, _, data = data.partition(b"\n")
            self._line(line)

    def _line(self, line: bytes) -> None:
        answers = {b"*IDN?": TWO.encode(), b"*OPC?": b"1", b"*ESR?": b"1", b"SYST:ERR?": b'0,"No error"'}
        header, _, value = line.partition(b" ")
        if value == b"MAX":
            codes = self.memory[int(header[4:5]), self.values[header[:5] + b":FUNC:ARB"]]
            self._coming += b"%r\n" % (10.0 if self.converter else 10.0 * (max(codes) - min(codes)) / 65534)
        elif line.endswith(b"?"):
            self._coming += (answers.get(line) or self.values[line[:-1]]) + b"\n"
        else:
            self.values[header] = b"9.9E37" if value == b"INF" else value
        for channel in (1, 2):
            if self.values[b"OUTP%d" % channel] == b"ON":
                limit = self.limit[channel]
                # The range is the limit up to four digits; half a code of rounding in it.
                assert all(abs(volts) <= limit * (1 + 1.001 / 65534) for volts in self.volts(channel))

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        if not self._coming:
            raise self.timeout("the answer")
        count = min(len(buffer), len(self._coming))
        buffer[:count] = self._coming[:count]
        del self._coming[:count]
        return count


anything = st.floats(width=64)


def mostly(*usual: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    return st.one_of(*usual, *usual, *usual, anything)


@settings(max_examples=60, deadline=None)
@given(
    peaks=st.tuples(*[mostly(st.floats(1e-3, 0.3), st.floats(1e-3, 6.0))] * 2),
    loads=st.tuples(*[mostly(st.sampled_from([50.0, math.inf]), st.floats(1.0, 1e4))] * 2),
    rate=mostly(st.sampled_from([64e3, 1e6])),
    wave=st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=40),
    scale=st.sampled_from([0.5, 1.0, 1.0, 1.001]),
    spoilt=st.one_of(st.none(), st.none(), st.sampled_from([math.nan, math.inf, -math.inf, 1e300])),
    rests=st.booleans(),
    converter=st.booleans(),
)
def test_nothing_out_of_range_is_ever_sent(
    peaks: tuple[float, float],
    loads: tuple[float, float],
    rate: float,
    wave: list[float],
    scale: float,
    spoilt: float | None,
    rests: bool,
    converter: bool,
) -> None:
    line = Guard({1: peaks[0], 2: peaks[1]}, converter=converter)
    with Keysight33500B(resource="", transport=line) as generator:
        fine = (
            all(1.0 <= load <= 1e4 or load == math.inf for load in loads)
            and all(1e-3 <= p <= 10 / (1 + 50 / load) * (1 - 1e-3) for p, load in zip(peaks, loads, strict=True))
            and 1e-6 <= rate <= 62.5e6
        )
        try:
            generator.setup(SourceSetup(channels=(1, 2), sample_rate=rate, peak=peaks, load=loads))
        except InputError:
            assert not fine
            return
        assert all(p <= 10 / (1 + 50 / load) for p, load in zip(peaks, loads, strict=True))
        wave_T = scale * min(peaks) * np.array(wave)
        if rests:
            wave_T[[0, -1]] = 0.0
        if spoilt is not None:
            wave_T[4] = spoilt
        wave_CT = np.array([wave_T, -wave_T])
        try:
            generator.load(wave_CT[None])
        except DriveError:
            assert line.bursts == 0
            assert not rests or not (np.abs(wave_T) <= min(peaks)).all()
            return
        assert line.bursts == 2
        for channel, peak, load in zip((1, 2), peaks, loads, strict=True):
            smallest = 2e-3 / (1 + 50 / load) * 1.001
            # Half a code, and half of one in what the waveform spans; a thousandth of its span drawn in, and the pair
            # of samples without which it spans too little.
            bound = 1.001 * peak / 32767 + max(2e-3 * np.abs(wave_T).max(), smallest if not converter else 0)
            assert np.abs(np.array(line.volts(channel)) - wave_CT[channel - 1]).max() <= bound
        generator.arm()
