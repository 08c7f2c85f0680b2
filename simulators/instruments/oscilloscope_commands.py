"""The commands of the simulated oscilloscope, as the programmer's guides of the InfiniiVision X-Series list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .codes import Refusal
from .commands import Call, Command, number_setting, switch_setting, word_setting

if TYPE_CHECKING:
    from .oscilloscope import Oscilloscope

NUMBERS = (100, 250, 500, *(m * 10**e for e in (3, 4, 5) for m in (1, 2, 5)), 1_000_000, 2_000_000, 4_000_000)
"""Numbers of points that can be transferred."""

_DIVISIONS, _ACROSS = 8, 10  # of the screen, up and across
_CHANNELS = tuple(f"CHANnel{number}" for number in range(1, 5))


def _points(scope: Oscilloscope, call: Call) -> None:
    call.at_most(1)
    if call.string().upper() in ("MAX", "MAXIMUM"):
        value = NUMBERS[-1]
    else:
        value = round(call.number(low=NUMBERS[0], high=NUMBERS[-1], default=1000))
    if value not in NUMBERS:
        raise Refusal(-222, "there are fixed numbers of points")
    scope.keep("points", (), value)


def _source(scope: Oscilloscope, call: Call) -> None:
    call.at_most(1)
    word = call.word(*_CHANNELS[: len(scope.channels)])
    scope.keep("source", (), word)


def _unsigned(scope: Oscilloscope, call: Call) -> None:
    call.at_most(1)
    scope.keep("unsigned", (), call.boolean())


def _digitise(scope: Oscilloscope, call: Call) -> None:
    """Record the channels that are named, or those that are on."""
    if len(call):
        named = [call.word(*_CHANNELS[: len(scope.channels)], index=index) for index in range(len(call))]
        for number in scope.channels:
            scope.keep("display", (number,), f"CHAN{number}" in named)
    scope.digitise()


def _scaled(pattern: str, name: str, divisions: int, *, low: float, high: float) -> Command:
    """Return a command that sets a range by its size per division."""

    def write(scope: Oscilloscope, call: Call) -> None:
        call.at_most(1)
        scope.keep(name, call.numbers, divisions * call.number(low=low / divisions, high=high / divisions))

    def ask(scope: Oscilloscope, call: Call) -> str:
        return scope.format_number(float(scope.value(name, *call.numbers)) / divisions)

    return Command(pattern, write, ask)


def _one(value: Any) -> str:
    return "1" if value else "0"


COMMANDS = (
    # a channel's range is that of its whole screen
    number_setting("CHANnel#:RANGe", "range", default=40.0, low=8e-3, high=40.0),
    _scaled("CHANnel#:SCALe", "range", _DIVISIONS, low=8e-3, high=40.0),
    number_setting("CHANnel#:OFFSet", "offset", default=0.0, low=-40.0, high=40.0),
    word_setting("CHANnel#:COUPling", "coupling", ("AC", "DC"), default="DC"),
    word_setting("CHANnel#:IMPedance", "impedance", ("ONEMeg", "FIFTy"), default="ONEM"),
    Command("CHANnel#:DISPlay", lambda s, call: s.keep("display", call.numbers, call.boolean()),
            lambda s, call: _one(s.value("display", *call.numbers)), "display", True),
    number_setting("CHANnel#:PROBe", "probe", default=1.0, low=1.0, high=1.0),
    switch_setting("CHANnel#:BWLimit", "bandwidth", default=False),
    word_setting("TIMebase:MODE", "time_mode", ("MAIN",), default="MAIN"),
    number_setting("TIMebase:RANGe", "time_range", default=1e-3, low=2e-8, high=500.0),
    _scaled("TIMebase:SCALe", "time_range", _ACROSS, low=2e-8, high=500.0),
    number_setting("TIMebase:POSition", "position", default=0.0, low=-500.0, high=500.0),
    word_setting("TIMebase:REFerence", "reference", ("LEFT", "CENTer", "RIGHt"), default="CENT"),
    word_setting("TRIGger:MODE", "trigger_mode", ("EDGE",), default="EDGE"),
    word_setting("TRIGger:SWEep", "sweep", ("AUTO", "NORMal"), default="AUTO"),
    word_setting("TRIGger[:EDGE]:SOURce", "trigger_source", (*_CHANNELS, "EXTernal", "LINE"), default="CHAN1"),
    word_setting("TRIGger[:EDGE]:SLOPe", "slope", ("POSitive", "NEGative", "EITHer"), default="POS"),
    number_setting("TRIGger[:EDGE]:LEVel", "level", default=0.0, low=-40.0, high=40.0),
    number_setting("EXTernal:RANGe", "external_range", default=8.0, low=1.6, high=8.0),
    word_setting("ACQuire:TYPE", "type", ("NORMal", "HRESolution"), default="NORM"),
    word_setting("ACQuire:MODE", "mode", ("RTIMe", "SEGMented"), default="RTIM"),
    number_setting("ACQuire:SEGMented:COUNt", "segments", default=25, low=2, high=1000, whole=True),
    Command("ACQuire:SEGMented:INDex", lambda s, call: s.show(call), lambda s, call: f"{s.value('index'):+d}", "index",
            1),
    Command("ACQuire:SRATe", ask=lambda s, call: s.format_number(s.rate())),
    Command("ACQuire:POINts", ask=lambda s, call: f"{s.depth():+d}"),
    Command("SINGle", lambda s, call: s.arm("single")),
    Command("RUN", lambda s, call: s.arm("running")),
    Command("STOP", lambda s, call: s.stop()),
    Command("DIGitize", _digitise),
    Command("AER", ask=lambda s, call: _one(s.take_armed())),
    Command("TER", ask=lambda s, call: _one(s.take_triggered())),
    Command("OPERegister:CONDition", ask=lambda s, call: f"+{s.condition()}"),
    Command("WAVeform:SOURce", _source, lambda s, call: str(s.value("source")), "source", "CHAN1"),
    word_setting("WAVeform:FORMat", "format", ("BYTE", "WORD", "ASCii"), default="BYTE"),
    word_setting("WAVeform:BYTeorder", "byte_order", ("MSBFirst", "LSBFirst"), default="MSBF"),
    Command("WAVeform:UNSigned", _unsigned, lambda s, call: _one(s.value("unsigned")), "unsigned", True),
    word_setting("WAVeform:POINts:MODE", "points_mode", ("NORMal", "MAXimum", "RAW"), default="NORM"),
    Command("WAVeform:POINts", _points, lambda s, call: f"{s.points():+d}", "points", 1000),
    Command("WAVeform:PREamble", ask=lambda s, call: s.preamble()),
    Command("WAVeform:DATA", ask=lambda s, call: s.data()),
    Command("WAVeform:SEGMented:COUNt", ask=lambda s, call: f"{s.recorded():+d}"),
    switch_setting("WAVeform:SEGMented:ALL", "all_segments", default=False),
)  # fmt: skip
