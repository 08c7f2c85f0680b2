"""The speckle of all elements together is what the camera takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing import random_drives
from physnet.viewing import Viewable, field_of


@pytest.mark.parametrize(
    "options",
    [
        {"camera": "intensity"},
        {"modulator": "phase", "pooling": 2},
        {"passes_through": 3, "signed": True, "saturation": 1.0},
        {"turn": Drift(rate=30.0), "passes_through": 2},
    ],
    ids=["intensity", "phase", "round trips", "turning"],
)
def test_the_last_speckle_is_what_the_camera_takes(options: dict[str, Any]) -> None:
    system = ScatteringMedium(drives=10, responses=12, **options)
    rows = random_drives(system.spec, rows=3, seed=4)
    assert isinstance(rows, torch.Tensor) and isinstance(system, Viewable)
    system.measure(rows[:2], np.zeros(2, np.int64))  # time passes, where there is any
    field = system.field(rows[2].numpy())
    response = system.measure(rows[2:], np.zeros(1, np.int64)).response[0].numpy()
    # Sums of ten terms in single precision instead of double, 6e-8 each, and their squares.
    assert field.readout is not None
    np.testing.assert_allclose(field.readout, response, atol=1e-5 * response.max())
    light = field.panels[1].images[0].values[-1].ravel()
    light = light[np.isfinite(light)]
    if options == {"camera": "intensity"}:
        np.testing.assert_allclose(light, response, atol=1e-5 * response.max())
    assert len(light) == len(response) * options.get("pooling", 1)
    assert field.at_F[-1] == 10


def test_the_first_frame_is_the_light_of_one_element() -> None:
    system = ScatteringMedium(drives=9, responses=16)
    drive = np.linspace(0.2, 1, 9, dtype=np.float32)
    first = system.field(drive).panels[1].images[0].values[0].ravel()
    expected = (system.matrix[:, 0].abs() * drive[0]).square().numpy()
    np.testing.assert_allclose(first, expected, rtol=1e-6)  # single precision on one side


def test_with_shot_noise_the_picture_has_no_read_out() -> None:
    system = ScatteringMedium(drives=4, responses=4, photoelectrons=100.0)
    assert system.field(np.ones(4, np.float32)).readout is None


def test_pictures_are_bounded_and_unlit_elements_are_empty() -> None:
    system = ScatteringMedium(drives=30, responses=500)
    field = system.field(np.ones(30, np.float32), frames=5, pixels=100)
    pattern, light, _ = field.panels
    assert len(field.at_F) == 5 and light.images[0].values[0].size <= 100 and "100 of 500" in light.title
    lit_F = np.isfinite(pattern.images[0].values).sum((1, 2))
    assert np.array_equal(lit_F, field.at_F)
    assert len(system.geometry().panels) == 2


def test_behind_impairments_the_field_is_that_of_what_the_converter_leaves() -> None:
    medium = ScatteringMedium(drives=6, responses=5)
    drive = np.array([0.0, 0.1, 0.3, 0.6, 0.9, 1.0], np.float32)
    shown, sent, wrapped = field_of(Impaired(Impaired(medium, noise=0.1), dac_bits=2), drive)
    assert shown is medium and wrapped
    np.testing.assert_allclose(sent, np.array([0, 0, 1, 2, 3, 3]) / 3, atol=1e-6)  # four levels
    plain, same, wrapped = field_of(medium, drive)
    assert plain is medium and same is drive and not wrapped
