"""A small network trained on digits through a system, with what it answered to each test sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import physnet
from physnet.contracts import PhysicalSystem
from physnet.data import Splits, Subset, load, split
from physnet.encoders import Encoder, Split
from physnet.layer import DigitalMap, PhysicalLayer
from physnet.network import Network
from physnet.port import Port
from physnet.rules.mono_forward import MonoForward
from physnet.seeding import derive_seed
from physnet.training_options import TrainingOptions


def digits(train: int, test: int, seed: int) -> Splits:
    """Some samples of scikit-learn's digits, 0 to 1."""
    found = split(load("digits"), by="row", test_fraction=0.2, validation_fraction=0.1, seed=seed, train_limit=train)
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    cut = {name: (part.x[:test], part.y[:test], part.index[:test]) for name, part in parts.items() if name != "train"}
    cut["train"] = (found.train.x, found.train.y, found.train.index)
    return Splits(**{name: Subset(x=x / 16.0, y=y, index=index) for name, (x, y, index) in cut.items()})


def trainer_of(
    system: PhysicalSystem,
    *,
    seed: int,
    train: int = 200,
    test: int = 150,
    epochs: int = 4,
    standardise: int = 100,
    learning_rate: float = 5e-3,
    encoder: Encoder | None = None,
    port: Port | None = None,
) -> physnet.Trainer:
    """Return a trainer of one layer, everything through the physics; its network is not open yet.

    Where the drive has no room for 64 pixels, a random map makes fewer numbers of them. The encoder is `split` when
    None; the port has the seed of the run when None.
    """
    splits = digits(train, test, seed)
    port = port or Port(system, seed=seed)
    encoder = encoder or Split()
    room = next(n for n in range(1, 65) if encoder.channels(n) >= min(system.spec.drive.channels, encoder.channels(64)))
    layer = PhysicalLayer(
        port=port,
        inputs=64,
        width=48,
        encoder=encoder,
        seed=seed,
        before=DigitalMap.make("random", 64, room, seed=derive_seed(seed, "before")) if room < 64 else None,
        nonlinearity="relu",
    )
    network = Network([layer], features=64)
    return physnet.Trainer(
        network,
        MonoForward(learning_rate=learning_rate),
        splits,
        classes=10,
        options=TrainingOptions(epochs=epochs, batch_size=50, standardise_rows=standardise, evaluation_batch=200),
        seed=seed,
    )


def answers(trainer: physnet.Trainer) -> NDArray[np.bool_]:
    """Train an open network to the end, and return which test samples were answered right."""
    for _ in range(trainer.options.epochs * trainer.steps_per_epoch):
        trainer.step()
    return np.asarray(trainer.evaluate("test").predicted == trainer.data.test.y)


def trained(system: PhysicalSystem, **options: Any) -> tuple[NDArray[np.bool_], physnet.Trainer]:
    """Open a system, train one layer through it, and return which test samples were answered right.

    Args:
        system: It is left afterwards.
        options: See `trainer_of`.
    """
    trainer = trainer_of(system, **options)
    with trainer.network:
        return answers(trainer), trainer


def differ(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether two accuracies on the same samples differ, by McNemar's test at three standard errors.

    Of the samples that only one of the two gets right, b and c, each is as likely under no difference: b - c has a
    standard deviation of sqrt(b + c).
    """
    b, c = int((one & ~other).sum()), int((other & ~one).sum())
    return bool(abs(b - c) > 3 * max(1.0, (b + c) ** 0.5))
