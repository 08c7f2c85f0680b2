from __future__ import annotations

import math
import threading

import pytest

from physnet.errors import SpecError
from physnet.simulators.instruments.faults import BLOCK_FAULTS, LINE_FAULTS, FaultKind, FaultPlan


def test_a_scripted_fault_happens_once_at_its_exchange() -> None:
    plan = FaultPlan(script={2: "stall"})
    assert [plan.draw(number) for number in range(5)] == [None, None, FaultKind.STALL, None, None]
    assert plan.counts == {FaultKind.STALL: 1}
    assert plan.pending == ()


def test_a_scripted_fault_that_can_not_act_waits_until_it_can() -> None:
    plan = FaultPlan(script=[(1, "truncated"), (1, "delay")])
    assert plan.draw(1, among=LINE_FAULTS) is FaultKind.DELAY
    assert plan.draw(2, among=LINE_FAULTS) is None
    assert plan.pending == ((1, FaultKind.TRUNCATED),)
    assert plan.draw(3, among=BLOCK_FAULTS) is FaultKind.TRUNCATED


def test_a_fault_can_be_added_while_it_runs() -> None:
    plan = FaultPlan(script={5: "delay"})
    plan.add("stall", 4)
    assert plan.draw(3) is None
    plan.add("dropped")
    assert [plan.draw(number) for number in (4, 5, 6)] == [FaultKind.DROPPED, FaultKind.STALL, FaultKind.DELAY]


def test_rates_can_be_changed_while_it_runs() -> None:
    plan = FaultPlan()
    assert plan.draw(0) is None
    plan.set_rates({"delay": 1.0})
    assert plan.draw(1) is FaultKind.DELAY
    with pytest.raises(SpecError, match="'stall' must be 0 to 1"):
        plan.set_rates({"stall": math.nan})
    assert plan.draw(2) is FaultKind.DELAY
    plan.set_rates({})
    assert plan.draw(3) is None


def test_rates_are_kept_and_depend_on_neither_order_nor_other_kinds() -> None:
    exchanges = 4000
    alone = FaultPlan(rates={"delay": 0.1}, seed=3)
    found = [number for number in range(exchanges) if alone.draw(number)]
    # Binomial: 400 expected, deviation sqrt(4000 * 0.1 * 0.9) = 19; five of them.
    assert abs(len(found) - 400) < 95
    again = FaultPlan(rates={"stall": 0.1, "delay": 0.1}, seed=3)
    backwards = [n for n in reversed(range(exchanges)) if again.draw(n, among={FaultKind.DELAY})]
    assert sorted(backwards) == found
    other = FaultPlan(rates={"delay": 0.1}, seed=4)
    assert [number for number in range(exchanges) if other.draw(number)] != found


def test_counts_are_exact_with_several_threads() -> None:
    plan = FaultPlan(rates={"lost": 1.0})
    threads = [threading.Thread(target=lambda: [plan.draw(n) for n in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plan.counts == {FaultKind.LOST: 2000}


@pytest.mark.parametrize(
    "options",
    [
        {"rates": {"delay": 1.5}},
        {"rates": {"delay": math.nan}},
        {"rates": {"gremlin": 0.1}},
        {"script": {0: "gremlin"}},
        {"script": {-1: "delay"}},
        {"delay": -1.0},
        {"pause": math.nan},
        {"refuse_for": math.inf},
        {"refusals": -1},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"must|no kind"):
        FaultPlan(**options)  # type: ignore[arg-type]
