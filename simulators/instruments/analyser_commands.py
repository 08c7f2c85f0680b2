"""Commands of the simulated network analyser."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .codes import Refusal
from .commands import Answer, Call, Command, number_setting, switch_setting, word_setting
from .sweep_points import Segment

if TYPE_CHECKING:
    from .network_analyser import SimulatedNetworkAnalyser as Analyser

SWEEP_SETTINGS = frozenset(
    {"type", "points", "start", "stop", "cw", "power", "bandwidth", "time", "automatic", "count", "trigger", "output"}
)
"""Settings that change what a sweep sees."""

_POWER = (-60.0, 10.0)  # dBm
_BANDWIDTH = (1.0, 1e6)  # Hz
_POINTS = 100_001
_COUNT = 100_000
_SEGMENTS = 1000


def _lowest(analyser: Analyser, call: Call) -> float:
    return analyser.lowest


def _highest(analyser: Analyser, call: Call) -> float:
    return analyser.highest


def _frequency_setting(pattern: str, name: str) -> Command:
    def write(analyser: Analyser, call: Call) -> None:
        call.at_most(1)
        value = call.number(low=analyser.lowest, high=analyser.highest)
        analyser.keep(name, (), value)

    def ask(analyser: Analyser, call: Call) -> str:
        return analyser.format_number(analyser.frequency(name))

    return Command(pattern, write, ask, name)


def _time(analyser: Analyser, call: Call) -> None:
    call.at_most(1)
    analyser.keep("automatic", (), False)
    analyser.keep("time", (), call.number(low=0.0, high=1e5))


def _start(analyser: Analyser, call: Call) -> None:
    call.at_most(0)
    analyser.start()


def _continuous(analyser: Analyser, call: Call) -> None:
    call.at_most(1)
    analyser.keep("continuous", (), call.boolean())
    analyser.abort()


def _link(analyser: Analyser, call: Call) -> None:
    # What a trigger starts: the whole sweep, the only one of the real one's choices that is simulated.
    call.word("SWEep")


# Traces


def _define_trace(analyser: Analyser, call: Call) -> None:
    call.at_most(2)
    name, parameter = call.string(0), call.string(1).upper()
    if parameter != "S21":
        raise Refusal(-224, "the simulated network has S21 only")
    analyser.traces[name] = parameter
    analyser.selected = name


def _select_trace(analyser: Analyser, call: Call) -> None:
    call.at_most(1)
    if call.string() not in analyser.traces:
        raise Refusal(-200, "no such trace")
    analyser.selected = call.string()


def _delete_trace(analyser: Analyser, call: Call) -> None:
    call.at_most(1)
    if analyser.traces.pop(call.string(), None) is None:
        raise Refusal(-200, "no such trace")
    if analyser.selected == call.string():
        analyser.selected = ""


def _delete_traces(analyser: Analyser, call: Call) -> None:
    call.at_most(0)
    analyser.traces.clear()
    analyser.selected = ""


def _catalogue(analyser: Analyser, call: Call) -> str:
    return "'" + ",".join(f"{name},{parameter}" for name, parameter in analyser.traces.items()) + "'"


# Segments


def _segment_of(analyser: Analyser, call: Call) -> Segment:
    call.at_most(9)
    limits = {"low": analyser.lowest, "high": analyser.highest}
    # 4: time or delay of the segment, 5: unused; 7, 8: local oscillator and selectivity
    return Segment(
        start=call.number(0, **limits),
        stop=call.number(1, **limits),
        points=round(call.number(2, low=1, high=_POINTS)),
        power=call.number(3, low=_POWER[0], high=_POWER[1]),
        bandwidth=call.number(6, low=_BANDWIDTH[0], high=_BANDWIDTH[1]),
    )


def _insert_segment(analyser: Analyser, call: Call) -> None:
    if len(analyser.segments) >= _SEGMENTS or not call.numbers[-1] <= len(analyser.segments) + 1:
        raise Refusal(-114, f"segment {call.numbers[-1]}")
    _put(analyser, call.numbers[-1] - 1, _segment_of(analyser, call), insert=True)


def _define_segment(analyser: Analyser, call: Call) -> None:
    _place(analyser, call)
    _put(analyser, call.numbers[-1] - 1, _segment_of(analyser, call))


def _add_segment(analyser: Analyser, call: Call) -> None:
    call.at_most(0)
    place = call.numbers[-1] - 1
    if not place <= len(analyser.segments) < _SEGMENTS:
        raise Refusal(-114, f"segment {call.numbers[-1]}")
    start = analyser.segments[place - 1].stop if place else analyser.lowest
    stop = analyser.segments[place].start if place < len(analyser.segments) else analyser.highest
    power, bandwidth = analyser.value("power"), analyser.value("bandwidth")
    segment = Segment(start=start, stop=stop, points=51, power=power, bandwidth=bandwidth)
    _put(analyser, place, segment, insert=True)


def _delete_segments(analyser: Analyser, call: Call) -> None:
    call.at_most(0)
    analyser.segments.clear()
    analyser.drop()


def _segment_setting(pattern: str, name: str) -> Command:
    def limits(analyser: Analyser) -> tuple[float, float]:
        if name in ("start", "stop"):
            return analyser.lowest, analyser.highest
        return {"points": (1.0, float(_POINTS)), "power": _POWER, "bandwidth": _BANDWIDTH}[name]

    def write(analyser: Analyser, call: Call) -> None:
        call.at_most(1)
        place = _place(analyser, call)
        low, high = limits(analyser)
        value = call.number(low=low, high=high)
        changed: dict[str, Any] = {name: round(value) if name == "points" else value}
        _put(analyser, place, dataclasses.replace(analyser.segments[place], **changed))

    def ask(analyser: Analyser, call: Call) -> str:
        value = getattr(analyser.segments[_place(analyser, call)], name)
        return str(value) if name == "points" else analyser.format_number(value)

    return Command(pattern, write, ask)


def _place(analyser: Analyser, call: Call) -> int:
    if not call.numbers[-1] <= len(analyser.segments):
        raise Refusal(-114, f"segment {call.numbers[-1]}")
    return call.numbers[-1] - 1


def _put(analyser: Analyser, place: int, segment: Segment, *, insert: bool = False) -> None:
    before = analyser.segments[place - 1] if place else None
    after = analyser.segments[place + (not insert) :][:1]
    ordered = (before is None or before.stop <= segment.start) and (not after or segment.stop <= after[0].start)
    if not (ordered and segment.start <= segment.stop):
        raise Refusal(-221, "segments must rise and not overlap")
    analyser.segments[place : place + (not insert)] = [segment]
    analyser.drop()


# Data


def _set_format(analyser: Analyser, call: Call) -> None:
    call.at_most(2)
    word = call.word("ASCii", "REAL")
    if word == "REAL":
        length = call.number(1) if len(call) > 1 else 32
        if length not in (32, 64):
            raise Refusal(-224, "REAL has 32 or 64 bits")
        word = f"REAL,{length:.0f}"
    elif len(call) > 1 and call.number(1) != 0:
        raise Refusal(-224, "digits of ASCii are not simulated")
    analyser.keep("format", (), "ASC,0" if word == "ASC" else word)


def _written(analyser: Analyser, values: NDArray[np.float64]) -> Answer:
    """Return numbers as `FORMat` says."""
    chosen = analyser.value("format")
    if chosen == "ASC,0":
        return ",".join(f"{value:.11E}" for value in values)
    order = "<" if analyser.value("order") == "SWAP" else ">"
    return values.astype(f"{order}f{8 if chosen == 'REAL,64' else 4}").tobytes()


def _pairs(analyser: Analyser, value_NF: NDArray[np.complex128]) -> Answer:
    return _written(analyser, np.ascontiguousarray(value_NF).view(np.float64).reshape(-1))


def _check_trace(analyser: Analyser, call: Call) -> None:
    if not analyser.selected:
        raise Refusal(-200, "no trace is selected")
    if call.word("SDATa", "FDATa") != "SDAT":
        raise Refusal(-224, "only SDATa is simulated")


def _data(analyser: Analyser, call: Call) -> Answer:
    call.at_most(1)
    _check_trace(analyser, call)
    return _pairs(analyser, analyser.current())


def _sweep_data(analyser: Analyser, call: Call) -> Answer:
    call.at_most(3)
    _check_trace(analyser, call)
    first = round(call.number(1, low=1, high=_COUNT))
    last = round(call.number(2, low=1, high=_COUNT)) if len(call) > 2 else first
    return _pairs(analyser, analyser.sweeps(first, last))


def _stimulus(analyser: Analyser, call: Call) -> Answer:
    call.at_most(0)
    return _written(analyser, analyser.points().frequency_F)


def _ignored(analyser: Analyser, call: Call) -> None:
    """Accept what changes nothing but the screen."""


COMMANDS = (
    Command("ABORt", lambda analyser, call: analyser.abort()),
    Command("INITiate#[:IMMediate][:DUMMy]", _start),
    word_setting("INITiate#[:IMMediate]:SCOPe", "scope", ("ALL", "SINGle"), default="ALL"),
    Command(
        "INITiate#:CONTinuous",
        _continuous,
        lambda analyser, call: "1" if analyser.value("continuous") else "0",
        "continuous",
        True,
    ),
    word_setting("TRIGger#[:SEQuence]:SOURce", "trigger", ("IMMediate", "EXTernal", "MANual"), default="IMM"),
    Command("TRIGger#[:SEQuence]:LINK", _link, lambda analyser, call: "'SWEEP'"),
    switch_setting("OUTPut#[:STATe]", "output", default=True),
    number_setting(
        "SOURce#:POWer#[:LEVel][:IMMediate][:AMPLitude]", "power", default=-10, low=_POWER[0], high=_POWER[1]
    ),
    number_setting("[SENSe#]:BANDwidth[:RESolution]", "bandwidth", default=10e3, low=_BANDWIDTH[0], high=_BANDWIDTH[1]),
    number_setting("[SENSe#]:BWIDth[:RESolution]", "bandwidth", default=10e3, low=_BANDWIDTH[0], high=_BANDWIDTH[1]),
    word_setting("[SENSe#]:SWEep:TYPE", "type", ("LINear", "SEGMent", "CW"), default="LIN"),
    number_setting("[SENSe#]:SWEep:POINts", "points", default=201, low=1, high=_POINTS, whole=True),
    number_setting("[SENSe#]:SWEep:COUNt", "count", default=1, low=1, high=_COUNT, whole=True),
    Command(
        "[SENSe#]:SWEep:TIME", _time, lambda analyser, call: analyser.format_number(analyser.sweep_time()), "time", 0.0
    ),
    switch_setting("[SENSe#]:SWEep:TIME:AUTO", "automatic", default=True),
    _frequency_setting("[SENSe#]:FREQuency:STARt", "start"),
    _frequency_setting("[SENSe#]:FREQuency:STOP", "stop"),
    number_setting("[SENSe#]:FREQuency[:CW]", "cw", default=1e9, low=_lowest, high=_highest),
    Command("[SENSe#]:SEGMent#:INSert", _insert_segment),
    Command("[SENSe#]:SEGMent#:DEFine", _define_segment),
    Command("[SENSe#]:SEGMent#:ADD", _add_segment),
    Command("[SENSe#]:SEGMent#:DELete:ALL", _delete_segments),
    Command("[SENSe#]:SEGMent#:COUNt", ask=lambda analyser, call: str(len(analyser.segments))),
    _segment_setting("[SENSe#]:SEGMent#:FREQuency:STARt", "start"),
    _segment_setting("[SENSe#]:SEGMent#:FREQuency:STOP", "stop"),
    _segment_setting("[SENSe#]:SEGMent#:SWEep:POINts", "points"),
    _segment_setting("[SENSe#]:SEGMent#:POWer[:LEVel]", "power"),
    _segment_setting("[SENSe#]:SEGMent#:BWIDth[:RESolution]", "bandwidth"),
    _segment_setting("[SENSe#]:SEGMent#:BANDwidth[:RESolution]", "bandwidth"),
    Command("CALCulate#:PARameter:SDEFine", _define_trace),
    Command("CALCulate#:PARameter:SELect", _select_trace, lambda analyser, call: f"'{analyser.selected}'"),
    Command("CALCulate#:PARameter:DELete", _delete_trace),
    Command("CALCulate#:PARameter:DELete:ALL", _delete_traces),
    Command("CALCulate#:PARameter:CATalog", ask=_catalogue),
    Command("CALCulate#:DATA", ask=_data),
    Command("CALCulate#:DATA:STIMulus", ask=_stimulus),
    Command("CALCulate#:DATA:NSWeep:COUNt", ask=lambda analyser, call: str(analyser.completed())),
    Command("CALCulate#:DATA:NSWeep:FIRSt", ask=_sweep_data),
    Command("FORMat[:DATA]", _set_format, lambda analyser, call: analyser.value("format"), "format", "ASC,0"),
    word_setting("FORMat:BORDer", "order", ("NORMal", "SWAPped"), default="SWAP"),
    Command("SYSTem:DISPlay:UPDate", _ignored),
    Command("DISPlay:WINDow#[:STATe]", _ignored),
    Command("DISPlay:WINDow#:TRACe#:FEED", _ignored),
)
"""The analyser's own commands."""
