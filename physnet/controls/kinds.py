"""Which controls there are, and which of them an experiment can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from ..errors import ExperimentError
from ..experiment import Experiment
from ..experiment.schema import ControlName

NETWORK = "network"
"""Name of the network itself among its controls."""

CONTROLS: Mapping[str, str] = MappingProxyType(
    {
        "physics_zeroed": "every response is zero; skips stay as they are",
        "random_projection": "a fixed random matrix, the same detector and the same impairments in the physics' place",
        "band_energies": "as many band energies of the same sound as the first layer has responses; random above it",
        "responses_shuffled": "true responses, each given to another sample of its presentation",
        "linear_readout": "softmax regression on what the first layer measures, labels never presented",
        "raw_logistic_regression": "softmax regression on the samples themselves",
        "one_layer_less": "the same network without its top layer",
        "skip_alone": "every response is zero, and every layer has a skip",
    }
)
"""Every control by name, in the order of tables, and what it is."""

PHYSICAL = frozenset({NETWORK, "responses_shuffled", "linear_readout", "one_layer_less"})
"""Those that present rows to the physics."""

assert set(CONTROLS) == set(get_args(ControlName))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The controls of an experiment.

    Args:
        run: Those to run, in the order of tables.
        left_out: Those that can't be run, or that nobody asked for, and why.
    """

    run: tuple[str, ...]
    left_out: Mapping[str, str]


def plan(experiment: Experiment) -> Plan:
    """Return which controls an experiment can have.

    Raises:
        ExperimentError: None of those it asks for applies.
    """
    layers, training = experiment.layers, experiment.training
    skips = [layer.skip for layer in layers]
    which = experiment.controls.which
    left_out = {name: "not asked for in controls.which" for name in CONTROLS if which != "all" and name not in which}
    reasons = {
        "one_layer_less": len(layers) == 1 and "the network has one layer",
        "skip_alone": (not any(skips) and "the network has no skip")
        or (all(skips) and "the same as physics_zeroed: every layer has a skip"),
        "band_energies": (
            experiment.controls.sample_rate is None and "the drive is not declared a sound (controls.sample_rate)"
        )
        or (layers[0].before != "none" and "a digital map stands between the sound and the first layer")
        or (layers[0].system in {layer.system for layer in layers[1:]} and "a layer above has the first one's system"),
        # A row alone in its presentation has nobody to change responses with.
        "responses_shuffled": (training.batch_size == 1 or training.evaluation_batch == 1)
        and "rows are presented one by one",
    }
    left_out |= {name: reason for name, reason in reasons.items() if reason and name not in left_out}
    run = tuple(name for name in CONTROLS if name not in left_out)
    if not run:
        asked = ", ".join(f"{name} ({left_out[name]})" for name in which if name in reasons)
        raise ExperimentError(f"controls.which must name a control that this network can have, got {asked}. Use 'all'.")
    return Plan(run=run, left_out=left_out)
