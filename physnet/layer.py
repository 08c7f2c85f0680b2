"""A layer: a digital map before the physics (optional), the physics, and a digital map after it.

Order inside: `before -> encode -> check -> measure -> check -> standardise -> concatenate skip -> weight, bias ->
nonlinearity`.

Axis letters: N rows, I inputs, F features, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch.nn import functional

from .contracts import Passes, Reading
from .encoders import Encoder
from .errors import InputError, SpecError
from .port import Port
from .records import PassCount
from .seeding import torch_stream

Nonlinearity = Literal["none", "relu", "gelu", "silu", "tanh", "abs"]
NONLINEARITIES: tuple[str, ...] = get_args(Nonlinearity)
BeforeKind = Literal["none", "random", "repeat"]

# A channel that varies by less than this fraction of the layer's typical deviation is taken as dead, and not blown up
# to unit variance: what it shows is rounding.
_DEAD = 1e-6


@dataclass(kw_only=True)
class DigitalMap:
    """A linear map before the physics (placement Q).

    Args:
        weight_IO: Shape `(inputs, outputs)`.
        bias_O: Shape `(outputs,)`.
    """

    weight_IO: torch.Tensor
    bias_O: torch.Tensor

    @classmethod
    def make(cls, kind: Literal["random", "repeat"], inputs: int, outputs: int, *, seed: int) -> DigitalMap:
        """Make a fixed map.

        Args:
            kind: `random`: independent normal weights of variance 1 / inputs. `repeat`: the inputs one after the other,
                over and over, until all outputs are filled.
            inputs: Numbers in.
            outputs: Numbers out.
            seed: Seed of `random`.
        """
        if kind == "random":
            weight = torch.randn(inputs, outputs, generator=torch_stream(seed, "before")) / math.sqrt(inputs)
        else:
            weight = functional.one_hot(torch.arange(outputs) % inputs, inputs).T.to(torch.float32)
        return cls(weight_IO=weight.contiguous(), bias_O=torch.zeros(outputs))

    def __call__(self, inputs_NI: torch.Tensor) -> torch.Tensor:
        """Apply the map to a batch."""
        return torch.addmm(self.bias_O, inputs_NI, self.weight_IO)


@dataclass(frozen=True, kw_only=True)
class Presented:
    """What a presentation brought back.

    Args:
        features_NF: What the digital map sees: the standardised response, then the skip. Shape `(n, features)`, no
            graph.
        reading: The response as measured, in the order of the inputs.
        clipped: Values that the encoder clipped.
    """

    features_NF: torch.Tensor
    reading: Reading
    clipped: int


class PhysicalLayer:
    """One physical layer of a network. It owns its weight and bias; it never trains them.

    Args:
        port: The way to the system. Several layers may share one.
        inputs: Numbers that come from below.
        width: Numbers that go up.
        encoder: How the numbers become a drive.
        seed: Seed of the initial weights: normal, variance 1 / features; biases are zero.
        skip: Also hand the inputs to the digital map, beside the response.
        before: Digital map before the encoder.
        nonlinearity: Digital nonlinearity after weight and bias.
        standardise: Whether `fit_standardisation` makes each response channel zero mean, unit variance.
        name: Name in sessions and messages.

    Raises:
        SpecError: The encoder's channels are not the system's, or the encoder can't drive it.
    """

    def __init__(
        self,
        *,
        port: Port,
        inputs: int,
        width: int,
        encoder: Encoder,
        seed: int,
        skip: bool = False,
        before: DigitalMap | None = None,
        nonlinearity: Nonlinearity = "none",
        standardise: bool = True,
        name: str = "layer",
    ) -> None:
        self.port, self.inputs, self.width = port, inputs, width
        self.lowest = True
        """Whether the network's inputs reach it. Set by the network that it stands in."""
        self.highest = True
        """Whether what it sends up reaches no other layer. Set likewise."""
        self.below = self.above = 0
        """Layers below and above it. Set likewise."""
        self.encoder, self.skip, self.before = encoder, skip, before
        self.nonlinearity, self.standardise, self.name = nonlinearity, standardise, name
        self.parameters: dict[str, torch.Tensor] = {}
        """What the physics is set to, by name, where a rule trains it (see `tune`); empty where none does."""
        self._check_channels()
        device, dtype = (
            port.device,
            torch.float64 if port.dtype in (torch.float64, torch.complex128) else torch.float32,
        )
        response = port.spec.response
        self.responses = response.channels * (2 if response.complex else 1)
        self.features = self.responses + (inputs if skip else 0)
        start = torch.randn(self.features, width, generator=torch_stream(seed, "weight")) / math.sqrt(self.features)
        self.weight_FO = start.to(device, dtype)
        self.bias_O = torch.zeros(width, device=device, dtype=dtype)
        self.mean_R = torch.zeros(self.responses, device=device, dtype=dtype)
        self.scale_R = torch.ones(self.responses, device=device, dtype=dtype)
        if before is not None:
            before.weight_IO, before.bias_O = (
                before.weight_IO.to(device, dtype),
                before.bias_O.to(device, dtype),
            )

    def tune(self) -> dict[str, torch.Tensor]:
        """Make the system's parameters tensors of the layer, for a rule that trains them inside the physics.

        From then on they are written before whatever the layer presents, unless they are written already: in training,
        in validation and test, and after a run was resumed or other weights were loaded.

        Returns:
            The tensors, in the unit that the system declares. The rule changes them in place, within their bounds.
        """
        if not self.parameters:
            for name, value in self.port.values.items():
                start = torch.from_numpy(np.array(value, dtype=np.float64))
                self.parameters[name] = start.to(self.weight_FO.device, self.weight_FO.dtype)
        return self.parameters

    def write_parameters(self, values: Mapping[str, torch.Tensor] | None = None) -> bool:
        """Write the layer's parameters, or others in the place of some of them, where they are not what is written.

        Returns:
            Whether anything had to be written.

        Raises:
            InputError: `values` names what the layer does not tune.
            DriveError, MeasurementError: See `Port.configure`.
        """
        if values and (unknown := sorted(set(values) - set(self.parameters))):
            raise InputError(
                f"parameters written to {self.name} must be among those it tunes, "
                f"{', '.join(self.parameters) or 'none'}, got {unknown[0]}."
            )
        return bool(self.parameters) and self.port.configure({**self.parameters, **(values or {})})

    def present(
        self,
        inputs_NI: torch.Tensor,
        passes: Passes,
        *,
        nudge: torch.Tensor | None = None,
        parameters: Mapping[str, torch.Tensor] | None = None,
    ) -> Presented:
        """Drive the physics with a batch and return what it answered.

        Args:
            inputs_NI: Shape `(n, inputs)`.
            passes: Shape `(n,)`: pass numbers.
            nudge: Added to the numbers that are encoded, shape `(n, encoded)`: how a rule perturbs the drive.
            parameters: Written in the place of the layer's own: how a rule perturbs the physics.

        Raises:
            DriveError, ResponseError, MeasurementError: See `Port.measure` and `Port.configure`.
        """
        self.write_parameters(parameters)
        encoded_in = inputs_NI if self.before is None else self.before(inputs_NI)
        if nudge is not None:
            encoded_in = encoded_in + nudge
        encoded = self.encoder(encoded_in, self.port.spec.drive)
        reading = self.port.measure(encoded.drive, passes)
        if encoded.clipped:
            self.port.count += PassCount(clipped_drive=encoded.clipped)
        features = (self._flat(reading) - self.mean_R) / self.scale_R
        if self.skip:
            features = torch.cat([features, inputs_NI], dim=1)
        return Presented(features_NF=features, reading=reading, clipped=encoded.clipped)

    def outputs(self, features_NF: torch.Tensor) -> torch.Tensor:
        """Return what goes up: `nonlinearity(features @ weight + bias)`, shape `(n, width)`."""
        return activate(self.linear(features_NF), self.nonlinearity)

    def linear(self, features_NF: torch.Tensor) -> torch.Tensor:
        """Return `features @ weight + bias`, shape `(n, width)`: what the digital nonlinearity takes."""
        return torch.addmm(self.bias_O, features_NF, self.weight_FO)

    def fit_standardisation(self, reading: Reading) -> int:
        """Set mean and scale from measured responses, and return how many channels are dead.

        A dead channel gets scale 1, so it contributes nothing but a constant zero.
        """
        flat = self._flat(reading)
        deviation = flat.std(dim=0, correction=0)
        dead = deviation <= _DEAD * deviation.square().mean().sqrt()
        if self.standardise:
            self.mean_R.copy_(flat.mean(dim=0))
            self.scale_R.copy_(torch.where(dead, torch.ones_like(deviation), deviation))
        return int(torch.count_nonzero(dead))

    def features_of(self, reading: Reading, inputs_NI: torch.Tensor) -> torch.Tensor:
        """Return the features of a reading taken before the standardisation was fitted."""
        features = (self._flat(reading) - self.mean_R) / self.scale_R
        return torch.cat([features, inputs_NI], dim=1) if self.skip else features

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor of the layer by name; they are the layer's own, not copies."""
        own = {"weight": self.weight_FO, "bias": self.bias_O, "mean": self.mean_R, "scale": self.scale_R}
        if self.before is not None:
            own |= {"before_weight": self.before.weight_IO, "before_bias": self.before.bias_O}
        return own | {f"parameter_{name}": value for name, value in self.parameters.items()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over tensors saved by `tensors`. In place where a rule may hold them."""
        for name, own in self.tensors().items():
            if name not in tensors or tensors[name].shape != own.shape:
                found = tuple(tensors[name].shape) if name in tensors else "none"
                raise InputError(f"{self.name}/{name} must have shape {tuple(own.shape)}, got {found}.")
            own.copy_(tensors[name])

    def _flat(self, reading: Reading) -> torch.Tensor:
        response = torch.as_tensor(reading.response)
        if response.is_complex():
            response = torch.view_as_real(response)
        return response.flatten(1)

    def _check_channels(self) -> None:
        spec = self.port.spec
        encoded = self.inputs if self.before is None else self.before.weight_IO.shape[1]
        emitted = self.encoder.channels(encoded)
        if emitted != spec.drive.channels:
            raise SpecError(
                f"{self.name}: the encoder '{self.encoder.name}' makes {emitted} drive channels of {encoded} numbers, "
                f"the system {spec.name} has {spec.drive.channels}. Choose another width or encoder, or put a digital "
                "map in front (before = 'random' or 'repeat')."
            )
        self.encoder.check(spec.drive)


def activate(values: torch.Tensor, nonlinearity: Nonlinearity) -> torch.Tensor:
    """Apply a digital nonlinearity element by element."""
    match nonlinearity:
        case "none":
            return values
        case "relu":
            return torch.relu(values)
        case "gelu":
            return functional.gelu(values)
        case "silu":
            return functional.silu(values)
        case "tanh":
            return torch.tanh(values)
        case "abs":
            return values.abs()
