"""What the layers of a network receive: in a chain what the layer below sends up, else the sample again.

Axis letters: N rows, I inputs, C classes.
"""

from __future__ import annotations

import torch

from .contracts import Passes
from .network import Network
from .rules.base import Batch, LocalRule, Refeeds


def learning_rows(network: Network, rule: LocalRule, batch: Batch) -> list[torch.Tensor]:
    """Return what layers learn from, as far as it is known before anything was measured.

    Args:
        network: The network.
        rule: Its rule.
        batch: Samples and labels.

    Returns:
        What the lowest layer receives; what every layer receives where all are fed the sample, bottom up.
    """
    if isinstance(rule, Refeeds):
        return [rule.layer_rows(network, batch, number=number) for number in range(len(network))]
    return [rule.training_rows(network, batch)]


class Refeed:
    """The way of samples through a network whose layers are all fed them again, to classify.

    Args:
        network: The network.
        rule: Its rule.
        features_NI: Samples, shape `(n, features)`.
    """

    def __init__(self, network: Network, rule: Refeeds, features_NI: torch.Tensor) -> None:
        self._network, self._rule, self._features_NI = network, rule, features_NI
        self._estimate_NC = features_NI.new_empty(0)

    def inputs(self, scores_NC: torch.Tensor | None, passes: Passes, *, number: int) -> torch.Tensor:
        """Return what a layer receives.

        Args:
            scores_NC: Scores of the layer below; None for the lowest.
            passes: Pass numbers of the rows.
            number: Number of the layer, from 0.
        """
        if scores_NC is None:
            self._estimate_NC = self._rule.first_estimate(self._network, self._features_NI, passes)
        else:
            self._estimate_NC = self._rule.next_estimate(
                self._network, self._estimate_NC, scores_NC, passes, number=number
            )
        return self._network.inputs(self._features_NI, shares_NC=self._rule.shares(self._estimate_NC))
