"""What the delayed node and the diode network tell of their steps, against finer ones, and their warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.simulators.diode_network import DiodeNetwork
from physnet.simulators.diode_solver import decay_error
from physnet.simulators.electronic_node import ElectronicNode
from physnet.simulators.numerics_warning import NumericsWarning

NODE: dict[str, Any] = {"drives": 5, "responses": 9}
NETWORK: dict[str, Any] = {"drives": 5, "responses": 14, "diodes": 6, "steps": 10}


@pytest.mark.parametrize("options", [{}, {"form": "mackey_glass", "exponent": 3.0, "shift": 2, "loops": 3}])
def test_a_node_tells_the_error_of_its_steps(options: dict[str, Any]) -> None:
    coarse, fine = (ElectronicNode(**NODE, **options, substeps=substeps) for substeps in (4, 128))
    drive = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    told = coarse.numerics(drive)
    responses = [torch.as_tensor(s.measure(drive, np.arange(6)).response).double() for s in (coarse, fine)]
    true = (responses[0] - responses[1]).abs().amax(1).numpy()
    # Of order 2: what is left out of the estimate is the next term, a tenth; float32 rounds responses by 6e-8.
    assert told.step_error_N == pytest.approx(true, rel=0.1, abs=2e-7)
    assert told.steps_per_time_constant == pytest.approx(20)
    assert told.linear_error == pytest.approx(1 / 20**2 / 8)
    assert 0 < told.step_error_N.max() < told.linear_error


def test_a_node_with_long_steps_warns_with_the_number() -> None:
    with pytest.warns(NumericsWarning, match=r"steps of 0.4 time constants leave out up to 2.00%") as caught:
        ElectronicNode(**NODE, spacing=96e-9, substeps=1)
    assert caught[0].filename == __file__
    ElectronicNode(**NODE, spacing=96e-9, substeps=2)


def test_a_network_tells_the_error_of_its_steps() -> None:
    coarse, fine = (DiodeNetwork(**{**NETWORK, "steps": steps}) for steps in (40, 640))
    drive = np.random.default_rng(0).uniform(-3, 3, (4, 5))
    told = coarse.numerics(drive)
    responses = [np.asarray(s.measure(drive, np.arange(4)).response, np.float64) for s in (coarse, fine)]
    # Order 2, with a next term of a tenth at these steps; float32 rounds 3 V by 2e-7.
    assert told.step_error_N == pytest.approx(np.abs(responses[0] - responses[1]).max(1), rel=0.2, abs=4e-7)
    assert told.steps_per_moment == 20
    # Voltages are within plus and minus 3 V: none decays from further away than 6 V.
    assert 0 < told.step_error_N.max() < 6 * told.decay_error


def test_the_largest_error_of_a_decay_is_of_order_two() -> None:
    assert decay_error(100) == pytest.approx(0.0404 * 27 * np.exp(-3) / 100**2, rel=0.05)
    assert decay_error(10) / decay_error(20) == pytest.approx(4, rel=0.15)
    assert 0.02 < decay_error(1) < 0.3


def test_a_network_with_few_steps_warns_with_the_number() -> None:
    with pytest.warns(
        NumericsWarning, match=r"2 steps until the first moment leave an error of up to \d\.\d\d%"
    ) as caught:
        DiodeNetwork(**{**NETWORK, "steps": 4})
    assert caught[0].filename == __file__
    DiodeNetwork(**NETWORK)
