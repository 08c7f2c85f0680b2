"""Commands of the simulated network analyser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .analyser_segments import BANDWIDTH, POINTS, POWER, SEGMENT_COMMANDS
from .codes import Refusal
from .commands import Answer, Call, Command, number_setting, switch_setting, word_setting

if TYPE_CHECKING:
    from .network_analyser import SimulatedNetworkAnalyser as Analyser

SWEEP_SETTINGS = frozenset(
    {
        "own power",
        "own bandwidth",
        "own time",
        "type",
        "points",
        "start",
        "stop",
        "cw",
        "power",
        "bandwidth",
        "time",
        "automatic",
        "count",
        "trigger",
        "output",
    }
)
"""Settings that change what a sweep sees."""

_COUNT = 100_000


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


def _single(analyser: Analyser, call: Call) -> None:
    call.at_most(1)
    if call.boolean() != analyser.value("continuous"):
        _continuous(analyser, call)


def _no_average(analyser: Analyser, call: Call, value: bool) -> None:
    if value:
        raise Refusal(-221, "averaging is not simulated")


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


def _measured(analyser: Analyser, call: Call) -> str:
    call.at_most(1)
    if call.string() not in analyser.traces:
        raise Refusal(-200, "no such trace")
    return f"'{analyser.traces[call.string()]}'"


def _catalogue(analyser: Analyser, call: Call) -> str:
    return "'" + ",".join(f"{name},{parameter}" for name, parameter in analyser.traces.items()) + "'"


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
    return values.astype(_block_dtype(analyser)).tobytes()


def _block_dtype(analyser: Analyser) -> str:
    order = "<" if analyser.value("order") == "SWAP" else ">"
    return f"{order}f{8 if analyser.value('format') == 'REAL,64' else 4}"


def overload(analyser: Analyser, block: bytes) -> bytes:
    """Return a block of which a quarter tells of an overload, and its last number of none."""
    values = np.frombuffer(block, _block_dtype(analyser)).copy()
    values[: 1 + len(values) // 4] = 9.9e37
    values[-1:] = 9.91e37
    return values.tobytes()


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
    Command("INITiate#:CONTinuous:ALL", _single),
    word_setting("TRIGger#[:SEQuence]:SLOPe", "slope", ("POSitive", "NEGative"), default="POS"),
    word_setting("TRIGger#[:SEQuence]:SOURce", "trigger", ("IMMediate", "EXTernal", "MANual"), default="IMM"),
    Command("TRIGger#[:SEQuence]:LINK", _link, lambda analyser, call: "'SWEEP'"),
    switch_setting("OUTPut#[:STATe]", "output", default=True),
    number_setting("SOURce#:POWer#[:LEVel][:IMMediate][:AMPLitude]", "power", default=-10, low=POWER[0], high=POWER[1]),
    number_setting("[SENSe#]:BANDwidth[:RESolution]", "bandwidth", default=10e3, low=BANDWIDTH[0], high=BANDWIDTH[1]),
    number_setting("[SENSe#]:BWIDth[:RESolution]", "bandwidth", default=10e3, low=BANDWIDTH[0], high=BANDWIDTH[1]),
    word_setting("[SENSe#]:SWEep:TYPE", "type", ("LINear", "SEGMent", "CW"), default="LIN"),
    number_setting("[SENSe#]:SWEep:POINts", "points", default=201, low=1, high=POINTS, whole=True),
    number_setting("[SENSe#]:SWEep:COUNt", "count", default=1, low=1, high=_COUNT, whole=True),
    Command(
        "[SENSe#]:SWEep:TIME", _time, lambda analyser, call: analyser.format_number(analyser.sweep_time()), "time", 0.0
    ),
    switch_setting("[SENSe#]:SWEep:TIME:AUTO", "automatic", default=True),
    switch_setting("[SENSe#]:AVERage[:STATe]", "average", default=False, check=_no_average),
    _frequency_setting("[SENSe#]:FREQuency:STARt", "start"),
    _frequency_setting("[SENSe#]:FREQuency:STOP", "stop"),
    number_setting("[SENSe#]:FREQuency[:CW]", "cw", default=1e9, low=_lowest, high=_highest),
    *SEGMENT_COMMANDS,
    Command("CALCulate#:PARameter:SDEFine", _define_trace),
    Command("CALCulate#:PARameter:SELect", _select_trace, lambda analyser, call: f"'{analyser.selected}'"),
    Command("CALCulate#:PARameter:DELete", _delete_trace),
    Command("CALCulate#:PARameter:DELete:ALL", _delete_traces),
    Command("CALCulate#:PARameter:CATalog", ask=_catalogue),
    Command("CALCulate#:PARameter:MEASure", ask=_measured),
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
