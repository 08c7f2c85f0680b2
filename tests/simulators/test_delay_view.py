"""What is shown in the delay line at the end of a row is what the virtual nodes are read as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.simulators.electronic_node import ElectronicNode
from physnet.testing import random_drives
from physnet.viewing import Viewable


@pytest.mark.parametrize(
    "options",
    [{}, {"shift": 3, "form": "mackey_glass"}, {"memory": True, "signed": True, "loops": 1}],
    ids=["ikeda", "shifted", "memory"],
)
def test_the_delay_line_at_the_end_holds_the_response(options: dict[str, Any]) -> None:
    system = ElectronicNode(drives=5, responses=12, substeps=3, **options)
    rows = random_drives(system.spec, rows=3, seed=1)
    assert isinstance(rows, torch.Tensor) and isinstance(system, Viewable)
    system.measure(rows[:2], np.zeros(2, np.int64))  # remembered, where it is
    field = system.field(rows[2].numpy(), frames=9)
    response = system.measure(rows[2:], np.zeros(1, np.int64)).response[0].numpy()
    line, signal, nodes, _ = field.panels
    (curve,) = line.curves
    # Node v ends `nodes - 1 - v` spacings before the row does; float32 keeps what is float64 in the line.
    ago_V = (11 - np.arange(12)) * 3
    assert np.array_equal(curve.y_T[-1, ago_V].astype(np.float32), response)
    np.testing.assert_allclose(curve.x_T[ago_V], (11 - np.arange(12)) * 48e-9, rtol=1e-12)
    assert np.array_equal(nodes.curves[0].y_T, response)
    assert np.array_equal(field.readout, response)  # type: ignore[arg-type]
    assert len(field.at_F) == 9 and signal.span is not None
    assert signal.span[1] - signal.span[0] == pytest.approx(12 * 48e-9)


def test_the_line_moves_on_by_the_time_between_frames() -> None:
    system = ElectronicNode(drives=4, responses=10, substeps=2)
    field = system.field(np.full(4, 0.7, np.float32), frames=41)
    (curve,) = field.panels[0].curves
    assert len(field.at_F) == 41  # one for each of 2 x 10 x 2 steps, and the beginning
    assert np.array_equal(curve.y_T[1:, 1:], curve.y_T[:-1, :-1])


def test_numbers_are_bounded_and_the_mask_is_drawn() -> None:
    system = ElectronicNode(drives=4, responses=100)
    field = system.field(np.zeros(4, np.float32), frames=7, pixels=50)
    assert all(curve.y_T.shape[-1] <= 100 for panel in field.panels for curve in panel.curves)
    assert field.panels[0].curves[0].y_T.shape[0] == 7 and field.panels[0].curves[0].y_T.shape[1] <= 50
    mask, law = system.geometry().panels
    assert np.array_equal(mask.images[0].values, system.mask.numpy()) and "Ikeda, beta 0.8" in law.title


def test_the_portrait_has_a_delay_between_its_axes() -> None:
    system = ElectronicNode(drives=4, responses=10, substeps=2)
    (curve,) = system.field(np.full(4, 0.7, np.float32)).panels[3].curves
    # The second loop against the first: what the line held a delay of 20 steps before.
    assert np.array_equal(curve.x_T[20:], curve.y_T[:20])
