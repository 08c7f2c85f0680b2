"""One training of a control: the same rule, options, split and seed as the network's, through the same trainer."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..assembly import Samples, build_network, build_rule, training_options
from ..baselines import raw_logistic_regression
from ..data import Splits, Subset
from ..experiment import Experiment
from ..network import Network
from ..passes import Purpose, pass_numbers
from ..port import Port
from ..seeding import derive_seed
from ..trainer import Trainer
from .bands import BandEnergies
from .kinds import CONTROLS, NETWORK
from .ports import ControlPort, present_through
from .store import Training
from .substitutes import Zeros, projection_for
from .worn import bare, dressed

Check = Callable[[], None]


def train_one(
    control: str, experiment: Experiment, samples: Samples, *, device: str = "cpu", interrupted: Check | None = None
) -> Training:
    """Train the network or a control, and test it once. Nothing is recorded: the run's session stays as it was.

    Args:
        control: A name of `CONTROLS`, or `network`.
        experiment: The experiment, its seed that of this training.
        samples: Its samples, from that seed.
        device: torch device of the digital part.
        interrupted: Called between steps; raises `Stopped` to end.

    Raises:
        PhysnetError: As `Trainer.run`.
    """
    assert control == NETWORK or control in CONTROLS
    began = time.perf_counter()
    assumed: tuple[str, ...] = ()
    passes = 0
    if control == "raw_logistic_regression":
        accuracy = raw_logistic_regression(samples.splits)
    elif control == "linear_readout":
        accuracy, passes = _linear_readout(experiment, samples, device, interrupted or (lambda: None))
    else:
        rule = build_rule(experiment)
        network = build_network(_changed(control, experiment), samples.frame, rule, device=device)
        physical, assumed = _substitute(control, network, experiment)
        with network:
            result = Trainer(
                network,
                rule,
                samples.splits,
                classes=len(samples.frame.classes),
                # A control has no drift to tell, and no pass numbers for sentinels.
                options=dataclasses.replace(training_options(experiment), sentinels=0),
                seed=experiment.seed,
                interrupted=interrupted,
            ).run()
        accuracy, passes = result.test_accuracy, result.physical_passes if physical else 0
    return Training(
        control=control,
        seed=experiment.seed,
        test_accuracy=accuracy,
        passes=passes,
        seconds=time.perf_counter() - began,
        assumed=assumed,
        **rows_of(samples),
    )


def rows_of(samples: Samples) -> dict[str, Any]:
    """Return what a `Training` says of its samples."""
    test = samples.splits.test
    digest = hashlib.sha256(np.ascontiguousarray(test.index, "<i8").tobytes()).hexdigest()
    return {"train_rows": len(samples.splits.train), "test_rows": len(test), "test_sha256": digest}


def _changed(control: str, experiment: Experiment) -> Experiment:
    """Return the experiment of a control whose layers differ."""
    layers = experiment.layers
    if control == "one_layer_less":
        layers = layers[:-1]
    elif control == "skip_alone":
        layers = tuple(layer.model_copy(update={"skip": True}) for layer in layers)
    # What stands in a system's place is not cached, and a layer less may leave no system that could be.
    training = experiment.training.model_copy(update={"cache_megabytes": 0.0})
    return experiment.model_copy(update={"layers": layers, "training": training})


def _substitute(control: str, network: Network, experiment: Experiment) -> tuple[bool, tuple[str, ...]]:
    """Put in the place of the physics what a control has there; return whether physics is left, and what was assumed.

    The systems themselves are made before, for what they tell of themselves. Where they are replaced, only simulated
    ones are opened, to see how large their responses are.
    """
    if control == NETWORK:
        return True, ()
    ports: dict[Port, ControlPort] = {}
    assumed: list[str] = []
    settings = experiment.controls
    for number, port in enumerate(network.ports):
        match control:
            case "physics_zeroed" | "skip_alone":
                ports[port] = ControlPort(port, Zeros(port.spec))
            case "band_energies" if port is network.layers[0].port:
                # The plan has none without a sample rate.
                assert settings.sample_rate is not None
                bands = BandEnergies(bare(port.spec), rate=settings.sample_rate, slices=settings.band_slices)
                seed = derive_seed(experiment.seed, "band energies")
                filters = dressed(bands, port.system, what="filter bank", seed=seed)
                assumed += filters.assumed
                ports[port] = ControlPort(port, filters.system)
            case "random_projection" | "band_energies":
                seed = derive_seed(experiment.seed, "random projection", number)
                made = projection_for(port.system, detector=settings.detector, seed=seed)
                assumed += made.assumed
                ports[port] = ControlPort(port, made.system)
            case _:
                ports[port] = ControlPort(port, port.system, shuffle=control == "responses_shuffled")
    present_through(network, ports)
    return control in ("responses_shuffled", "one_layer_less"), tuple(assumed)


def _linear_readout(experiment: Experiment, samples: Samples, device: str, interrupted: Check) -> tuple[float, int]:
    """Return the accuracy of softmax regression on the first layer's features, and the passes it took.

    The features are what the layer's own weights see: the response, and the skip where there is one. Label slots stay
    empty.
    """
    network = build_network(experiment, samples.frame, build_rule(experiment), device=device)
    present_through(network, {port: ControlPort(port, port.system) for port in network.ports})
    layer, batch = network.layers[0], experiment.training.evaluation_batch
    parts: dict[str, Subset] = {}
    # Only the first layer's system: the others are not needed, and a bench is not switched on for nothing.
    with layer.port:
        # Numbered as tests, both of them: a change in the midst of training has come before the network's test, too.
        for epoch, name in ((1, "train"), (0, "test")):
            part = getattr(samples.splits, name)
            features = []
            for number, start in enumerate(range(0, len(part), batch)):
                interrupted()
                rows = torch.from_numpy(np.ascontiguousarray(part.x[start : start + batch]))
                inputs = network.inputs(rows.to(layer.weight_FO.device, layer.weight_FO.dtype))
                passes = pass_numbers(Purpose.TEST, epoch=epoch, step=number, rows=len(inputs))
                features.append(layer.present(inputs, passes).features_NF.cpu().numpy().astype(np.float32))
            parts[name] = Subset(x=np.concatenate(features), y=part.y, index=part.index)
        count = layer.port.count.passes
    empty = Subset(x=parts["train"].x[:0], y=parts["train"].y[:0], index=parts["train"].index[:0])
    return raw_logistic_regression(Splits(train=parts["train"], validation=empty, test=parts["test"])), count
