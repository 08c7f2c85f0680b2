"""What is fitted and told before step 0."""

import numpy as np
import pytest
import torch

import physnet
from physnet.encoders import Absolute
from physnet.layer import PhysicalLayer
from physnet.network import Network
from physnet.records import ResponseStatistics
from physnet.standardisation import fit_standardisation


def describe(levels: int | None) -> tuple[physnet.PhysicalLayer, ResponseStatistics]:
    """Describe a layer whose response is its drive, rounded to so many levels."""

    def box(
        drive: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return drive if levels is None else np.round(drive * levels) / levels

    port = physnet.Port(physnet.system(box, drives=40, responses=40), dtype=torch.float64)
    layer = PhysicalLayer(port=port, inputs=40, width=5, encoder=Absolute(), seed=0)
    rows = torch.rand(500, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (described,) = fit_standardisation(Network([layer], features=40), rows)
    return layer, described


@pytest.mark.parametrize("levels", [None, 255, 1000])
def test_a_histogram_holds_every_value_and_does_not_beat_with_converter_codes(levels: int | None) -> None:
    _, described = describe(levels)
    assert described.histogram.sum() == described.rows * 40
    assert described.histogram.shape == (64,) and described.edges.shape == (65,)
    # The drives are uniform between 0 and 1 but for the normalisation of each row to its maximum. 20 000 values in 64
    # bins are 312 a bin, with a standard deviation of 18; codes that beat with the bins would differ by a third.
    inner = described.histogram[2:-8].astype(float)
    inner = inner[inner > 0][:-1]
    assert np.abs(np.diff(inner)).max() < 100


def test_each_channel_is_brought_to_zero_mean_and_unit_variance() -> None:
    layer, described = describe(None)
    assert np.allclose(layer.mean_R.numpy(), described.mean, rtol=1e-12)
    assert np.allclose(layer.scale_R.numpy(), described.deviation, rtol=1e-12)
