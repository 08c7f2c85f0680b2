from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.roles import Source
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.drivers.transport import Deadline
from physnet.errors import FaultError, InputError, TransportError
from tests.drivers.instruments.examples import lines, opening
from tests.drivers.instruments.script_33500b import (
    BOTH,
    BURST,
    CODES,
    NONE,
    ONE,
    SETUP,
    TWO,
    armed,
    asked,
    begun,
    channel_settings,
    compared,
    finished,
    loaded,
    made_safe,
    probed,
    read_back,
    selected,
    set_up,
    source,
    uploaded,
)


def test_it_is_a_source_whose_model_says_what_it_has() -> None:
    with source() as two:
        assert isinstance(two, Source) and not two.simulated
        assert two.capabilities.channels == (1, 2) and two.capabilities.marks == "burst"
    with source(identity=ONE) as one:
        assert one.capabilities.channels == (1,)
    assert Keysight33500B(resource="", transport=ScriptedTransport()).capabilities.channels == (1,)


def test_a_burst_is_set_up_loaded_armed_fired_and_waited_for() -> None:
    with source(*set_up(), *loaded(), *armed(), *finished(), *made_safe()) as generator:
        assert generator.setup(SETUP) == SETUP
        generator.load(BURST)
        generator.arm()
        generator.fire()
        generator.finish(Deadline.after(5.0))
        generator.make_safe()


def test_two_channels_get_one_burst_and_one_trigger() -> None:
    # Codes of +-0.02 V at 0.2 V, and of -1 and 0.5 V at 4 V, for 32767. They span 0.04 V and 1.5 V: 6554 codes are
    # 40.0037 mV, of which 40.00 mV are 6553.4 codes, and 12288 are 1.500046 V, of which 1.500 V are 12287.6.
    wave = np.zeros((1, 2, 9))
    wave[0, 0, 3:5], wave[0, 1, 4:6] = (0.02, -0.02), (-1.0, 0.5)
    steps = [
        *begun(),
        *probed(1, "50.0"),
        channel_settings(1, "50.0", "1000000.0", "0.4"),
        *read_back(1, "50", "1E6", "0.4"),
        *probed(2, "INF"),
        channel_settings(2, "INF", "1000000.0", "8.0"),
        *read_back(2, "9.9E37", "1E6", "8"),
        asked("SYST:ERR?", NONE),
        uploaded(1, "B0", [0, 0, 0, 3276, -3277, 0, 0, 0, 0]),
        selected(1, "B0", "1000000.0", "0.04"),
        uploaded(2, "B0", [0, 0, 0, 0, -8192, 4096, 0, 0, 0]),
        selected(2, "B0", "1000000.0", "1.5"),
        lines("FUNC:ARB:SYNC"),
        asked("SYST:ERR?", NONE),
        *compared(1, "1E6", "0.04"),
        *compared(2, "1E6", "1.5"),
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


def test_where_an_amplitude_is_that_of_all_codes_it_stays_what_it_is() -> None:
    steps = set_up()
    steps[5:12] = probed(1, "50.0", ("+1.0E+01", "+1.0E+01"))
    wave = np.zeros((1, 1, 9))
    wave[0, 0, 3] = 0.02
    last = [asked("SYST:ERR?", NONE), *compared(1, "64000", "0.4")]
    burst = [uploaded(1, "B0", [0, 0, 0, 3277, 0, 0, 0, 0, 0]), selected(1, "B0", "64000.0", "0.4"), *last]
    with source(*steps, *burst) as generator:
        generator.setup(SETUP)
        generator.load(wave)


@pytest.mark.parametrize("most", [("+7.0E+00", "+1.0E+01"), ("+5.0E+00", "0"), ("+1.0E+01", "+5.0E+00")])
def test_nothing_is_played_where_it_is_not_clear_what_an_amplitude_is(most: tuple[str, str]) -> None:
    with source(*begun(), *probed(1, "50.0", most)) as generator:
        with pytest.raises(TransportError, match="limited") as caught:
            generator.setup(SETUP)
        assert caught.value.kind == "rejected"
        with pytest.raises(InputError):
            generator.load(BURST)


def test_an_amplitude_is_allowed_for_the_burst_before_and_the_next_one() -> None:
    # The pair of samples that silence gets: 1 mV is 164 codes of 0.2 V / 32767.
    silent = [0, 82, -82, 0, 0, 0, 0, 0]
    last = asked("SYST:ERR?", NONE)
    steps = [
        uploaded(1, "B0", silent),
        selected(1, "B0", "64000.0", "0.001"),
        last,
        *compared(1, "64000", "1E-3"),
        uploaded(1, "B1", CODES),
        selected(1, "B1", "64000.0", "0.4", lower="0.001"),
        last,
        *compared(1, "64000", "0.4"),
    ]
    with source(*set_up(), *steps) as generator:
        generator.setup(SETUP)
        generator.load(np.zeros((2, 1, 4)))
        generator.load(BURST)


def test_bursts_stay_in_memory_until_it_is_full() -> None:
    cleared = lines("OUTP1 OFF", "SOUR1:VOLT 0.001", "SOUR1:DATA:VOL:CLE", "*OPC?", answer="1")
    first = loaded("B0")
    first[1] = selected(1, "B0", "64000.0", "0.4", lower="0.001")
    # Two waveforms of eight points that were compared, and two bursts.
    with source(*set_up(), *loaded("B0"), *loaded("B1"), cleared, *first, points=32) as generator:
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


def test_a_range_has_four_digits_and_codes_are_parts_of_it() -> None:
    asked_for = dataclasses.replace(SETUP, peak=(0.123456,))
    amplitude = "+2.470000000000000E-01"  # of 2 * 0.123456 = 0.246912, up to four digits
    steps = [
        *begun(),
        *probed(1, "50.0"),
        channel_settings(1, "50.0", "64000.0", "0.247"),
        *read_back(1, "50", "64E3", amplitude),
        asked("SYST:ERR?", NONE),
        # 0.123456 V is 0.1234 V in four digits, down: 32740.5 codes.
        uploaded(1, "B0", [0, 0, round(0.1234 / 0.1235 * 32767), 0, 0, 0, 0, 0]),
        selected(1, "B0", "64000.0", "0.1234"),
        asked("SYST:ERR?", NONE),
        *compared(1, "64000", "+1.234E-01"),
    ]
    wave = np.zeros((1, 1, 8))
    wave[0, 0, 2] = 0.123456
    with source(*steps) as generator:
        made = generator.setup(asked_for)
        assert made.peak == (0.1235,)
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
        *made_safe(1),
        asked("SYST:ERR?", '-114,"Header suffix out of range"'),
        asked("SYST:ERR?", NONE),
        *made_safe(1),
        asked("SYST:ERR?", '-222,"Data out of range"'),
        identity=ONE,
    ) as generator:
        generator.make_safe()
        with pytest.raises(TransportError, match="-222"):
            generator.make_safe()


def test_an_entry_of_the_error_queue_stops_a_setup_and_a_burst() -> None:
    refused = [asked("SYST:ERR?", '-221,"Settings conflict"'), asked("SYST:ERR?", NONE)]
    with source(*set_up()[:-1], *refused) as generator, pytest.raises(TransportError, match="Settings conflict"):
        generator.setup(SETUP)
    with source(*set_up(), *loaded()[:2], *refused) as generator:
        generator.setup(SETUP)
        with pytest.raises(TransportError, match="Settings conflict") as caught:
            generator.load(BURST)
        assert caught.value.kind == "rejected"
        with pytest.raises(InputError):
            generator.arm()


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("OUTP1:LOAD?", "+9.9E+37", "rejected"),  # an open line
        ("SOUR1:FUNC:ARB:SRAT?", "+6.500000000000000E+04", "rejected"),
        ("SOUR1:VOLT:RANG:AUTO?", "1", "rejected"),  # the range changes by itself
        ("SOUR1:VOLT?", "+3.900000000000000E-01", "rejected"),
        ("SOUR1:VOLT?", "+8.000000000000000E-01", "rejected"),
        ("SOUR1:VOLT? MAX", "+9.9E+37", ""),
        ("SOUR1:FUNC?", "SIN", "garbled"),
        ("SOUR1:VOLT?", "0.4 V", "garbled"),
        ("OUTP2?", "1", "rejected"),
        ("*RST\n*OPC?", "0", "garbled"),
    ],
)
def test_what_was_read_back_differs_and_nothing_is_played(question: str, answer: str, kind: str) -> None:
    steps = set_up()
    place = [step.sent for step in steps].index(question.encode() + b"\n")
    steps[place] = asked(question, answer)
    with source(*steps[: place + 1]) as generator:
        with pytest.raises(FaultError) as caught:
            generator.setup(SETUP)
        assert getattr(caught.value, "kind", "") == kind
        with pytest.raises(InputError):
            generator.load(BURST)


def test_a_load_that_was_not_set_to_an_open_line_is_refused() -> None:
    steps = [
        *begun(),
        *probed(1, "INF"),
        channel_settings(1, "INF", "64000.0", "0.4"),
        asked("OUTP1:LOAD?", "+5.000000000000000E+01"),
    ]
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
    steps = [*armed(), lines("*TRG", "*OPC"), asked("*ESR?", "0"), *made_safe()]
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
    with source(*set_up(), opening(TWO), *made_safe()) as generator:
        generator.setup(SETUP)
        assert generator.recover() == "cleared"
        generator.make_safe()
        with pytest.raises(InputError, match="set up"):
            generator.load(BURST)
