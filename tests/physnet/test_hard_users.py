"""Four users that the seam must not turn away.

A rule with an output error and a second pass (PEPITA), node perturbation on weights before the physics, a generator and
an oscilloscope behind one trigger, and one cavity shared by three layers. They use the public contract alone; PEPITA
and node perturbation here are the smallest that learn, not rules that the product ships.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

import physnet
from physnet.contracts import Passes
from physnet.data import Splits, Subset
from physnet.encoders import Affine, Split
from physnet.layer import DigitalMap, Nonlinearity, PhysicalLayer, Presented
from physnet.network import Network
from physnet.rules.base import Await, Batch, Learned, LearnSteps, Need, Placement, Present, Resumed
from physnet.rules.mono_forward import MonoForward
from physnet.seeding import torch_stream

CLASSES, FEATURES = 3, 4


def blobs(seed: int = 0, rows: int = 240) -> Splits:
    """Three Gaussian classes in a plane, lifted to four features: easy, but not for a network that does not learn."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, rows)
    angle = 2 * np.pi * labels / CLASSES
    plane = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.3 * random.standard_normal((rows, 2))
    x = np.hstack([plane, random.standard_normal((rows, 2))]).astype(np.float32)
    parts = np.split(np.arange(rows), [rows // 2, rows // 2 + rows // 6])
    names = ("train", "validation", "test")
    return Splits(
        **{n: Subset(x=x[p], y=labels[p].astype(np.int64), index=p) for n, p in zip(names, parts, strict=True)}
    )


class _Base:
    """What the two little rules have in common: no slots, the last layer's output is the answer."""

    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.AFTER})
    nonlinearity: ClassVar[Nonlinearity] = "none"
    labelled_inputs: ClassVar[bool] = False
    readout: ClassVar[Literal["sum", "last"]] = "last"

    @property
    def metrics(self) -> Mapping[str, str]:
        return {"loss": "1"}

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        return network.inputs(batch.features_NI)

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        return network.inputs(features_NI)


@dataclass(frozen=True, kw_only=True)
class Pepita(_Base):
    """Two passes: on x, then on x plus the projected output error. No derivative anywhere."""

    rate: float = 0.05
    scale: float = 0.1
    needs: ClassVar[frozenset[Need]] = frozenset({Need.OUTPUT_ERROR})

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> "PepitaLearner":
        return PepitaLearner(self, layer, classes, seed)


class PepitaLearner:
    def __init__(self, rule: Pepita, layer: PhysicalLayer, classes: int, seed: int) -> None:
        self._rule, self._layer = rule, layer
        self._lowest, self._highest = layer.name == "layer0", layer.width == classes
        self._back = torch.randn(classes, layer.inputs, generator=torch_stream(seed, "F")) * rule.scale

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        first = yield Present(inputs_NI=inputs_NI)
        assert isinstance(first, Presented)
        resumed = yield Await(need=Need.OUTPUT_ERROR, features_NF=first.features_NF)
        assert isinstance(resumed, Resumed)
        error = resumed.value
        below = resumed.inputs_NI + error @ self._back if self._lowest else resumed.inputs_NI
        second = yield Present(inputs_NI=below)
        assert isinstance(second, Presented)
        layer, before, after = self._layer, first.features_NF, second.features_NF
        change = error if self._highest else layer.outputs(before) - layer.outputs(after)
        layer.weight_FO -= self._rule.rate * after.T @ change / len(error)
        layer.bias_O -= self._rule.rate * change.mean(0)
        return Learned(features_NF=after, metrics={"loss": float(error.square().mean())})

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        return outputs_NO[:, :CLASSES]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"back": self._back}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._back.copy_(tensors["back"])


@dataclass(frozen=True, kw_only=True)
class NodePerturbation(_Base):
    """Weights before the physics: nudge what is encoded, both ways, and follow the change of the layer's own loss."""

    rate: float = 0.05
    epsilon: float = 0.05
    samples: int = 4
    needs: ClassVar[frozenset[Need]] = frozenset()
    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.BEFORE})

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> "NodeLearner":
        return NodeLearner(self, layer)


class NodeLearner:
    def __init__(self, rule: NodePerturbation, layer: PhysicalLayer) -> None:
        self._rule, self._layer = rule, layer

    def _loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self._layer.outputs(features), labels, reduction="none")

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        layer, rule = self._layer, self._rule
        assert layer.before is not None
        rested = yield Present(inputs_NI=inputs_NI)
        assert isinstance(rested, Presented)
        random = torch_stream(batch.seed, "node", batch.epoch, batch.step)
        gradient = torch.zeros(len(inputs_NI), layer.before.weight_IO.shape[1])
        for _ in range(rule.samples):
            direction = torch.randn(gradient.shape, generator=random)
            ends = []
            for sign in (1, -1):
                moved = yield Present(inputs_NI=inputs_NI, nudge=sign * rule.epsilon * direction)
                assert isinstance(moved, Presented)
                ends.append(self._loss(moved.features_NF, batch.labels_N))
            slope = (ends[0] - ends[1]) / (2 * rule.epsilon)
            gradient += slope.unsqueeze(1) * direction / rule.samples
        layer.before.weight_IO -= rule.rate * inputs_NI.T @ gradient / len(inputs_NI)
        layer.before.bias_O -= rule.rate * gradient.mean(0)
        loss = float(self._loss(rested.features_NF, batch.labels_N).mean())
        return Learned(features_NF=rested.features_NF, metrics={"loss": loss})

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        return outputs_NO

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        return None


def mixing(drives: int, responses: int, seed: int) -> NDArray[np.float32]:
    matrix = np.random.default_rng(seed).standard_normal((drives, responses)) / math.sqrt(drives)
    return matrix.astype(np.float32)


def rectifying(drives: int, responses: int, seed: int, **options: Any) -> Any:
    matrix = mixing(drives, responses, seed)
    return physnet.system(
        lambda drive: np.abs(drive @ matrix),
        drives=drives,
        responses=responses,
        name=f"box{seed}",
        dtype="float32",
        **options,
    )


def accuracy_before_and_after(network: Network, rule: Any, epochs: int) -> tuple[float, float, physnet.Trainer]:
    options = physnet.TrainingOptions(epochs=epochs, batch_size=40, validate_every=epochs)
    with network:
        trainer = physnet.Trainer(network, rule, blobs(), classes=CLASSES, options=options)
        trainer.prepare()
        before = trainer.evaluate("validation").accuracy
        for _ in range(epochs * trainer.steps_per_epoch):
            trainer.step()
        return before, trainer.evaluate("test").accuracy, trainer


def test_pepita_trains_two_layers_with_an_output_error_and_a_second_pass() -> None:
    layers = []
    for number, (inputs, width) in enumerate(((FEATURES, 16), (16, CLASSES))):
        port = physnet.Port(rectifying(2 * inputs, 32, seed=number))
        layers.append(
            PhysicalLayer(port=port, inputs=inputs, width=width, encoder=Split(), seed=number, name=f"layer{number}")
        )
    before, after, trainer = accuracy_before_and_after(Network(layers, features=FEATURES), Pepita(), epochs=100)
    # Five other seeds gave 0.80 to 0.84. Chance is 1/3 with a standard deviation of 0.05 over 80 test samples.
    assert after >= 0.7 > before
    steps = 100 * trainer.steps_per_epoch
    assert trainer.passes["train"] == 2 * 2 * 40 * steps  # two passes, two layers, 40 samples


def test_node_perturbation_trains_the_map_before_the_physics() -> None:
    inside = 8
    before_map = DigitalMap.make("random", FEATURES, inside, seed=0)
    system = physnet.system(
        lambda drive: np.sin(drive @ mixing(inside, inside, 1)) ** 2,
        drives=inside,
        responses=inside,
        drive_range=(-3.0, 3.0),
        dtype="float32",
        name="sine",
    )
    layer = PhysicalLayer(
        port=physnet.Port(system),
        inputs=FEATURES,
        width=CLASSES,
        encoder=Affine(low=-3.0, high=3.0, clip=True),
        seed=0,
        before=before_map,
        name="layer0",
    )
    start = before_map.weight_IO.clone()
    fixed = layer.weight_FO.clone()
    before, after, trainer = accuracy_before_and_after(
        Network([layer], features=FEATURES), NodePerturbation(rate=0.3), epochs=60
    )
    assert after >= 0.8 > before
    assert torch.equal(layer.weight_FO, fixed) and not torch.equal(before_map.weight_IO, start)
    # one pass at rest and two per direction, for each of the 120 training samples in each of 60 epochs
    assert trainer.passes["train"] == (1 + 2 * 4) * 120 * 60


class Generator:
    """Plays a waveform when triggered. Its memory holds a few segments."""

    def __init__(self) -> None:
        self.segments: NDArray[np.float32] = np.empty((0, 8), np.float32)
        self.level = 0.0

    def load(self, segments: NDArray[np.float32]) -> None:
        if len(segments) > 16:
            raise AssertionError("the memory holds 16 segments")
        self.segments = segments


class Oscilloscope:
    """Records what it sees for each trigger it was armed for."""

    def __init__(self) -> None:
        self.armed = 0
        self.records: list[NDArray[np.float32]] = []

    def arm(self, segments: int) -> None:
        self.armed, self.records = segments, []

    def capture(self, trace: NDArray[np.float32]) -> None:
        if self.armed:
            self.armed -= 1
            self.records.append(trace)


class TriggeredBench:
    """A generator and an oscilloscope behind one trigger: a `PhysicalSystem` of two instruments.

    Now and then a trigger is missed. The bench counts on both sides, hands over the rows before the gap, and says so.
    """

    def __init__(self, *, missed_every: int) -> None:
        self._generator, self._scope = Generator(), Oscilloscope()
        self._missed_every, self._triggers = missed_every, 0
        self._matrix = mixing(8, 12, seed=4)
        self.is_open = False
        self.bursts = 0

    @property
    def spec(self) -> physnet.SystemSpec:
        return physnet.SystemSpec(
            name="bench",
            kind="simulated",
            drive=physnet.DriveSpec(shape=(8,), low=-0.5, high=0.5, unit="V", dtype="float32"),
            response=physnet.ResponseSpec(shape=(12,), unit="V", dtype="float32"),
            max_batch=16,
            cost=physnet.Cost(per_pass=1e-3, per_batch=0.05),
        )

    def measure(self, drive: NDArray[np.float32], passes: Passes) -> physnet.Reading:
        assert self.is_open and len(drive) <= 16 and np.abs(drive).max() <= 0.5
        self._generator.load(drive)
        self._scope.arm(len(drive))
        self.bursts += 1
        for segment in self._generator.segments:
            self._triggers += 1
            if self._triggers % self._missed_every == 0:
                break
            self._scope.capture(np.abs(segment @ self._matrix))
        self._generator.level = 0.0
        rows = self._scope.records
        reading = physnet.Reading(response=np.array(rows, np.float32).reshape(len(rows), 12))
        if self._scope.armed:
            raise physnet.MeasurementError(
                f"bench: {len(drive)} segments played, {len(rows)} recorded. Check the trigger cable.", reading=reading
            )
        return reading

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._generator.level, self.is_open = 0.0, False


def test_two_instruments_behind_one_trigger_train_through_missed_triggers() -> None:
    bench = TriggeredBench(missed_every=37)
    port = physnet.Port(bench, retries=5)
    layer = PhysicalLayer(
        port=port,
        inputs=FEATURES,
        width=8,
        encoder=Split(),
        seed=0,
        nonlinearity="relu",
        name="layer0",
    )
    _, after, trainer = accuracy_before_and_after(
        Network([layer], features=FEATURES), MonoForward(learning_rate=0.02), epochs=15
    )
    assert after >= 0.8
    assert not bench.is_open
    assert port.count.retries > 0
    # nothing measured before a gap was thrown away: each missed trigger costs the rows left of its burst, no more
    assert port.count.retries == port.count.invalid
    assert sum(trainer.passes.values()) == port.count.passes


def test_without_missed_triggers_the_weights_are_the_same() -> None:
    digests = []
    for missed_every in (37, 10**9):
        bench = TriggeredBench(missed_every=missed_every)
        layer = PhysicalLayer(
            port=physnet.Port(bench, retries=5),
            inputs=FEATURES,
            width=8,
            encoder=Split(),
            seed=0,
            nonlinearity="relu",
            name="layer0",
        )
        accuracy_before_and_after(Network([layer], features=FEATURES), MonoForward(), epochs=3)
        digests.append(layer.weight_FO.clone())
    assert torch.equal(*digests)


def test_three_layers_share_one_cavity_opened_and_closed_once() -> None:
    entries: list[str] = []
    cavity = rectifying(8, 12, seed=5)

    class Watched(type(cavity)):  # type: ignore[misc]
        def __enter__(self) -> Self:
            entries.append("open")
            return self

        def __exit__(self, *_: object) -> None:
            entries.append("closed")

    shared = Watched(cavity._function, cavity.spec)
    port = physnet.Port(shared)
    layers = [
        PhysicalLayer(
            port=port, inputs=FEATURES, width=FEATURES, encoder=Split(), seed=n, nonlinearity="none", name=f"layer{n}"
        )
        for n in range(3)
    ]
    _, after, trainer = accuracy_before_and_after(
        Network(layers, features=FEATURES), MonoForward(learning_rate=0.02), epochs=15
    )
    assert entries == ["open", "closed"]
    assert after >= 0.8
    assert port.count.passes == sum(trainer.passes.values())
    assert trainer.passes["train"] == 3 * 120 * 15


def test_a_need_that_nobody_serves_is_refused_before_anything_is_measured() -> None:
    class Impossible(Pepita):
        needs: ClassVar[frozenset[Any]] = frozenset({type("Oracle", (), {"value": "oracle"})()})

    layer = PhysicalLayer(
        port=physnet.Port(rectifying(8, 8, 1)), inputs=4, width=3, encoder=Split(), seed=0, name="layer0"
    )
    with pytest.raises(physnet.InputError, match="oracle"):
        physnet.Trainer(Network([layer], features=4), Impossible(), blobs(), classes=CLASSES)
    assert layer.port.count.passes == 0
