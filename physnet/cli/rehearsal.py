"""A few real steps before a run, without a session: do they work, and how long will it take?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..assembly import Samples, training_options
from ..errors import PhysnetError, Stopped
from ..experiment import Experiment
from ..forecast import PassForecast
from ..interrupts import StopRequest
from ..network import Network
from ..rules.base import LocalRule
from ..trainer import Trainer
from .findings import Findings, in_words

STEPS = 3
_ROWS = 64  # standardisation rows of a rehearsal


def trainer_of(
    experiment: Experiment, samples: Samples, network: Network, rule: LocalRule, stop: StopRequest, **options: Any
) -> Trainer:
    """Make the trainer of an experiment, some of its options replaced."""
    return Trainer(
        network,
        rule,
        samples.splits,
        classes=len(samples.frame.classes),
        options=dataclasses.replace(training_options(experiment), **options),
        seed=experiment.seed,
        interrupted=stop.check,
    )


def rehearse(
    experiment: Experiment,
    samples: Samples,
    network: Network,
    rule: LocalRule,
    found: PassForecast,
    networks: int,
    report: Findings,
    stop: StopRequest,
) -> None:
    """Take three real steps with fresh weights, without a session; so many networks are going to be trained."""
    rows = min(_ROWS, training_options(experiment).standardise_rows)
    # No validation: it would cost more passes than the steps. No pipeline: nothing is to be on its way at the end.
    trainer = trainer_of(
        experiment, samples, network, rule, stop, standardise_rows=rows, validate_every=1 << 30, schedule="simultaneous"
    )
    steps = min(STEPS, trainer.epochs_planned * trainer.steps_per_epoch)
    records = []
    try:
        with network:
            records = [trainer.step() for _ in range(steps)]
    except Stopped:
        raise
    except PhysnetError as error:
        report.blame(f"rehearsal, step {len(records)}", error)
    count = network.count
    report.say(
        "rehearsal",
        f"{len(records)} steps and the standardisation of {rows} rows cost {count.passes} passes: {count.invalid} rows "
        f"invalid, {count.clipped_response} clipped",
        rehearsal={
            "passes": count.passes,
            "steps": len(records),
            "invalid": count.invalid,
            "clipped_response": count.clipped_response,
        },
    )
    if not records:
        return
    last = records[-1].metrics
    odd = sorted(name for name, values in last.items() if not np.all(np.isfinite(values)))
    if odd:
        report.blame(
            "rehearsal", f"{', '.join(odd)} must be finite after {len(records)} steps. Lower the learning rate."
        )
    # The first step pays for what is set up once.
    digital = float(np.median([record.seconds - record.count.seconds for record in records]))
    system = float(np.median([record.count.seconds / max(record.count.passes, 1) for record in records]))
    seconds = system * found.total + networks * digital * trainer.epochs_planned * trainer.steps_per_epoch
    rate = f"{1 / system:.3g} passes/s" if system > 0 else "no time in the systems"
    report.say("time", in_words(seconds, f"from the rehearsal, {rate}"), seconds=seconds)
