"""Instruments of a bench together: what is safe, in which order, whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest

from physnet.drivers.benches.rack import Rack
from physnet.errors import InputError, MeasurementError, TransportError


class Line:
    """An instrument that writes down what is done to it, and fails when told to."""

    def __init__(self, name: str, log: list[str], *, simulated: bool = False) -> None:
        self.resource, self.identity, self.simulated = name, f"MAKER,{name},1,0", simulated
        self._log = log
        self.broken: set[str] = set()

    @property
    def faults(self) -> Mapping[str, int]:
        return {"timeout": len(self.broken)}

    def _do(self, what: str) -> None:
        self._log.append(f"{self.resource} {what}")
        if what in self.broken:
            raise TransportError("it is broken", kind="timeout", resource=self.resource)

    def open(self) -> None:
        self._do("open")

    def close(self) -> None:
        self._log.append(f"{self.resource} close")

    def make_safe(self) -> None:
        self._do("safe")

    def recover(self) -> Literal["cleared", "reopened"]:
        self._do("recover")
        return "cleared"

    def check_errors(self) -> None:
        self._do("errors")


def rack(*, sequence: tuple[str, ...] = ("b",)) -> tuple[Rack, dict[str, Line], list[str]]:
    log: list[str] = []
    lines = {name: Line(name, log) for name in ("a", "b")}
    return Rack("bench", lines, sequence=sequence), lines, log


def test_all_are_identified_before_the_first_is_told_anything() -> None:
    made, _, log = rack()
    made.open()
    assert log == ["a open", "b open", "b safe", "a safe"]
    log.clear()
    made.close()
    assert log == ["b safe", "a safe", "a close", "b close"]


def test_one_that_can_not_be_opened_leaves_none_open() -> None:
    made, lines, log = rack()
    lines["b"].broken.add("open")
    with pytest.raises(InputError, match="b of bench can't be opened"):
        made.open()
    assert log == ["a open", "b open", "a close", "b close"]
    assert not made.opened


def test_a_simulated_instrument_is_not_taken_for_a_real_one() -> None:
    made, lines, _ = rack()
    lines["a"].simulated = True
    with pytest.raises(InputError, match=r"a of bench is a simulated instrument .* Set simulated = true"):
        made.open()


def test_one_that_can_not_be_reached_does_not_keep_the_others_waiting() -> None:
    made, lines, log = rack()
    made.open()
    log.clear()
    lines["b"].broken |= {"safe", "recover"}
    with pytest.raises(MeasurementError, match=r"safe outputs of bench are not certain: b .*off by hand"):
        made.make_safe()
    assert log == ["b safe", "b recover", "a safe"]
    log.clear()
    with pytest.raises(MeasurementError):
        made.close()
    # It did not come back before, and is not waited for a second time; both lines are closed.
    assert log == ["b safe", "a safe", "a close", "b close"]


def test_safe_comes_first_after_a_line_came_back() -> None:
    made, lines, log = rack()
    made.open()
    assert made.lost == {"a", "b"}  # nothing was set up yet
    made.lost.clear()
    log.clear()
    made.suspect("a")
    assert not made.opened
    made.recover()
    assert log == ["b safe", "a recover", "a safe"]
    assert made.opened and made.lost == {"a"}
    log.clear()
    lines["b"].broken.add("safe")
    with pytest.raises(MeasurementError, match="b of bench does not come back"):
        made.recover()
    assert log == ["b safe", "b recover", "b safe", "b safe", "a safe"]
    lines["b"].broken.clear()
    log.clear()
    made.recover()
    assert log == ["b recover", "b safe", "a safe"]  # once it failed, it is recovered first


def test_everything_is_recovered_where_it_is_not_known_what_failed() -> None:
    made, _, log = rack()
    made.open()
    made.lost.clear()
    log.clear()
    made.suspect("another name")
    made.recover()
    assert log == ["b recover", "b safe", "a recover", "a safe"]
    assert made.lost == {"a", "b"}


def test_one_that_stays_away_makes_the_others_safe() -> None:
    made, lines, log = rack()
    made.open()
    log.clear()
    lines["b"].broken |= {"safe", "recover"}
    with pytest.raises(MeasurementError, match="b of bench does not come back"):
        made.recover()
    assert log == ["b safe", "b recover", "b safe", "a safe"]
    assert not made.opened
    lines["b"].broken.clear()
    made.recover()
    assert made.opened


def test_a_sequence_names_roles() -> None:
    with pytest.raises(InputError, match=r"must name its roles \['a', 'b'\], got \['c'\]"):
        rack(sequence=("c",))


def test_faults_of_all_lines_are_added() -> None:
    made, lines, _ = rack()
    for line in lines.values():
        line.broken.add("errors")
    assert made.faults == {"timeout": 2}
