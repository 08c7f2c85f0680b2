"""Descent along random directions in the space of what a layer trains before the physics, inside it, or both.

Every direction is tried both ways, and what the loss changes by says how steep it is along it. Nothing is asked of the
physics but to be measured.

Axis letters: N rows, I inputs, E encoded numbers, D trained numbers, K directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..contracts import DriveSpec
from ..errors import InputError
from ..layer import PhysicalLayer, Presented
from ..seeding import torch_stream
from .base import Batch, Placement, Present, Write, Written
from .optimiser import Decay

Where = Literal["before", "inside", "both"]
Law = Literal["signs", "sphere"]
Losses = Callable[[torch.Tensor], torch.Tensor]
"""From features, shape `(rows, features)`, to a loss a row, for rows in whole copies of the minibatch."""

PLACEMENTS: Mapping[Where, frozenset[Placement]] = {
    "before": frozenset({Placement.BEFORE}),
    "inside": frozenset({Placement.INSIDE}),
    "both": frozenset({Placement.BEFORE, Placement.INSIDE}),
}
# The largest logit of a bit: it is still tried the other way in about one of fifty settings.
_MOST_LOGIT = 4.0
# The logit that a bit starts with, for the value it has: about one in four is tried the other way.
_FIRST_LOGIT = 1.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the presentations of a minibatch brought.

    Args:
        features_NF: Features through everything as it is: what goes up.
        differences_K: Mean loss one way of each direction, minus that of the other way.
    """

    features_NF: torch.Tensor
    differences_K: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Numbers that are perturbed together: a tensor of the layer, in steps of `unit`."""

    tensor: torch.Tensor
    unit: float
    spec: DriveSpec | None = None

    @property
    def low(self) -> torch.Tensor:
        assert self.spec is not None
        return torch.as_tensor(self.spec.low_array.copy()).to(self.tensor).reshape(self.tensor.shape)

    @property
    def span(self) -> torch.Tensor:
        assert self.spec is not None
        high = torch.as_tensor(self.spec.high_array.copy()).to(self.tensor).reshape(self.tensor.shape)
        return high - self.low

    @property
    def turns(self) -> bool:
        """Whether the range is a whole turn, whose ends are the same."""
        whole = math.isclose(float(self.span.min()), 2 * math.pi, rel_tol=1e-6)
        return self.spec is not None and self.spec.domain == "phase" and whole


class Directions:
    """The numbers that a layer trains along random directions, how they are perturbed, and how they are moved.

    Directions have independent entries of variance 1: random signs, or a point of the sphere of radius `sqrt(D)`. So
    `slope * direction` is an estimate of the gradient whose mean is right, but for the third derivatives of the loss
    times the square of the size. Weights before the physics are perturbed by `size / sqrt(inputs)`, which moves every
    encoded number by about `size` of the inputs' root mean square; they need no writes, for a changed map is only
    another drive. Parameters inside are perturbed by `inside_size` of their range, and kept that far away from its
    ends; phases whose range is a turn go round.

    A bit has a logit phi and is, in a pair of settings, `b1 = [1 - u < sigma(phi)]` and `b2 = [u < sigma(phi)]` with
    one uniform u: each is on with the chance sigma(phi), and they differ as often as they can. `(L1 - L2) (b1 - b2)
    sigma(|phi|) / 2` is then an unbiased estimate of how the mean loss over such settings depends on phi. Elsewhere the
    more likely value is written.

    Args:
        layer: The layer.
        where: What is trained.
        law: Of the directions.
        directions: K.
        size: See above; > 0.
        inside_size: See above; > 0.
        learning_rate: Step along the gradient of weights before the physics.
        inside_learning_rate: The same for parameters, as parts of their range.
        logit_learning_rate: The same for the logits of bits; None for a rule that trains none.
        decay: `cosine` lowers all of them to zero over the planned run.
        rule: Name of the rule, for messages.

    Raises:
        InputError: The layer has nothing to train there.

    Source:
        Random signs: Spall, IEEE Trans. Autom. Control 37, 332 (1992). Bits: Dong, Mnih, Tucker, DisARM,
        arXiv:2006.10680.
    """

    def __init__(
        self,
        layer: PhysicalLayer,
        *,
        where: Where,
        law: Law,
        directions: int,
        size: float,
        inside_size: float,
        learning_rate: float,
        inside_learning_rate: float,
        decay: Decay,
        rule: str,
        logit_learning_rate: float | None = None,
    ) -> None:
        self._layer, self._law, self._count, self._decay = layer, law, directions, decay
        self._size, self._inside_size = size, inside_size
        self._rate, self._inside_rate = learning_rate, inside_learning_rate
        self._logit_rate = logit_learning_rate or 0.0
        before = layer.before if where != "inside" else None
        unit = 1 / math.sqrt(layer.inputs)
        self._before = [_Block(tensor=one, unit=unit) for one in (before.weight_IO, before.bias_O)] if before else []
        tuned = layer.tune() if where != "before" else {}
        specs = layer.port.parameters
        self._bits = {name: one for name, one in tuned.items() if specs[name].domain == "binary"}
        self._inside = {
            name: _Block(tensor=one, unit=1.0, spec=specs[name])
            for name, one in tuned.items()
            if specs[name].domain != "binary"
        }
        if self._bits and logit_learning_rate is None:
            raise InputError(
                f"{rule} trains continuous parameters, and {', '.join(self._bits)} of {layer.port.spec.name} is "
                "binary. Use the rule spsa."
            )
        if not self._before and not tuned:
            raise InputError(
                f"{rule} has nothing to train in {layer.name}: "
                + ("no map before the physics" if where != "inside" else "")
                + (" and " if where == "both" else "")
                + (f"no parameters inside {layer.port.spec.name}" if where != "before" else "")
                + ". Set `before`, use a system with parameters, or change `where`."
            )
        self._logits = {name: self._start(name, one) for name, one in self._bits.items()}
        for one in self._inside.values():
            self._keep_inside(one)
        self.numbers = sum(one.tensor.numel() for one in (*self._before, *self._inside.values()))
        """D, without bits."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the logits of bits, not copied. All else that is trained belongs to the layer."""
        return {f"logits/{name}": one for name, one in self._logits.items()}

    def measure(
        self, inputs_NI: torch.Tensor, losses: Losses, batch: Batch
    ) -> Generator[Present | Write, Presented | Written | Any, Found]:
        """Present the minibatch as it is, and along every direction both ways.

        Without parameters inside all rows are one presentation; with them, each way of each direction is a write and a
        presentation of its own.

        Args:
            inputs_NI: What comes from below.
            losses: The loss of each row, at the weights behind the physics as they are.
            batch: The minibatch; its seed, epoch and step key the directions.
        """
        rows, self._drawn = len(inputs_NI), self._draw(batch)
        if self._layer.parameters and (self._inside or self._bits):
            found = yield from self._one_by_one(inputs_NI)
        else:
            copies = inputs_NI.repeat(2 * self._count + 1, 1)
            nudges = [inputs_NI.new_zeros(rows, len(self._before[1].tensor)), *self._nudges(inputs_NI)]
            presented = yield Present(inputs_NI=copies, nudge=torch.cat(nudges))
            assert isinstance(presented, Presented)
            found = presented.features_NF
        loss = losses(found[rows:]).reshape(self._count, 2, rows).mean(2)
        return Found(features_NF=found[:rows], differences_K=loss[:, 0] - loss[:, 1])

    def move(self, found: Found, progress: float) -> None:
        """Take one step down the estimated gradient.

        Args:
            found: From `measure`, which has just been done.
            progress: Part of the planned run that is done.
        """
        factor = (1 + math.cos(math.pi * progress)) / 2 if self._decay == "cosine" else 1.0
        gradient_D = found.differences_K @ self._drawn.vectors_KD / (2 * self._count)
        place = 0
        for one in self._before:
            part = gradient_D[place : place + one.tensor.numel()].reshape(one.tensor.shape)
            one.tensor.sub_(part, alpha=factor * self._rate / (self._size * one.unit))
            place += one.tensor.numel()
        for one in self._inside.values():
            part = gradient_D[place : place + one.tensor.numel()].reshape(one.tensor.shape)
            one.tensor.sub_(part * one.span, alpha=factor * self._inside_rate / self._inside_size)
            place += one.tensor.numel()
            self._keep_inside(one)
        for name, logits in self._logits.items():
            apart_KD = self._drawn.bits[name][0] - self._drawn.bits[name][1]
            slope = (found.differences_K @ apart_KD / (2 * self._count)) * torch.sigmoid(logits.abs())
            logits.sub_(slope, alpha=factor * self._logit_rate).clamp_(-_MOST_LOGIT, _MOST_LOGIT)
            self._set_bits(name)

    def _one_by_one(self, inputs_NI: torch.Tensor) -> Generator[Present | Write, Any, torch.Tensor]:
        rested = yield Present(inputs_NI=inputs_NI)
        assert isinstance(rested, Presented)
        parts = [rested.features_NF]
        for number in range(self._count):
            nudge = self._nudge(inputs_NI, number) if self._before else None
            for way, sign in enumerate((1.0, -1.0)):
                yield Write(values=dict(self._setting(number, way, sign)))
                moved = yield Present(inputs_NI=inputs_NI, nudge=None if nudge is None else sign * nudge)
                assert isinstance(moved, Presented)
                parts.append(moved.features_NF)
        return torch.cat(parts)

    def _nudges(self, inputs_NI: torch.Tensor) -> Iterator[torch.Tensor]:
        for number in range(self._count):
            nudge = self._nudge(inputs_NI, number)
            yield from (nudge, -nudge)

    def _nudge(self, inputs_NI: torch.Tensor, number: int) -> torch.Tensor:
        """Return what a change of the map along a direction adds to the encoded numbers."""
        weight, bias = (one.tensor for one in self._before)
        vector_D = self._drawn.vectors_KD[number]
        scale = self._size * self._before[0].unit
        change = vector_D[: weight.numel()].reshape(weight.shape)
        return torch.addmm(vector_D[weight.numel() : weight.numel() + len(bias)], inputs_NI, change) * scale

    def _setting(self, number: int, way: int, sign: float) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield each parameter as it is to be written for one way of a direction."""
        place = sum(one.tensor.numel() for one in self._before)
        for name, one in self._inside.items():
            vector = self._drawn.vectors_KD[number, place : place + one.tensor.numel()].reshape(one.tensor.shape)
            moved = one.tensor + sign * self._inside_size * one.span * vector
            low, high = one.low, one.low + one.span
            yield name, low + (moved - low) % one.span if one.turns else torch.clamp(moved, low, high)
            place += one.tensor.numel()
        for name in self._bits:
            yield name, self._values(name, self._drawn.bits[name][way][number])

    def _draw(self, batch: Batch) -> _Drawn:
        random, like = (
            torch_stream(batch.seed, f"directions of {self._layer.name}", batch.epoch, batch.step),
            self._layer.weight_FO,
        )
        if self._law == "signs":
            vectors_KD = torch.randint(0, 2, (self._count, self.numbers), generator=random).to(like) * 2 - 1
        else:
            vectors_KD = torch.randn(self._count, self.numbers, generator=random, dtype=torch.float64)
            length_K1 = torch.linalg.vector_norm(vectors_KD, dim=1, keepdim=True)
            vectors_KD = (vectors_KD * (math.sqrt(self.numbers) / length_K1)).to(like)
        bits = {}
        for name, logits in self._logits.items():
            uniform_KD = torch.rand(self._count, logits.numel(), generator=random, dtype=torch.float64).to(logits)
            chance = torch.sigmoid(logits)
            bits[name] = ((1 - uniform_KD < chance).to(like), (uniform_KD < chance).to(like))
        return _Drawn(vectors_KD=vectors_KD, bits=bits)

    def _keep_inside(self, one: _Block) -> None:
        """Bring a parameter back into its range, far enough from the ends for a perturbation both ways."""
        if one.turns:
            one.tensor.copy_(one.low + (one.tensor - one.low) % one.span)
            return
        # The entries of a direction on the sphere may be larger than 1; four of their deviations are enough for all.
        room = (1 if self._law == "signs" else 4) * self._inside_size * one.span
        one.tensor.copy_(torch.minimum(torch.maximum(one.tensor, one.low + room), one.low + one.span - room))

    def _start(self, name: str, bits: torch.Tensor) -> torch.Tensor:
        return (bits > self._values(name, torch.full((bits.numel(),), 0.5))).to(bits).flatten() * 2 - _FIRST_LOGIT

    def _set_bits(self, name: str) -> None:
        self._bits[name].copy_(self._values(name, (self._logits[name] > 0).to(self._bits[name])))

    def _values(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """Return the values of a binary parameter from 0 and 1."""
        spec, bits = self._layer.port.parameters[name], self._bits[name]
        low, high = (torch.as_tensor(one.copy()).to(bits) for one in (spec.low_array, spec.high_array))
        return (low + (high - low) * part.to(bits)).reshape(bits.shape)


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """The directions of one step, and the pairs of settings of each binary parameter."""

    vectors_KD: torch.Tensor
    bits: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
