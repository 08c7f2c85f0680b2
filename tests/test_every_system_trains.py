"""Every simulated system trains on digits with every rule: defaults of both, no setting of its own but the size.

Systems and rules come from the registry, so that a new one is tested as soon as it is registered. Usually each system
is trained by PhyLL, Mono-Forward and rules that ask for all else that a rule may ask for, and one system by all rules;
`pytest -m every_pair` trains the other pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import physnet
from physnet import registry
from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.contracts import Tunable
from physnet.experiment import load_experiment
from physnet.rules.base import LocalRule, Placement

SYSTEMS = sorted(
    entry.name for entry in registry.installed("physnet.systems") if entry.value.startswith("physnet.simulators.")
)
RULES = registry.names("rules")
ONE = "scattering"
"""The system that is trained by all rules."""
SIZES: dict[str, dict[str, Any]] = {
    "diode_network": {"diodes": 4, "steps": 8},
    "nonlinear_waveguide": {"length": 1.0, "steps": 20},
}
"""Less to compute for a row. What a rule may choose is never set."""
STAYS_RANDOM = frozenset({"cafo"})
"""Rules that leave the layers as they are and train a read-out."""
TRAIN, TEST, EPOCHS = 160, 200, 8


def overrides(system: str, rule: str) -> Iterator[str]:
    options = ", ".join(
        f"{key} = {value!r}" for key, value in {"type": system, "responses": 60, **SIZES.get(system, {})}.items()
    )
    yield from (f"systems.{name}={{{options}}}" for name in ("lower", "upper"))
    yield f'rule={{name="{rule}"}}'
    yield f"training={{epochs={EPOCHS}, batch_size=16}}"
    yield from ("layers.*.width=32", "layers.*.skip=false")
    yield from (f"data.train_limit={TRAIN}", f"data.test_limit={TEST}", "data.validation_fraction=0.0")
    if Placement.BEFORE in placements(rule):
        yield 'layers.*.before="random"'


def made(rule: str) -> LocalRule:
    found: LocalRule = registry.find("rules", rule)()
    return found


def placements(rule: str) -> frozenset[Placement]:
    return made(rule).placements


def asks(rule: str) -> set[object]:
    """What a rule's talk with the trainer holds, as far as it says so itself."""
    one = made(rule)
    return {*one.needs, *one.placements, *(["labels"] if one.labelled_inputs else [])}


def of_each_kind() -> list[str]:
    chosen = ["mono_forward", "pepita", "phyll"]  # pepita presents twice, which no rule says of itself
    known = set().union(*map(asks, chosen))
    for rule in RULES:
        if not asks(rule) <= known:
            chosen.append(rule)
            known |= asks(rule)
    return chosen


USUAL = [
    *((system, rule) for system in SYSTEMS for rule in of_each_kind()),
    *((ONE, rule) for rule in RULES if rule not in of_each_kind()),
]
OTHERS = [(system, rule) for system in SYSTEMS for rule in RULES if (system, rule) not in USUAL]


def check(system: str, rule: str) -> None:
    experiment = load_experiment("digits-scattering", overrides=list(overrides(system, rule)))
    samples, one = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, one)
    if one.placements == {Placement.INSIDE} and not all(isinstance(port.system, Tunable) for port in network.ports):
        pytest.skip(f"{system} has no parameters for {rule} to train")
    with network:
        trainer = physnet.Trainer(
            network,
            one,
            samples.splits,
            classes=len(samples.frame.classes),
            options=training_options(experiment),
            seed=experiment.seed,
        )
        before = trainer.tensors()
        result = trainer.run()
        after = trainer.tensors()

    assert result.status == "done"
    assert result.epochs == EPOCHS
    assert all(np.isfinite(tensor).all() for tensor in after.values())
    changed = {name for name, tensor in after.items() if not np.array_equal(tensor, before[name])}
    for layer in network:
        if rule in STAYS_RANDOM:
            assert f"{layer.name}/weight" not in changed
            assert any(name.startswith(f"{layer.name}/rule/") for name in changed)
        elif Placement.AFTER in one.placements:
            assert f"{layer.name}/weight" in changed
        if Placement.BEFORE in one.placements:
            assert f"{layer.name}/before_weight" in changed
    # An answer that does not depend on the sample is right for the share p of a class, with a deviation of
    # sqrt(p (1 - p) / n) over test sets: five of them are passed by chance once in millions of trainings.
    share = np.bincount(samples.splits.test.y).max() / TEST
    # An upper layer that has learnt nothing yet drowns the one below in the sum of both: three tries.
    assert max(result.test_accuracy, *result.layer_accuracy) > share + 5 * math.sqrt(share * (1 - share) / TEST)


@pytest.mark.parametrize(("system", "rule"), USUAL)
def test_a_system_trains_with_a_rule_of_each_kind(system: str, rule: str) -> None:
    check(system, rule)


@pytest.mark.every_pair
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("system", "rule"), OTHERS)
def test_a_system_trains_with_each_other_rule(system: str, rule: str) -> None:
    check(system, rule)


def test_every_pair_is_in_one_of_the_two_lists() -> None:
    assert len(SYSTEMS) >= 8  # those that were there when this was written: the prefix still finds them
    assert {*USUAL, *OTHERS} == {(system, rule) for system in SYSTEMS for rule in RULES}
    assert len(USUAL) + len(OTHERS) == len(SYSTEMS) * len(RULES)
