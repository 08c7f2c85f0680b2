"""The verdict on tasks whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from physnet.assembly import load_samples
from physnet.controls import NETWORK, Verdict, judge
from physnet.controls.training import train_one
from physnet.experiment import Experiment, load_experiment

MARGIN, CONFIDENCE = 0.01, 0.95


def verdict(subject: str, controls: tuple[str, ...], experiment: Experiment, seeds: range) -> Verdict:
    """Train what is in the network's place and the controls with the same seeds, and judge."""
    accuracy: dict[str, dict[int, float]] = {name: {} for name in (subject, *controls)}
    for seed in seeds:
        seeded = experiment.model_copy(update={"seed": seed})
        samples = load_samples(seeded)
        for name in accuracy:
            found = train_one(name, seeded, samples)
            accuracy[name][seed] = found.test_accuracy
    return judge(
        accuracy.pop(subject),
        accuracy,
        train_rows=found.train_rows,
        test_rows=found.test_rows,
        margin=MARGIN,
        confidence=CONFIDENCE,
    )


@pytest.mark.parametrize(
    ("controls", "overrides"),
    [
        # Nothing to learn for anybody: here chance alone could call shuffled responses a help.
        (
            ("physics_zeroed", "random_projection", "linear_readout", "raw_logistic_regression"),
            (
                'data.name="sign"',
                'layers=[{system="lower", width=12}]',
                'systems={lower={type="scattering", responses=20}}',
            ),
        ),
        # All that is learnt goes through the skip, and shuffled responses are only noise beside it.
        (("physics_zeroed", "raw_logistic_regression"), ("layers.*.skip=true",)),
    ],
    ids=["nothing to learn", "skip"],
)
def test_shuffled_responses_never_help(
    make: Callable[..., Experiment], controls: tuple[str, ...], overrides: tuple[str, ...], thorough: bool
) -> None:
    experiment = make(*overrides, "training.epochs=3")
    outcomes = [
        verdict("responses_shuffled", controls, experiment, range(3 * number, 3 * number + 3)).outcome
        for number in range(20 if thorough else 7)
    ]
    assert "helps" not in outcomes
    assert "no verdict" not in outcomes


def test_the_sign_task_is_solved_by_the_medium_s_nonlinearity_alone() -> None:
    # A third of the shipped experiment's epochs, at a faster pace.
    hurried = ["training.epochs=10", "training.validate_every=5", "rule.learning_rate=4e-2"]
    experiment = load_experiment("sign-task", overrides=hurried)
    controls = (
        "physics_zeroed",
        "random_projection",
        "responses_shuffled",
        "linear_readout",
        "raw_logistic_regression",
        "one_layer_less",
    )
    # Differences of 25 points and more beside deviations of a few: three seeds say so as well as four.
    found = verdict(NETWORK, controls, experiment, range(3))
    assert found.outcome == "helps"
    for one in found.comparisons:
        assert one.difference > 0.25


def test_a_camera_behind_a_linear_medium_does_no_more_than_a_random_projection(
    make: Callable[..., Experiment],
) -> None:
    experiment = make("layers.*.skip=false", "systems.*.responses=60", "layers.*.width=40", "training.epochs=12")
    found = verdict(NETWORK, ("physics_zeroed", "random_projection"), experiment, range(4))
    by_name = {one.control: one for one in found.comparisons}
    assert found.outcome == "no evidence"
    assert by_name["physics_zeroed"].low > MARGIN  # information passes through the physics
    assert by_name["random_projection"].low < MARGIN < by_name["random_projection"].detectable
