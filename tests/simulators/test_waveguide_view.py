"""The pulse that is shown at the end of a waveguide is the one that the detector takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.simulators.nonlinear_waveguide import NonlinearWaveguide
from physnet.testing import random_drives
from physnet.viewing import Viewable

SMALL: dict[str, Any] = {"drives": 8, "responses": 6, "length": 2.0, "steps": 24, "backend": "torch"}


def shown(**options: Any) -> tuple[NonlinearWaveguide, NDArray[Any], NDArray[Any]]:
    system = NonlinearWaveguide(**{**SMALL, **options})
    drive = random_drives(system.spec, rows=1, seed=1)
    assert isinstance(drive, torch.Tensor)
    response = system.measure(drive, np.zeros(1, np.int64)).response
    assert isinstance(response, torch.Tensor)
    return system, drive[0].numpy(), response[0].numpy()


def within(edge: NDArray[Any], x: NDArray[Any], density: NDArray[Any]) -> NDArray[Any]:
    """Integrate a density that is constant over each cell between edges."""
    cell = x[1] - x[0]
    share = np.clip(np.minimum(x[:, None] + cell / 2, edge[1:]) - np.maximum(x[:, None] - cell / 2, edge[:-1]), 0, None)
    return np.asarray(density @ share)


@pytest.mark.parametrize("options", [{}, {"order": 4}, {"raman_fraction": 0.18}], ids=["order 2", "order 4", "late"])
def test_the_spectrum_at_the_end_adds_up_to_the_response(options: dict[str, Any]) -> None:
    system, drive, response = shown(**options)
    field = system.field(drive, frames=7)
    assert isinstance(system, Viewable) and field.at_F[0] == 0 and field.at_F[-1] == 2.0
    assert np.array_equal(field.readout, response)  # type: ignore[arg-type]  # the same solver took the last picture
    (curve,) = field.panels[1].curves
    span = field.panels[1].span
    assert span is not None
    energy = within(np.linspace(*span, len(response) + 1), curve.x_T, curve.y_T[-1])
    # Shares of bins and sums in single precision, over some hundred bins: 1e-5 at the most.
    np.testing.assert_allclose(energy, response, rtol=1e-5, atol=1e-5 * response.max())


def test_the_power_at_the_end_adds_up_to_the_response_in_time() -> None:
    system, drive, response = shown(response="time", precision="double")
    field = system.field(drive, frames=4)
    (curve,) = field.panels[0].curves
    span = field.panels[0].span
    assert span is not None
    energy = within(np.linspace(*span, len(response) + 1), curve.x_T, curve.y_T[-1])
    np.testing.assert_allclose(energy, response, rtol=1e-11)  # double precision, a thousand samples


def test_pictures_on_the_way_keep_the_energy_and_follow_each_other() -> None:
    system, drive, _ = shown(attenuation=0.0, precision="double")
    field = system.field(drive, frames=9)
    power_FT = field.panels[0].curves[0].y_T
    assert power_FT.shape[0] == len(field.at_F) == 9
    energy_F = power_FT.sum(1) * system.grid.step
    np.testing.assert_allclose(energy_F, energy_F[0], rtol=1e-12)  # the splitting is unitary; double precision
    # A step of an eighth of the guide changes a pulse, and less than the whole guide does.
    near = np.abs(power_FT[1] - power_FT[0]).max()
    assert 0 < near < np.abs(power_FT[-1] - power_FT[0]).max()


def test_a_curve_has_no_more_samples_than_asked_for() -> None:
    system, drive, _ = shown()
    field = system.field(drive, frames=3, pixels=50)
    assert all(curve.y_T.shape[-1] <= 50 for panel in field.panels for curve in panel.curves)


def test_the_geometry_shows_the_bands() -> None:
    system, _, _ = shown()
    spectrum, pulse = system.geometry().panels
    labels = [curve.label for curve in spectrum.curves]
    assert labels == ["unshaped pulse", "shaper's bands", "detector's bands"]
    assert "dispersion length" in pulse.title and "nonlinear length" in pulse.title
