"""Where options of rules are looked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from physnet import registry
from physnet.comparison.spaces import SPACES, Choice, Range, Space, from_annotations, space_of
from physnet.errors import ExperimentError, InputError
from physnet.rules.augmented_dfa import AugmentedFeedbackAlignment
from physnet.rules.cafo import CascadedForward
from physnet.rules.ccl import CounterCurrent
from physnet.rules.dfa import DirectFeedbackAlignment
from physnet.rules.drtp import RandomTargetProjection
from physnet.rules.ff import ForwardForward
from physnet.rules.ffzero import FFZero
from physnet.rules.mono_forward import MonoForward
from physnet.rules.node_perturbation import NodePerturbation
from physnet.rules.noprop import NoProp
from physnet.rules.pepita import Pepita
from physnet.rules.phyll import PhyLL
from physnet.rules.prototype import Prototype
from physnet.rules.scff import SelfContrastive
from physnet.rules.spsa import SimultaneousPerturbation
from physnet.rules.tpsgd import TargetProjection


@dataclass(frozen=True, kw_only=True)
class Undeclared:
    """A rule of somebody else, who declared nothing but annotations."""

    mode: Literal["a", "b"] = "a"
    only: Literal["one"] = "one"
    rate: Annotated[float, Field(gt=0)] = 0.1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    offset: Annotated[float, Field(ge=0)] = 0.0
    steps: Annotated[int, Field(ge=1)] = 3
    on: bool = True


@dataclass(frozen=True, kw_only=True)
class Declared(Undeclared):
    """One who did."""

    space: ClassVar[Space] = {"steps": Range(low=1, high=9, whole=True)}


def register(monkeypatch: pytest.MonkeyPatch, factory: Any) -> None:
    find = registry.find
    monkeypatch.setattr(
        registry, "find", lambda group, name, **more: factory if name == "theirs" else find(group, name, **more)
    )


KNOWN: dict[str, Callable[..., Any]] = {
    "augmented_dfa": AugmentedFeedbackAlignment,
    "cafo": CascadedForward,
    "ccl": CounterCurrent,
    "dfa": DirectFeedbackAlignment,
    "drtp": RandomTargetProjection,
    "ff": ForwardForward,
    "ffzero": FFZero,
    "mono_forward": MonoForward,
    "node_perturbation": NodePerturbation,
    "noprop": NoProp,
    "pepita": Pepita,
    "phyll": PhyLL,
    "prototype": Prototype,
    "scff": SelfContrastive,
    "spsa": SimultaneousPerturbation,
    "tpsgd": TargetProjection,
}


def test_every_space_belongs_to_a_rule() -> None:
    assert set(SPACES) == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_the_ends_of_every_known_space_are_options_of_its_rule(name: str) -> None:
    model = registry.options_model(KNOWN[name])
    for option, one in SPACES[name].items():
        ends = one.values if isinstance(one, Choice) else (one.low, one.high)
        for end in ends:
            plain = int(end) if isinstance(one, Range) and one.whole else end
            assert registry.arguments(model, {option: plain}) == {option: plain}


def test_a_rule_may_declare_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, Declared)
    assert space_of("theirs") == {"steps": Range(low=1, high=9, whole=True)}


def test_what_is_declared_must_be_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Undeclared):
        space: ClassVar[Any] = {"steps": (1, 9)}

    register(monkeypatch, Wrong)
    with pytest.raises(InputError, match="must be a mapping of its options to Range and Choice"):
        space_of("theirs")


def test_annotations_give_a_decade_each_way_and_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_annotations(Undeclared) == {
        "mode": Choice(values=("a", "b")),
        "rate": Range(low=0.1 / 10, high=0.1 * 10, log=True),
    }
    register(monkeypatch, Undeclared)
    assert space_of("theirs") == from_annotations(Undeclared)


def test_fixed_options_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "theta" not in space_of("phyll", fixed=frozenset({"theta"}))
    with pytest.raises(InputError, match="no option to tune"):
        space_of("phyll", fixed=frozenset(SPACES["phyll"]))
    with pytest.raises(ExperimentError, match="not a known rule"):
        space_of("unheard_of")


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1, 1, False), (2, 1, False), (0, 1, True), (math.nan, 1, False), (0, math.inf, False)]
)
def test_limits_that_are_no_range_are_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(InputError, match=r"range must have low"):
        Range(low=low, high=high, log=log)


def test_one_value_is_no_choice() -> None:
    with pytest.raises(InputError, match="at least 2 values, got 1"):
        Choice(values=("a",))


def test_what_a_space_holds() -> None:
    whole, choice = Range(low=1, high=9, whole=True), Choice(values=("a", "b"))
    assert [whole.holds(value) for value in (1, 9, 10, 1.5, True, "1")] == [True, True, False, False, False, False]
    assert choice.holds("a") and not choice.holds("c")
