"""A whole network trained by backpropagation: its systems answer, and something differentiable says how they would.

The value that goes on from a layer is what its system answered, measured through the port like any other; the gradient
that comes back through it is that of a model of the system at the same drive: of the simulator itself, or of a twin.

Axis letters: N rows, I inputs, O outputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .contracts import Differentiable, Passes, PhysicalSystem, Reading
from .encoders import Levels
from .errors import InputError
from .layer import PhysicalLayer
from .network import Network
from .passes import Purpose, pass_numbers
from .port import Port
from .records import PassCount
from .seeding import torch_stream
from .wrapping import Wrapper

# What impairments may do to a response that leaves its gradient as it is: they add, round, and clip now and then, or
# scale a row by something near 1. All else mixes channels or rows.
_HARMLESS = frozenset(
    {"seed", "noise", "dac_bits", "adc_bits", "full_scale", "signed", "seconds_per_pass", "photoelectrons", "flicker"}
    | {"gain_drift", "gain_noise", "within"}
)


def simulator_of(system: PhysicalSystem) -> Differentiable:
    """Return what autograd can see through: the system, or what its impairments wrap.

    Noise, converters and a common gain around a simulator pass gradients unchanged.

    Raises:
        InputError: Nothing can be seen through; the message says why.
    """
    name, spec = system.spec.name, system.spec
    if isinstance(system, Differentiable):
        return _forgetting(system, system)
    told: Mapping[str, Any] | None = spec.identity.get("impairments")
    if told is None or not isinstance(system, Wrapper):
        raise InputError(f"{name} must be a simulator that autograd can see through, got a {spec.kind} system.")
    mixing = sorted(key for key, value in told.items() if value and key not in _HARMLESS)
    if mixing:
        raise InputError(f"{name} must have impairments that pass gradients unchanged, got {', '.join(mixing)}.")
    return _forgetting(system, simulator_of(system.system))


def _forgetting(system: PhysicalSystem, model: Differentiable) -> Differentiable:
    """Refuse a system that remembers: asked for its answer, then for a gradient, it would live through rows twice."""
    if system.spec.stateful:
        raise InputError(
            f"{system.spec.name} must not depend on earlier rows or on time to be seen through, got a system that does."
        )
    return model


def check_gradients(network: Network) -> None:
    """Refuse a network through whose drives no gradient passes.

    Raises:
        InputError: A layer rounds what it is sent, and something below it would have to learn.
    """
    for layer in network:
        rounds = layer.port.spec.drive.domain == "binary" or isinstance(layer.encoder, Levels)
        if rounds and (layer.below or layer.before is not None):
            raise InputError(f"{layer.name} must have a continuous drive to pass a gradient on, got a binary one.")
    if network.refed:
        raise InputError(
            "a network to backpropagate through must be a chain, got layers that are fed the sample again."
        )


class EndToEnd:
    """A network with a linear read-out on top, and the gradient of their cross-entropy.

    The digital maps of the layers, before and behind the physics, and the read-out are trained, in place.

    Args:
        network: The network, a chain; its systems open whenever something is measured.
        models: What is differentiated in the place of each port's system.
        classes: Number of classes.
        seed: Seed of the read-out's first weights: normal, of variance 1 / width.
    """

    def __init__(self, network: Network, models: Mapping[Port, Differentiable], *, classes: int, seed: int) -> None:
        check_gradients(network)
        self._network = network
        self._models = [models[layer.port] for layer in network]
        top = network.layers[-1]
        start = torch.randn(top.width, classes, generator=torch_stream(seed, "read-out")) / math.sqrt(top.width)
        self._head_OC, self._bias_C = start.to(top.weight_FO), top.weight_FO.new_zeros(classes)

    @property
    def trained(self) -> dict[str, torch.Tensor]:
        """Every tensor that is trained, by name, not copied."""
        names = ("weight", "bias", "before_weight", "before_bias")
        found = {name: tensor for name, tensor in self._network.tensors().items() if name.rsplit("/", 1)[-1] in names}
        return {**found, "head": self._head_OC, "head_bias": self._bias_C}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over tensors saved from `trained`, in place."""
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(tensors[name])

    def gradient(
        self, features_NI: torch.Tensor, labels_N: torch.Tensor, *, epoch: int, step: int
    ) -> tuple[float, dict[str, torch.Tensor]]:
        """Present a minibatch to learn from; return its mean cross-entropy, and the gradient for every trained tensor.

        Args:
            features_NI: Samples, shape `(n, features)`.
            labels_N: Their labels, shape `(n,)`.
            epoch: Keys the pass numbers.
            step: Step within the epoch; likewise.
        """
        trained = self.trained
        try:
            for tensor in trained.values():
                tensor.requires_grad_()
            with torch.enable_grad():
                loss = torch.nn.functional.cross_entropy(
                    self._scores(features_NI, Purpose.TRAIN, epoch, step), labels_N
                )
                found = torch.autograd.grad(loss, list(trained.values()))
        finally:
            for tensor in trained.values():
                tensor.requires_grad_(False)  # to everybody else they are plain tensors
        return float(loss.detach()), dict(zip(trained, found, strict=True))

    def answers(self, features_NI: torch.Tensor, *, purpose: Purpose, epoch: int, batch: int) -> torch.Tensor:
        """Classify samples, `batch` at once; shape `(n,)`."""
        with torch.no_grad():
            parts = [
                self._scores(part_NI, purpose, epoch, step).argmax(1)
                for step, part_NI in enumerate(torch.split(features_NI, batch))
            ]
        return torch.cat(parts)

    def _scores(self, features_NI: torch.Tensor, purpose: Purpose, epoch: int, step: int) -> torch.Tensor:
        sent = self._network.inputs(features_NI)
        for number, (layer, model) in enumerate(zip(self._network, self._models, strict=True)):
            passes = pass_numbers(purpose, epoch=epoch, step=step, layer=number, rows=len(sent))
            sent = layer.outputs(_features(layer, model, sent, passes))
        return torch.addmm(self._bias_C, sent, self._head_OC)


def _features(layer: PhysicalLayer, model: Differentiable, inputs_NI: torch.Tensor, passes: Passes) -> torch.Tensor:
    """Return what a layer's weight sees: as it was measured, with the graph of the model."""
    encoded = layer.encoder(inputs_NI if layer.before is None else layer.before(inputs_NI), layer.port.spec.drive)
    response = torch.as_tensor(layer.port.measure(encoded.drive, passes).response)
    if encoded.clipped:
        layer.port.count += PassCount(clipped_drive=encoded.clipped)
    if encoded.drive.requires_grad:
        modelled = model.forward(_as_sent(encoded.drive, layer.port), passes).to(response)
        # The difference is zero to the bit: the value stays what was measured.
        response = response + (modelled - modelled.detach())
    return layer.features_of(Reading(response=response), inputs_NI)


def _as_sent(drive: torch.Tensor, port: Port) -> torch.Tensor:
    """Return a drive as the port hands it to a system, with its graph."""
    spec = port.spec
    shaped = drive.reshape(len(drive), *spec.drive.shape)
    target = torch.from_numpy(np.empty(0, spec.drive.dtype)).dtype
    floating = target.is_floating_point or target.is_complex
    return shaped.to(spec.device if spec.array == "torch" else "cpu", target if floating else shaped.dtype)


def multiply_adds(network: Network, models: Sequence[int], *, classes: int, answering: bool) -> tuple[int, int]:
    """Return the digital multiply-adds to classify a sample with the systems, and to learn from one.

    Args:
        network: The network.
        models: Multiply-adds of each layer's model for a row, forward.
        classes: Number of classes.
        answering: Whether the models also answer in the place of the systems while the network learns.
    """
    inference = network.layers[-1].width * classes
    training = 3 * inference  # forward, to the weights, and back
    for layer, model in zip(network, models, strict=True):
        weight, before = layer.weight_FO.numel(), 0 if layer.before is None else layer.before.weight_IO.numel()
        inference += weight + before
        # A gradient goes on down only where something is trained below: through the weight, and through the model.
        down = layer.below > 0 or before > 0
        training += weight * (3 if down else 2) + before * (3 if layer.below else 2) + model * (2 * down + answering)
    return inference, training
