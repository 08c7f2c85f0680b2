"""Speed of the digital part on the reference vowel setting, against a plain autograd loop of the same mathematics.

The setting: 206 training tokens, 12 formants and 7 label slots plus a constant in 20 inputs, two layers of 40 -> 20
(20 responses and a skip of 20), 10 inner steps, 200 epochs of one full batch, and a fixed complex matrix with a modulus
for the physics. Both run in this process, one after the other, over the same seeds; the time spent inside the physics
is measured and left out of both. physnet's time holds all it does beside: checks, play order, counting, the test.

    python benchmarks/phyll_vowels.py [--seeds 5]
"""

from __future__ import annotations

import physnet  # isort: skip  # before torch: docs/decisions/0006

import argparse
import time

import numpy as np
import torch
from torch.nn import functional

from physnet.data import Dataset, FeatureScaling, Splits, Subset, load, split
from physnet.encoders import Absolute
from physnet.errors import DataError
from physnet.rules.phyll import PhyLL

EPOCHS, INNER, THETA, RATE, WIDTH, CLASSES, INPUTS = 200, 10, 4.0, 5e-4, 20, 7, 20


def samples() -> Dataset:
    """Return the vowels; without the file, tokens of the same shape, which cost the same time."""
    try:
        return load("vowels")
    except DataError:
        random = np.random.default_rng(0)
        x = random.standard_normal((258, 12)).astype(np.float32)
        names = tuple("abcdefg")
        return Dataset(name="stand-in", x=x, y=np.arange(258, dtype=np.int64) % 7, classes=names, shape=(12,))


def matrix(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    real, imaginary = random.standard_normal((2, INPUTS, WIDTH)).astype(np.float32)
    return ((real + 1j * imaginary) / np.sqrt(2 * INPUTS)).astype(np.complex64)


def padded(part: Subset, scaling: FeatureScaling) -> Subset:
    """Scale the formants and add a constant: 12 + 1 + 7 label slots fill 20 inputs."""
    x = np.hstack([scaling(part.x), np.ones((len(part), 1), np.float32)])
    return Subset(x=x, y=part.y, index=part.index)


def with_physnet(data: Splits, seed: int) -> tuple[float, float]:
    """Return seconds outside and inside the system."""
    ports = []
    for layer in range(2):
        transfer = torch.from_numpy(matrix(100 * seed + layer))
        system = physnet.system(
            lambda drive, transfer=transfer: (drive.to(torch.complex64) @ transfer).abs(),
            drives=INPUTS,
            responses=WIDTH,
            dtype="float32",
            array="torch",
        )
        ports.append(physnet.Port(system, seed=seed))
    layers = [
        physnet.PhysicalLayer(
            port=port,
            inputs=INPUTS,
            width=WIDTH,
            encoder=Absolute(scale="l2"),
            seed=seed,
            skip=True,
            name=f"layer{number}",
        )
        for number, port in enumerate(ports)
    ]
    slots = physnet.LabelSlots(classes=CLASSES, amplitude=float(np.abs(data.train.x).max()))
    network = physnet.Network(layers, features=INPUTS - CLASSES, slots=slots)
    rule = PhyLL(theta=THETA, inner_steps=INNER, learning_rate=RATE)
    options = physnet.TrainingOptions(epochs=EPOCHS, batch_size="all")
    with network:
        trainer = physnet.Trainer(network, rule, data, classes=CLASSES, options=options, seed=seed)
        began = time.perf_counter()
        trainer.run()
        total = time.perf_counter() - began
    return total - network.count.seconds, network.count.seconds


def with_autograd(data: Splits, seed: int) -> tuple[float, float]:
    """Train the same by hand, with `loss.backward()` and `torch.optim.Adam`; return seconds outside and inside."""
    torch.manual_seed(seed)
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    amplitude = float(x.abs().max())
    layers = []
    for layer in range(2):
        weight = (torch.randn(2 * INPUTS, WIDTH) / (2 * INPUTS) ** 0.5).requires_grad_()
        bias = torch.zeros(WIDTH, requires_grad=True)
        xi = functional.normalize(torch.randn(WIDTH), dim=0)
        transfer = torch.from_numpy(matrix(100 * seed + layer))
        layers.append((weight, bias, xi, transfer, torch.optim.Adam([weight, bias], lr=RATE)))
    inside = 0.0
    began = time.perf_counter()
    for _ in range(EPOCHS):
        wrong = (y + torch.randint(1, CLASSES, y.shape)) % CLASSES
        slots = functional.one_hot(torch.cat([y, wrong]), CLASSES) * amplitude
        h = torch.cat([torch.cat([x, x]), slots], dim=1)
        for weight, bias, xi, transfer, optimiser in layers:
            start = time.perf_counter()
            with torch.no_grad():
                drive = functional.normalize(h.abs(), dim=1)
                response = (drive.to(torch.complex64) @ transfer).abs()
            inside += time.perf_counter() - start
            f = torch.cat([response, h], dim=1).detach()
            for _ in range(INNER):
                goodness = functional.cosine_similarity((f @ weight + bias).abs(), xi, dim=1)
                gap = goodness[: len(y)] - goodness[len(y) :]
                loss = functional.softplus(-THETA * gap).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            h = (f @ weight + bias).detach()
    return time.perf_counter() - began - inside, inside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    dataset = samples()
    print(f"{dataset.name}: 206 training tokens, 2 layers 40 -> 20, {INNER} inner steps, {EPOCHS} epochs, full batch")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'seed':>4} {'physnet / s':>12} {'its system / s':>15} {'autograd / s':>13} {'autograd / physnet':>19}")
    ratios = []
    for seed in range(-1, arguments.seeds):
        cut = split(dataset, seed=max(seed, 0), validation_fraction=0.0)
        scaling = FeatureScaling.fit("standard", cut.train.x)
        data = Splits(
            train=padded(cut.train, scaling), validation=padded(cut.validation, scaling), test=padded(cut.test, scaling)
        )
        digital, system = with_physnet(data, max(seed, 0))
        plain, _ = with_autograd(data, max(seed, 0))
        if seed < 0:  # warm-up
            continue
        ratios.append(plain / digital)
        print(f"{seed:>4} {digital:>12.3f} {system:>15.3f} {plain:>13.3f} {ratios[-1]:>19.2f}")
    print(f"median ratio autograd / physnet: {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
