"""A small network trained on digits through a system, with what it answered to each test sample."""

from __future__ import annotations

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


def trained(
    system: PhysicalSystem,
    *,
    seed: int,
    train: int = 200,
    test: int = 150,
    epochs: int = 4,
    learning_rate: float = 5e-3,
    encoder: Encoder | None = None,
    port: Port | None = None,
) -> tuple[NDArray[np.bool_], physnet.Trainer]:
    """Train one layer, everything through the physics; return which test samples were answered right.

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
    trainer = physnet.Trainer(
        network,
        MonoForward(learning_rate=learning_rate),
        splits,
        classes=10,
        options=TrainingOptions(epochs=epochs, batch_size=50, standardise_rows=100, evaluation_batch=200),
        seed=seed,
    )
    with network:
        for _ in range(epochs * trainer.steps_per_epoch):
            trainer.step()
        predicted = trainer.evaluate("test").predicted
    return predicted == splits.test.y, trainer


def differ(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether two accuracies on the same samples differ, by McNemar's test at three standard errors.

    Of the samples that only one of the two gets right, b and c, each is as likely under no difference: b - c has a
    standard deviation of sqrt(b + c).
    """
    b, c = int((one & ~other).sum()), int((other & ~one).sum())
    return bool(abs(b - c) > 3 * max(1.0, (b + c) ** 0.5))
