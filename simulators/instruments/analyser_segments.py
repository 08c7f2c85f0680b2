"""The segment table of the simulated network analyser.

A new segment reaches from the end of the one before to the start of the next, or to the ends of the analyser's range.
Segments have the channel's power and bandwidth until one of them is given its own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .codes import Refusal
from .commands import Call, Command, switch_setting
from .sweep_points import Segment

if TYPE_CHECKING:
    from .network_analyser import SimulatedNetworkAnalyser as Analyser

POWER = (-60.0, 10.0)
"""Of the source, in dBm."""
BANDWIDTH = (1.0, 1e6)
"""Of the receiver, in Hz."""
POINTS = 100_001
"""Most points of a sweep."""
_SEGMENTS = 1000


def _segment_of(analyser: Analyser, call: Call) -> Segment:
    call.at_most(9)
    limits = {"low": analyser.lowest, "high": analyser.highest}
    # 4: time or delay of the segment, 5: unused; 7, 8: local oscillator and selectivity
    return Segment(
        start=call.number(0, **limits),
        stop=call.number(1, **limits),
        points=round(call.number(2, low=1, high=POINTS)),
        power=call.number(3, low=POWER[0], high=POWER[1]),
        bandwidth=call.number(6, low=BANDWIDTH[0], high=BANDWIDTH[1]),
    )


def _use_own(analyser: Analyser, *names: str) -> None:
    """Let each segment have its own power or bandwidth, as setting one of them does."""
    for name in names:
        if not analyser.value(f"own {name}"):
            analyser.keep(f"own {name}", (), True)


def _insert_segment(analyser: Analyser, call: Call) -> None:
    if len(analyser.segments) >= _SEGMENTS or not call.numbers[-1] <= len(analyser.segments) + 1:
        raise Refusal(-114, f"segment {call.numbers[-1]}")
    _put(analyser, call.numbers[-1] - 1, _segment_of(analyser, call), insert=True)
    _use_own(analyser, "power", "bandwidth")


def _define_segment(analyser: Analyser, call: Call) -> None:
    _place(analyser, call)
    _put(analyser, call.numbers[-1] - 1, _segment_of(analyser, call))
    _use_own(analyser, "power", "bandwidth")


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
        return {"points": (1.0, float(POINTS)), "power": POWER, "bandwidth": BANDWIDTH}[name]

    def write(analyser: Analyser, call: Call) -> None:
        call.at_most(1)
        place = _place(analyser, call)
        low, high = limits(analyser)
        value = call.number(low=low, high=high)
        changed: dict[str, Any] = {name: round(value) if name == "points" else value}
        _put(analyser, place, dataclasses.replace(analyser.segments[place], **changed))
        if name in ("power", "bandwidth"):
            _use_own(analyser, name)

    def ask(analyser: Analyser, call: Call) -> str:
        value = getattr(analyser.segments[_place(analyser, call)], name)
        return str(value) if name == "points" else analyser.format_number(value)

    return Command(pattern, write, ask)


def _no_own_time(analyser: Analyser, call: Call, value: bool) -> None:
    if value:
        raise Refusal(-221, "times of segments are not simulated")


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


SEGMENT_COMMANDS = (
    Command("[SENSe#]:SEGMent#:INSert", _insert_segment),
    Command("[SENSe#]:SEGMent#:DEFine", _define_segment),
    Command("[SENSe#]:SEGMent#:ADD", _add_segment),
    Command("[SENSe#]:SEGMent#:DELete:ALL", _delete_segments),
    Command("[SENSe#]:SEGMent#:COUNt", ask=lambda analyser, call: str(len(analyser.segments))),
    Command(
        "[SENSe#]:SEGMent#:SWEep:TIME:SUM",
        ask=lambda analyser, call: analyser.format_number(analyser.segments_time()),
    ),
    switch_setting("[SENSe#]:SEGMent#:POWer[:LEVel]:CONTrol", "own power", default=False),
    switch_setting("[SENSe#]:SEGMent#:BWIDth[:RESolution]:CONTrol", "own bandwidth", default=False),
    switch_setting("[SENSe#]:SEGMent#:SWEep:TIME:CONTrol", "own time", default=False, check=_no_own_time),
    _segment_setting("[SENSe#]:SEGMent#:FREQuency:STARt", "start"),
    _segment_setting("[SENSe#]:SEGMent#:FREQuency:STOP", "stop"),
    _segment_setting("[SENSe#]:SEGMent#:SWEep:POINts", "points"),
    _segment_setting("[SENSe#]:SEGMent#:POWer[:LEVel]", "power"),
    _segment_setting("[SENSe#]:SEGMent#:BWIDth[:RESolution]", "bandwidth"),
    _segment_setting("[SENSe#]:SEGMent#:BANDwidth[:RESolution]", "bandwidth"),
)
"""Commands of the segment table."""
