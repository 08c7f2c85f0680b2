from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.drivers.buffered import BufferedTransport
from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.roles import Source, SourceSetup
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.drivers.transport import Deadline
from physnet.errors import DriveError, InputError, TransportError
from tests.drivers.instruments.examples import lines, opening, scripted

TWO = "Keysight Technologies,33522B,MY50000001,4.00-1.19-2.00-58-00"
ONE = "Agilent Technologies,33511B,MY50000003,2.05-1.19-2.00-52-00"
NONE = '+0,"No error"'
SETUP = SourceSetup(channels=(1,), sample_rate=64e3, peak=(0.2,), load=(50.0,))
BOTH = SourceSetup(channels=(1, 2), sample_rate=1e6, peak=(0.2, 4.0), load=(50.0, math.inf))
# Codes of 0, 0.1, -0.2, 0.05 V at 0.2 V for 32767: 16383.5 goes to the even neighbour.
BURST = np.array([[[0.0, 0.1, -0.2, 0.0]], [[0.05, 0.2, 0.1, 0.0]]])
CODES = [0, 16384, -32767, 0, 8192, 32767, 16384, 0]


def asked(text: str, answer: str) -> Step:
    return lines(text, answer=answer)


def made_safe() -> Step:
    return lines("OUTP1 OFF", "OUTP2 OFF", "ABOR", "*OPC?", answer="1")


def channel_settings(channel: int, load: str, rate: str, amplitude: str) -> Step:
    source = f"SOUR{channel}:"
    return lines(
        f"OUTP{channel}:LOAD {load}",
        source + "FUNC ARB",
        source + "FUNC:ARB:FILT OFF",
        source + f"FUNC:ARB:SRAT {rate}",
        source + "VOLT:RANG:AUTO ON",
        source + f"VOLT {amplitude}",
        source + "VOLT:OFFS 0.0",
        source + "VOLT:RANG:AUTO OFF",
        f"TRIG{channel}:SOUR BUS",
        source + "BURS:MODE TRIG",
        source + "BURS:NCYC 1",
        source + "BURS:STAT ON",
    )


def read_back(channel: int, load: str, rate: str, amplitude: str) -> list[Step]:
    source = f"SOUR{channel}:"
    return [
        asked(f"OUTP{channel}:LOAD?", load),
        asked(source + "FUNC?", "ARB"),
        asked(source + "FUNC:ARB:FILT?", "OFF"),
        asked(source + "FUNC:ARB:SRAT?", rate),
        asked(source + "VOLT:RANG:AUTO?", "0"),
        asked(source + "VOLT:OFFS?", "+0.000000000000000E+00"),
        asked(f"TRIG{channel}:SOUR?", "BUS"),
        asked(source + "BURS:MODE?", "TRIG"),
        asked(source + "BURS:NCYC?", "+1.000000000000000E+00"),
        asked(source + "BURS:STAT?", "1"),
        asked(source + "VOLT?", amplitude),
    ]


def set_up() -> list[Step]:
    return [
        made_safe(),
        asked("*RST\n*OPC?", "1"),
        channel_settings(1, "50.0", "64000.0", "0.4"),
        lines("FORM:BORD SWAP", "OUTP:SYNC:MODE NORM", "OUTP:SYNC:POL NORM", "OUTP:SYNC:SOUR CH1", "OUTP:SYNC ON"),
        lines("OUTP1 OFF", "SOUR1:DATA:VOL:CLE", "*OPC?", answer="1"),
        asked("SYST:ERR?", NONE),
        *read_back(1, "+5.000000000000000E+01", "+6.400000000000000E+04", "+4.000000000000000E-01"),
    ]


def uploaded(channel: int, name: str, codes: list[int]) -> Step:
    data = b"".join(code.to_bytes(2, "little", signed=True) for code in codes)
    size = str(len(data)).encode()
    head = f"SOUR{channel}:DATA:ARB:DAC {name},#{len(size)}".encode()
    return Step(head + size + data + b"\n*OPC?\n", b"1\n")


def selected(channel: int, name: str, rate: str, amplitude: str) -> Step:
    source = f"SOUR{channel}:"
    return lines(
        source + f"FUNC:ARB {name}",
        source + "FUNC ARB",
        source + f"FUNC:ARB:SRAT {rate}",
        source + f"VOLT {amplitude}",
        source + "VOLT:OFFS 0.0",
    )


def compared(channel: int, rate: str, amplitude: str) -> list[Step]:
    source = f"SOUR{channel}:"
    return [
        asked(source + "FUNC:ARB:SRAT?", rate),
        asked(source + "VOLT?", amplitude),
        asked(source + "VOLT:OFFS?", "0"),
    ]


def loaded(name: str = "B0") -> list[Step]:
    return [
        uploaded(1, name, CODES),
        selected(1, name, "64000.0", "0.4"),
        asked("SYST:ERR?", NONE),
        *compared(1, "64000", "0.4"),
    ]


def armed() -> list[Step]:
    return [
        asked("*ESR?", "1"),
        asked("OUTP1 ON\n*OPC?", "1"),
        asked("OUTP1?", "1"),
        asked("SOUR1:BURS:STAT?", "1"),
        asked("TRIG1:SOUR?", "BUS"),
        asked("SYST:ERR?", NONE),
    ]


def finished() -> list[Step]:
    return [lines("*TRG", "*OPC"), asked("*ESR?", "+0"), asked("*ESR?", "+1"), asked("SYST:ERR?", NONE)]


@contextmanager
def source(*steps: Step, identity: str = TWO, **options: Any) -> Iterator[Keysight33500B]:
    line = scripted(identity, *steps)
    with Keysight33500B(resource="", transport=line, **options) as found:
        yield found
    line.assert_used_up()


def test_it_is_a_source_whose_model_says_what_it_has() -> None:
    with source() as two:
        assert isinstance(two, Source) and not two.simulated
        assert two.capabilities.channels == (1, 2) and two.capabilities.marks == "burst"
    with source(identity=ONE) as one:
        assert one.capabilities.channels == (1,)
    assert Keysight33500B(resource="", transport=ScriptedTransport()).capabilities.channels == (1,)


def test_a_burst_is_set_up_loaded_armed_fired_and_waited_for() -> None:
    with source(*set_up(), *loaded(), *armed(), *finished(), made_safe()) as generator:
        assert generator.setup(SETUP) == SETUP
        generator.load(BURST)
        generator.arm()
        generator.fire()
        generator.finish(Deadline.after(5.0))
        generator.make_safe()


def test_two_channels_get_one_burst_and_one_trigger() -> None:
    # Codes of 0.02 V at 0.2 V, and of -1 V at 4 V, for 32767.
    wave = np.zeros((1, 2, 9))
    wave[0, 0, 3], wave[0, 1, 4] = 0.02, -1.0
    steps = [
        made_safe(),
        asked("*RST\n*OPC?", "1"),
        channel_settings(1, "50.0", "1000000.0", "0.4"),
        channel_settings(2, "INF", "1000000.0", "8.0"),
        lines("FORM:BORD SWAP", "OUTP:SYNC:MODE NORM", "OUTP:SYNC:POL NORM", "OUTP:SYNC:SOUR CH1", "OUTP:SYNC ON"),
        lines("OUTP1 OFF", "OUTP2 OFF", "SOUR1:DATA:VOL:CLE", "SOUR2:DATA:VOL:CLE", "*OPC?", answer="1"),
        asked("SYST:ERR?", NONE),
        *read_back(1, "50", "1E6", "0.4"),
        *read_back(2, "9.9E37", "1E6", "8"),
        uploaded(1, "B0", [0, 0, 0, 3277, 0, 0, 0, 0, 0]),
        uploaded(2, "B0", [0, 0, 0, 0, -8192, 0, 0, 0, 0]),
        selected(1, "B0", "1000000.0", "0.4"),
        selected(2, "B0", "1000000.0", "8.0"),
        lines("FUNC:ARB:SYNC"),
        asked("SYST:ERR?", NONE),
        *compared(1, "1E6", "0.4"),
        *compared(2, "1E6", "8"),
        asked("*ESR?", "0"),
        asked("OUTP1 ON\nOUTP2 ON\n*OPC?", "1"),
        *(
            asked(text, answer)
            for channel in (1, 2)
            for text, answer in (
                (f"OUTP{channel}?", "1"),
                (f"SOUR{channel}:BURS:STAT?", "1"),
                (f"TRIG{channel}:SOUR?", "BUS"),
            )
        ),
        asked("SYST:ERR?", NONE),
        *finished(),
    ]
    with source(*steps) as generator:
        assert generator.setup(BOTH) == BOTH
        generator.load(wave)
        generator.arm()
        generator.fire()
        generator.finish(Deadline.after(5.0))


def test_bursts_stay_in_memory_until_it_is_full() -> None:
    clear = lines("OUTP1 OFF", "SOUR1:DATA:VOL:CLE", "*OPC?", answer="1")
    with source(*set_up(), *loaded("B0"), *loaded("B1"), clear, *loaded("B0"), points=16) as generator:
        generator.setup(SETUP)
        for _ in range(3):
            generator.load(BURST)


def test_a_burst_may_be_played_again_without_loading_it_again() -> None:
    with source(*set_up(), *loaded(), *armed(), *finished(), *armed(), *finished()) as generator:
        generator.setup(SETUP)
        generator.load(BURST)
        for _ in range(2):
            generator.arm()
            generator.fire()
            generator.finish(Deadline.after(5.0))


def test_a_range_of_four_digits_scales_the_codes_to_what_was_read_back() -> None:
    asked_for = dataclasses.replace(SETUP, peak=(0.123456,))
    amplitude = "+2.470000000000000E-01"  # of 2 * 0.123456 = 0.246912, up to four digits
    steps = set_up()
    steps[2] = channel_settings(1, "50.0", "64000.0", "0.247")
    steps[-1] = asked("SOUR1:VOLT?", amplitude)
    code = round(0.123456 / 0.1235 * 32767)
    wave = np.zeros((1, 1, 8))
    wave[0, 0, 2] = 0.123456
    steps += [
        uploaded(1, "B0", [0, 0, code, 0, 0, 0, 0, 0]),
        selected(1, "B0", "64000.0", "0.247"),
        asked("SYST:ERR?", NONE),
        *compared(1, "64000", amplitude),
    ]
    with source(*steps) as generator:
        made = generator.setup(asked_for)
        assert made.peak == (0.1235,)
        generator.load(wave)


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


def test_calls_out_of_order_are_refused_before_a_byte_is_sent() -> None:
    with source(*set_up(), *loaded(), *armed(), lines("*TRG", "*OPC")) as generator:
        steps: list[Callable[[], None]] = [partial(generator.load, BURST), generator.arm, generator.fire]
        for early in steps:
            with pytest.raises(InputError):
                early()
        generator.setup(SETUP)
        with pytest.raises(InputError, match="loaded"):
            generator.arm()
        generator.load(BURST)
        with pytest.raises(InputError, match="armed"):
            generator.fire()
        with pytest.raises(InputError, match="fired"):
            generator.finish(Deadline.after(1.0))
        generator.arm()
        generator.fire()
        for late in steps:
            with pytest.raises(InputError):
                late()


def test_a_generator_with_one_output_may_complain_about_the_other() -> None:
    with source(
        made_safe(),
        asked("SYST:ERR?", '-114,"Header suffix out of range"'),
        asked("SYST:ERR?", NONE),
        made_safe(),
        asked("SYST:ERR?", '-222,"Data out of range"'),
        identity=ONE,
    ) as generator:
        generator.make_safe()
        with pytest.raises(TransportError, match="-222"):
            generator.make_safe()


def test_an_entry_of_the_error_queue_stops_a_setup_and_a_burst() -> None:
    refused = [asked("SYST:ERR?", '-221,"Settings conflict"'), asked("SYST:ERR?", NONE)]
    with source(*set_up()[:5], *refused) as generator, pytest.raises(TransportError, match="Settings conflict"):
        generator.setup(SETUP)
    with source(*set_up(), *loaded()[:2], *refused) as generator:
        generator.setup(SETUP)
        with pytest.raises(TransportError, match="Settings conflict") as caught:
            generator.load(BURST)
        assert caught.value.kind == "rejected"
        with pytest.raises(InputError):
            generator.arm()


@pytest.mark.parametrize(
    ("place", "answer", "kind"),
    [
        (6, "+9.9E+37", "rejected"),  # the load is an open line
        (9, "+6.500000000000000E+04", "rejected"),  # the sample rate
        (10, "1", "rejected"),  # the range changes by itself
        (16, "+3.900000000000000E-01", "rejected"),  # codes would overflow
        (16, "+8.000000000000000E-01", "rejected"),  # everything would be twice as large
        (7, "SIN", "garbled"),
        (16, "0.4 V", "garbled"),
        (1, "0", "garbled"),
    ],
)
def test_what_was_read_back_differs_and_nothing_is_played(place: int, answer: str, kind: str) -> None:
    steps = set_up()
    steps[place] = Step(steps[place].sent, answer.encode() + b"\n")
    with source(*steps[: place + 1]) as generator:
        with pytest.raises(TransportError) as caught:
            generator.setup(SETUP)
        assert caught.value.kind == kind
        with pytest.raises(InputError):
            generator.load(BURST)


def test_a_load_that_was_not_set_to_an_open_line_is_refused() -> None:
    steps = set_up()[:7]
    steps[2] = channel_settings(1, "INF", "64000.0", "0.4")
    steps[6] = asked("OUTP1:LOAD?", "+5.000000000000000E+01")
    with source(*steps) as generator, pytest.raises(TransportError, match="as it was set, got 50"):
        generator.setup(dataclasses.replace(SETUP, load=(math.inf,)))


def test_an_output_that_stays_off_is_not_armed() -> None:
    steps = [*armed()[:2], asked("OUTP1?", "0")]
    with source(*set_up(), *loaded(), *steps) as generator:
        generator.setup(SETUP)
        generator.load(BURST)
        with pytest.raises(TransportError, match="OUTP1"):
            generator.arm()
        with pytest.raises(InputError):
            generator.fire()


def test_a_burst_that_does_not_end_is_a_timeout_and_leaves_the_line_sound() -> None:
    steps = [*armed(), lines("*TRG", "*OPC"), asked("*ESR?", "0"), made_safe()]
    with source(*set_up(), *loaded(), *steps) as generator:
        generator.setup(SETUP)
        generator.load(BURST)
        generator.arm()
        generator.fire()
        with pytest.raises(TransportError, match="not over") as caught:
            generator.finish(Deadline(0.0))
        assert caught.value.kind == "timeout"
        generator.make_safe()


@pytest.mark.parametrize("answer", ["", "x", "-1", "0.5", "256", "9.91E37"])
def test_a_garbled_register_is_no_end_of_a_burst(answer: str) -> None:
    steps = [*armed(), lines("*TRG", "*OPC"), Step(b"*ESR?\n", answer.encode() + b"\n")]
    with source(*set_up(), *loaded(), *steps) as generator:
        generator.setup(SETUP)
        generator.load(BURST)
        generator.arm()
        generator.fire()
        with pytest.raises(TransportError):
            generator.finish(Deadline.after(5.0))


def test_after_it_was_recovered_it_must_be_set_up_again() -> None:
    with source(*set_up(), opening(TWO), made_safe()) as generator:
        generator.setup(SETUP)
        assert generator.recover() == "cleared"
        generator.make_safe()
        with pytest.raises(InputError, match="set up"):
            generator.load(BURST)


class Guard(BufferedTransport):
    """Answers as a 33522B whose settings are what was sent, and raises at the first voltage beyond a limit."""

    def __init__(self, limit: dict[int, float]) -> None:
        super().__init__("GUARD::INSTR", stream=True)
        self.limit, self.amplitude, self.values = limit, {1: 0.0, 2: 0.0}, dict[bytes, bytes]()
        self.blocks = 0
        self._coming = bytearray()

    def _connect(self, deadline: Deadline) -> None:
        self._coming.clear()

    def _disconnect(self) -> None:
        self._coming.clear()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        while data:
            upload = re.match(rb"SOUR(\d):DATA:ARB:DAC B\d+,#(\d)", data)
            if upload:
                digits = int(upload[2])
                start = upload.end() + digits
                stop = start + int(data[upload.end() : start])
                self._check(int(upload[1]), data[start:stop])
                assert data[stop : stop + 1] == b"\n"
                data = data[stop + 1 :]
                continue
            line, _, data = data.partition(b"\n")
            self._line(line)

    def _check(self, channel: int, block: bytes) -> None:
        self.blocks += 1
        codes = [int.from_bytes(block[i : i + 2], "little", signed=True) for i in range(0, len(block), 2)]
        full = self.amplitude[channel] / 2
        # Half a code of rounding.
        assert all(abs(code) / 32767 * full <= self.limit[channel] + full / 65534 for code in codes)
        assert codes[0] == codes[-1] == 0 and min(codes) >= -32767

    def _line(self, line: bytes) -> None:
        answers = {b"*IDN?": TWO.encode(), b"*OPC?": b"1", b"*ESR?": b"1", b"SYST:ERR?": b'0,"No error"'}
        header, _, value = line.partition(b" ")
        if amplitude := re.fullmatch(rb"SOUR(\d):VOLT", header):
            number = float(value)
            assert math.isfinite(number) and 0 < number <= 20
            self.amplitude[int(amplitude[1])] = number
        if line.endswith(b"?"):
            self._coming += answers.get(line) or self.values[line[:-1]]
            self._coming += b"\n"
        self.values[header] = b"9.9E37" if value == b"INF" else value

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
)
def test_nothing_out_of_range_is_ever_sent(
    peaks: tuple[float, float],
    loads: tuple[float, float],
    rate: float,
    wave: list[float],
    scale: float,
    spoilt: float | None,
    rests: bool,
) -> None:
    line = Guard({1: peaks[0], 2: peaks[1]})
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
        try:
            generator.load(np.array([[wave_T, -wave_T]]))
        except DriveError:
            assert line.blocks == 0
            assert not rests or not (np.abs(wave_T) <= min(peaks)).all()
            return
        assert line.blocks == 2
