"""A linear read-out in closed form, from statistics that grow with every minibatch.

Axis letters: N rows, O outputs, K outputs and one constant, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from ..layer import PhysicalLayer
from .labels import one_hot

_LEAST_PULL = 1e-12


class RidgeHead:
    """Least squares of one-hot labels on activity, with a constant, pulled towards zero.

    Every row that was ever fitted counts alike. The sums are kept in double precision, and the solution is that of all
    rows at once, up to the order in which they were added.

    Args:
        layer: The layer whose output it reads; gives width, device and precision.
        classes: Number of classes.
        ridge: Pull towards zero, > 0, as a part of the mean square of the activity. The constant is spared.
    """

    def __init__(self, layer: PhysicalLayer, *, classes: int, ridge: float) -> None:
        self._classes, self._ridge = classes, ridge
        device, inputs = layer.weight_FO.device, layer.width + 1
        self._products_KK = torch.zeros(inputs, inputs, dtype=torch.float64, device=device)
        self._cross_KC = torch.zeros(inputs, classes, dtype=torch.float64, device=device)
        self._head_KC = layer.weight_FO.new_zeros(inputs, classes)

    def fit(self, activity_NO: torch.Tensor, labels_N: torch.Tensor, progress: float) -> torch.Tensor:
        """Add a minibatch and solve; return its scores from before, shape `(n, classes)`. There is no step to size."""
        scores_NC = self.scores(activity_NO)
        rows_NK = functional.pad(activity_NO, (0, 1), value=1.0).to(torch.float64)
        self._products_KK.addmm_(rows_NK.T, rows_NK)
        self._cross_KC.addmm_(rows_NK.T, one_hot(labels_N, self._classes, rows_NK))
        self._solve()
        return scores_NC

    def scores(self, activity_NO: torch.Tensor) -> torch.Tensor:
        """Return the fitted one-hot labels, shape `(n, classes)`."""
        return torch.addmm(self._head_KC[-1], activity_NO, self._head_KC[:-1])

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the sums and the solution, not copied."""
        return {"products": self._products_KK, "cross": self._cross_KC, "head": self._head_KC}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])

    def _solve(self) -> None:
        count = self._products_KK[-1, -1]  # the constant times itself, once a row
        pull_K = torch.full_like(self._products_KK[0], _LEAST_PULL)
        pull_K[:-1] += self._ridge * self._products_KK.diagonal()[:-1].mean() / count
        factor_KK = torch.linalg.cholesky(self._products_KK / count + torch.diag(pull_K))
        self._head_KC.copy_(torch.cholesky_solve(self._cross_KC / count, factor_KK))
