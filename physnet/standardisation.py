"""The first look at the physics: what each layer answers to a sample of the training split, before step 0."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import Flag, Reading
from .network import Network
from .passes import Purpose, pass_numbers
from .records import ResponseStatistics

_BINS = 64
# More different values than this are taken as continuous.
_CODES = 4096


def fit_standardisation(network: Network, *rows_NI: torch.Tensor) -> list[ResponseStatistics]:
    """Fit every layer's mean and scale, bottom up, and describe what was measured.

    Args:
        network: The network, its systems open. Each layer is driven with what the layer below emits once it is fitted.
        rows_NI: Training rows to present to the lowest layer, shape `(n, inputs)`; those of every layer, bottom up,
            where all are fed the sample.

    Returns:
        One description per layer.

    Raises:
        DriveError, ResponseError, MeasurementError: See `Port.measure`.
    """
    described = []
    inputs = rows_NI[0]
    for number, layer in enumerate(network):
        if number < len(rows_NI):
            inputs = rows_NI[number]
        passes = pass_numbers(Purpose.STANDARDISE, layer=number, rows=len(inputs))
        reading = layer.present(inputs, passes).reading
        dead = layer.fit_standardisation(reading)
        described.append(_describe(number, layer.port.spec.response.unit, reading, dead))
        inputs = layer.outputs(layer.features_of(reading, inputs))
    return described


def _describe(layer: int, unit: str, reading: Reading, dead: int) -> ResponseStatistics:
    response = torch.as_tensor(reading.response)
    flat = (response.abs() if response.is_complex() else response).flatten(1).cpu().numpy().astype(np.float64)
    histogram, edges = np.histogram(flat, bins=_edges(flat))
    flags = reading.flags if reading.flags is not None else np.zeros(len(flat), np.uint8)
    return ResponseStatistics(
        layer=layer,
        unit=unit,
        mean=flat.mean(0),
        deviation=flat.std(0),
        minimum=flat.min(0),
        maximum=flat.max(0),
        histogram=histogram.astype(np.int64),
        edges=edges,
        rows=len(flat),
        dead_channels=dead,
        clipped_rows=int(np.count_nonzero(flags & Flag.CLIPPED)),
    )


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return bin edges over all values; of converter codes, each bin holds equally many, or the counts would beat."""
    levels = np.unique(values)
    steps = np.diff(levels)
    if not 1 < len(levels) <= _CODES or steps.max() > _CODES * steps.min():
        return np.histogram_bin_edges(values, bins=_BINS)
    step = float(steps.min())
    codes = round(float(levels[-1] - levels[0]) / step) + 1
    width = step * -(-codes // _BINS)
    edges: NDArray[np.float64] = levels[0] - step / 2 + width * np.arange(_BINS + 1)
    return edges
