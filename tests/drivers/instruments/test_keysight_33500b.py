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
from physnet.errors import InputError, TransportError
from tests.drivers.instruments.examples import lines, opening
from tests.drivers.instruments.script_33500b import (
    BOTH,
    BURST,
    NONE,
    ONE,
    SETUP,
    TWO,
    armed,
    asked,
    channel_settings,
    compared,
    finished,
    loaded,
    made_safe,
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
    # Codes of 0.02 V at 0.2 V, and of -1 V at 4 V, for 32767.
    wave = np.zeros((1, 2, 9))
    wave[0, 0, 3], wave[0, 1, 4] = 0.02, -1.0
    steps = [
        *made_safe(),
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
    steps[4] = channel_settings(1, "50.0", "64000.0", "0.247")
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
    with source(*set_up()[:7], *refused) as generator, pytest.raises(TransportError, match="Settings conflict"):
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
        (8, "+9.9E+37", "rejected"),  # the load is an open line
        (11, "+6.500000000000000E+04", "rejected"),  # the sample rate
        (12, "1", "rejected"),  # the range changes by itself
        (18, "+3.900000000000000E-01", "rejected"),  # codes would overflow
        (18, "+8.000000000000000E-01", "rejected"),  # everything would be twice as large
        (9, "SIN", "garbled"),
        (18, "0.4 V", "garbled"),
        (3, "0", "garbled"),
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
    steps = set_up()[:9]
    steps[4] = channel_settings(1, "INF", "64000.0", "0.4")
    steps[8] = asked("OUTP1:LOAD?", "+5.000000000000000E+01")
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
