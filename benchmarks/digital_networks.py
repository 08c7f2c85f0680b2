"""Small digital networks for MNIST beside physical ones, see equal_cost.py: dense, convolutional, separable.

Axis letters: N samples; C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

SIDE, CLASSES = 28, 10
_BATCH, _EVALUATED = 128, 5000

Part = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Digital:
    """A digital network, made anew for every training."""

    name: str
    make: Callable[[], nn.Module]
    coding: int = SIDE * SIDE

    @property
    def work(self) -> int:
        """Multiply-adds to classify a sample: every dense and convolutional layer; normalisation folds into them."""
        model, total = self.make().eval(), 0

        def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
            nonlocal total
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            each = layer.weight[0].numel()  # multiply-adds for one number that comes out
            total += each * output.numel()

        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        with torch.no_grad():
            model(torch.zeros(1, SIDE * SIDE))
        return total

    def train(self, parts: Sequence[Part], *, rate: float, seed: int, epochs: int) -> tuple[float, float]:
        """Return validation and test accuracy, 0 to 1, of the epoch with the best validation.

        Args:
            parts: Features and classes of train, validation and test.
            rate: Adam's first step size; it falls to zero as a cosine.
            seed: Of weights and order.
            epochs: Passes over the training split.
        """
        torch.manual_seed(seed)
        return descend(self.make(), standardised(parts), rate=rate, seed=seed, epochs=epochs)


def softmax_regression(parts: Sequence[Part], *, rate: float, seed: int, epochs: int) -> tuple[float, float]:
    """Return validation and test accuracy of a linear classifier. Args as `Digital.train`."""
    torch.manual_seed(seed)
    model = nn.Linear(parts[0][0].shape[1], CLASSES)
    return descend(model, standardised(parts), rate=rate, seed=seed, epochs=epochs)


def standardised(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with zero mean and unit variance of each feature over the training split."""
    train = parts[0][0]
    mean, deviation = train.mean(0), train.std(0)
    scale = torch.where(deviation > 1e-3 * deviation.square().mean().sqrt(), deviation, torch.inf)
    return [((features - mean) / scale, classes) for features, classes in parts]


def descend(model: nn.Module, parts: Sequence[Part], *, rate: float, seed: int, epochs: int) -> tuple[float, float]:
    """Train by backpropagation; return validation and test accuracy of the epoch with the best validation."""
    (features, classes), validation, test = parts
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    order = torch.Generator().manual_seed(seed)
    steps, step, best, tested = epochs * math.ceil(len(features) / _BATCH), 0, -1.0, math.nan
    for _ in range(epochs):
        model.train()
        for rows in torch.split(torch.randperm(len(features), generator=order), _BATCH):
            for group in optimiser.param_groups:
                group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
            optimiser.zero_grad()
            functional.cross_entropy(model(features[rows]), classes[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
        model.eval()
        if (found := accuracy(model, validation)) > best:
            # Weights of the best epoch answer the test split; the answer is looked at for the best alone.
            best, tested = found, accuracy(model, test)
    return best, tested


@torch.no_grad()
def accuracy(model: nn.Module, part: Part) -> float:
    """Return the share of a part that is classified rightly, 0 to 1."""
    right = sum(
        int((model(features).argmax(1) == classes).sum())
        for features, classes in zip(torch.split(part[0], _EVALUATED), torch.split(part[1], _EVALUATED), strict=True)
    )
    return right / len(part[0])


class _Image(nn.Module):
    """Rows to images of one channel, by the mean of `pooled` x `pooled` pixels."""

    def __init__(self, pooled: int = 1) -> None:
        super().__init__()
        self._pooled = pooled

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        images_NCHW = rows.reshape(-1, 1, SIDE, SIDE)
        return functional.avg_pool2d(images_NCHW, self._pooled)


def dense(*widths: int, pooled: int = 1) -> nn.Module:
    """Return a rectified dense network on the image, or on its mean over squares of pixels."""
    layers: list[nn.Module] = [_Image(pooled), nn.Flatten()]
    before = (SIDE // pooled) ** 2
    for width in widths:
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, CLASSES))


def _convolved(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _separable(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
    """Each channel convolved by itself, then mixed pixel by pixel."""
    alone = nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False)
    return [alone, nn.BatchNorm2d(inputs), nn.ReLU(), *_convolved(inputs, outputs, size=1)]


def _small_separable() -> nn.Module:
    features = [*_convolved(1, 8, stride=2), *_separable(8, 16, stride=2)]  # 14 -> 7 -> 4 pixels
    return nn.Sequential(_Image(2), *features, nn.Flatten(), nn.Linear(16 * 16, CLASSES))


def _convolutional() -> nn.Module:
    features = [*_convolved(1, 4, size=5, stride=2), *_convolved(4, 16, stride=2), *_convolved(16, 16, stride=2)]
    return nn.Sequential(_Image(), *features, nn.Flatten(), nn.Linear(16 * 16, CLASSES))


def _large_separable() -> nn.Module:
    features = [*_convolved(1, 8, stride=2), *_separable(8, 16), *_separable(16, 32, stride=2)]
    last = _separable(32, 12, stride=2)  # 7 -> 4 pixels
    return nn.Sequential(_Image(), *features, *last, nn.Flatten(), nn.Linear(12 * 16, CLASSES))


DIGITAL: dict[int, tuple[Digital, ...]] = {
    10_000: (
        Digital("softmax regression", dense),
        Digital("dense, 12 hidden", lambda: dense(12)),
        Digital("dense on 14 x 14, 48 hidden", lambda: dense(48, pooled=2)),
        Digital("separable convolutions on 14 x 14", _small_separable),
    ),
    100_000: (
        Digital("dense, 125 hidden", lambda: dense(125)),
        Digital("dense on 14 x 14, 256 and 180 hidden", lambda: dense(256, 180, pooled=2)),
        Digital("convolutions", _convolutional),
        Digital("separable convolutions", _large_separable),
    ),
}
"""Networks within a number of multiply-adds."""
