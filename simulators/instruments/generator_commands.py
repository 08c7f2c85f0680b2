"""The commands of the simulated generator, as the manual of the 33500B series lists them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .arb_memory import BUILT_IN, FULL, Codes, codes_from_block, codes_from_numbers
from .codes import Refusal
from .commands import Call, Command, number_setting, switch_setting, word_setting

if TYPE_CHECKING:
    from .generator import Generator

_SMOOTHED, _HELD = 250e6, 62.5e6  # Sa/s with a filter, and without
_LOADS = 1.0, 10e3  # Ohm


def _digits(value: float, count: int = 4) -> float:
    """Round to significant digits."""
    return float(f"{value:.{count - 1}e}") if math.isfinite(value) else value


def _set_amplitude(generator: Generator, call: Call, value: float) -> float:
    (channel,) = call.numbers
    value = _digits(value)
    room = 10.0 * generator.share(channel) - value / generator.span(channel)
    offset = float(generator.value("offset", channel))
    if abs(offset) > room + 1e-9:
        generator.keep("offset", (channel,), math.copysign(max(room, 0.0), offset))
        generator.report(Refusal(-221, "offset changed due to amplitude"))
    return value


def _set_load(generator: Generator, call: Call) -> None:
    (channel,) = call.numbers
    call.at_most(1)
    load = call.number(low=_LOADS[0], high=math.inf, default=50.0)
    if call.string().upper() in ("MAX", "MAXIMUM"):
        load = _LOADS[1]
    elif _LOADS[1] < load < math.inf:
        generator.report(Refusal(-222, "value clipped to upper limit"))
        load = _LOADS[1]
    before = generator.share(channel)
    generator.keep("load", (channel,), load)
    # What it sends stays: what it calls it follows.
    for name in ("amplitude", "offset"):
        value = float(generator.value(name, channel)) * generator.share(channel) / before
        generator.keep(name, (channel,), value)


def _check_rate(generator: Generator, call: Call, value: float) -> float:
    if value > _HELD and generator.value("filter", *call.numbers) == "OFF":
        generator.report(Refusal(-221, "sample rate limited by filter"))
        return _HELD
    return value


def _check_filter(generator: Generator, call: Call, value: str) -> None:
    if value == "OFF" and generator.value("sample_rate", *call.numbers) > _HELD:
        generator.keep("sample_rate", call.numbers, _HELD)
        generator.report(Refusal(-221, "sample rate limited by filter"))


def _check_burst(generator: Generator, call: Call, value: bool) -> None:
    (channel,) = call.numbers
    name = str(generator.value("arbitrary", channel))
    if value and generator.value("function", channel) == "ARB" and generator.memory[channel].is_sequence(name):
        raise Refusal(-221, "not able to burst this function")


def _set_function(generator: Generator, call: Call) -> None:
    (channel,) = call.numbers
    words = ("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "ARB", "DC")
    word = call.word(*words)
    call.at_most(1)
    generator.keep("function", (channel,), word)
    generator.fit_amplitude(channel)


def _set_autorange(generator: Generator, call: Call) -> None:
    (channel,) = call.numbers
    call.at_most(1)
    once = call.string().upper() == "ONCE"
    automatic = not once and call.boolean()
    generator.keep("autorange", (channel,), automatic)
    generator.hold_range(channel, not automatic)


def _store(generator: Generator, call: Call, *, integer: bool) -> None:
    (channel,) = call.numbers
    name = call.string()
    if len(call) == 2 and call.parameters[1].block is not None:
        codes_T = codes_from_block(call.block(1), generator.value("byte_order"), integer=integer)
    else:
        values = [call.number(index) for index in range(1, len(call))]
        codes_T = codes_from_numbers(np.array(values), integer=integer)
    generator.memory[channel].store(name, codes_T)


def _attribute(generator: Generator, call: Call) -> Codes:
    (channel,) = call.numbers
    call.at_most(1)
    name = call.string() if len(call) else str(generator.value("arbitrary", channel))
    return generator.memory[channel].waveform(name)


def _catalogue(generator: Generator, call: Call) -> str:
    names = generator.memory[call.numbers[0]].names
    return ",".join(f'"INT:\\BUILTIN\\{name}.ARB"' if name == BUILT_IN else f'"{name}"' for name in names)


def _ignore(generator: Generator, call: Call) -> None:
    """Accept a command that has nothing to do here: channels are in step anyway."""
    call.at_most(0)


_LEVEL = "[SOURce#]:VOLTage[:LEVel][:IMMediate]"
_ARBITRARY = "[SOURce#]:FUNCtion:ARBitrary"

COMMANDS = (
    Command("[SOURce#]:FUNCtion", _set_function, lambda g, call: str(g.value("function", *call.numbers)), "function",
            "SIN"),
    number_setting("[SOURce#]:FREQuency[:CW]", "frequency", default=1e3, low=1e-6, high=30e6, clip=True),
    Command(_ARBITRARY, lambda g, call: g.selected(*call.numbers, call),
            lambda g, call: f'"{g.value("arbitrary", *call.numbers)}"', "arbitrary", BUILT_IN),
    number_setting(f"{_ARBITRARY}:SRATe", "sample_rate", default=40e3, low=1e-6, high=_SMOOTHED, clip=True,
                   check=_check_rate),
    word_setting(f"{_ARBITRARY}:FILTer", "filter", ("NORMal", "STEP", "OFF"), default="STEP", check=_check_filter),
    word_setting(f"{_ARBITRARY}:ADVance", "advance", ("TRIGger", "SRATe"), default="SRAT"),
    Command(f"{_ARBITRARY}:POINts", ask=lambda g, call: f"{len(g.codes(*call.numbers)):+d}"),
    Command(f"{_ARBITRARY}:SYNChronize", _ignore),
    Command("[SOURce#]:PHASe:SYNChronize", _ignore),
    Command("[SOURce#]:DATA:ARBitrary", lambda g, call: _store(g, call, integer=False)),
    Command("[SOURce#]:DATA:ARBitrary:DAC", lambda g, call: _store(g, call, integer=True)),
    Command("[SOURce#]:DATA:SEQuence",
            lambda g, call: g.memory[call.numbers[0]].store_sequence(call.block().decode("latin-1"))),
    Command("[SOURce#]:DATA:VOLatile:CLEar", lambda g, call: g.forget(*call.numbers)),
    Command("[SOURce#]:DATA:VOLatile:CATalog", ask=_catalogue),
    Command("[SOURce#]:DATA:VOLatile:FREE", ask=lambda g, call: f"{g.memory[call.numbers[0]].free:+d}"),
    Command("[SOURce#]:DATA:ATTRibute:POINts", ask=lambda g, call: f"{len(_attribute(g, call)):+d}"),
    Command("[SOURce#]:DATA:ATTRibute:PTPeak",
            ask=lambda g, call: g.format_number(float(np.ptp(_attribute(g, call).astype(np.float64))) / FULL)),
    Command("[SOURce#]:DATA:ATTRibute:AVERage",
            ask=lambda g, call: g.format_number(float(_attribute(g, call).mean()) / FULL)),
    number_setting(f"{_LEVEL}[:AMPLitude]", "amplitude", default=0.1, clip=True, check=_set_amplitude,
                   low=lambda g, call: g.smallest_amplitude(*call.numbers),
                   high=lambda g, call: g.largest_amplitude(*call.numbers)),
    number_setting(f"{_LEVEL}:OFFSet", "offset", default=0.0, clip=True,
                   low=lambda g, call: -g.largest_offset(*call.numbers),
                   high=lambda g, call: g.largest_offset(*call.numbers)),
    Command("[SOURce#]:VOLTage:RANGe:AUTO", _set_autorange,
            lambda g, call: "1" if g.value("autorange", *call.numbers) else "0", "autorange", True),
    word_setting("[SOURce#]:VOLTage:UNIT", "unit", ("VPP",), default="VPP"),
    switch_setting("[SOURce#]:BURSt[:STATe]", "burst", default=False, check=_check_burst),
    word_setting("[SOURce#]:BURSt:MODE", "burst_mode", ("TRIGgered", "GATed"), default="TRIG"),
    number_setting("[SOURce#]:BURSt:NCYCles", "cycles", default=1, low=1, high=100_000, whole=True, clip=True),
    number_setting("[SOURce#]:BURSt:INTernal:PERiod", "burst_period", default=10e-3, low=1e-6, high=8000.0, clip=True),
    word_setting("[SOURce#]:BURSt:GATE:POLarity", "gate_polarity", ("NORMal", "INVerted"), default="NORM"),
    word_setting("TRIGger#:SOURce", "trigger", ("IMMediate", "EXTernal", "TIMer", "BUS"), default="IMM"),
    Command("TRIGger#[:SEQuence][:IMMediate]", lambda g, call: g.on_trigger()),
    word_setting("TRIGger#:SLOPe", "trigger_slope", ("POSitive", "NEGative"), default="POS"),
    switch_setting("OUTPut#[:STATe]", "output", default=False),
    Command("OUTPut#:LOAD", _set_load, lambda g, call: g.format_number(float(g.value("load", *call.numbers))), "load",
            50.0),
    word_setting("OUTPut#:POLarity", "polarity", ("NORMal", "INVerted"), default="NORM"),
    switch_setting("OUTPut:SYNC[:STATe]", "sync", default=True),
    word_setting("OUTPut:SYNC:SOURce", "sync_source", ("CH1", "CH2"), default="CH1"),
    word_setting("OUTPut#:SYNC:MODE", "sync_mode", ("NORMal", "CARRier", "MARKer"), default="NORM"),
    word_setting("OUTPut#:SYNC:POLarity", "sync_polarity", ("NORMal", "INVerted"), default="NORM"),
    number_setting("[SOURce#]:MARKer:POINt", "marker", default=10, low=0, high=1e6, whole=True, clip=True),
    Command("ABORt", lambda g, call: g.abort()),
    word_setting("FORMat:BORDer", "byte_order", ("NORMal", "SWAPped"), default="NORM"),
    Command("STATus:OPERation:CONDition", ask=lambda g, call: f"+{g.condition()}"),
)  # fmt: skip
