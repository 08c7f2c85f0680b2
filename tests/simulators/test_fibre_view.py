"""The light that is shown at the end of a fibre is what its camera integrates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.simulators.multimode_fibre import MultimodeFibre
from physnet.testing import random_drives
from physnet.viewing import Viewable

SMALL: dict[str, Any] = {"drives": 9, "responses": 9, "modes": 10, "length": 0.01, "backend": "torch"}
KERR: dict[str, Any] = {"peak_power": 1e6, "length": 2e-3}


def shown(**options: Any) -> tuple[MultimodeFibre, NDArray[Any], NDArray[Any]]:
    system = MultimodeFibre(**{**SMALL, **options})
    drive = random_drives(system.spec, rows=1, seed=1)
    assert isinstance(drive, torch.Tensor)
    response = system.measure(drive, np.zeros(1, np.int64)).response
    assert isinstance(response, torch.Tensor)
    return system, drive[0].numpy(), response[0].numpy()


@pytest.mark.parametrize(
    "options",
    [{}, {"modulator": "phase", "sections": 3, "coupling": 0.5}, KERR, {"pulse": 1e-12, "samples": 256}],
    ids=["linear", "coupled", "kerr", "pulse"],
)
def test_the_last_picture_integrated_over_a_pixel_is_the_response(options: dict[str, Any]) -> None:
    system, drive, response = shown(view=55e-6, **options)
    field = system.field(drive, frames=4, pixels=396**2)
    assert isinstance(system, Viewable) and field.at_F[0] == 0
    assert field.at_F[-1] == pytest.approx(options.get("length", 0.01))
    assert np.array_equal(field.readout, response)  # type: ignore[arg-type]
    image = field.panels[0].images[0]
    assert image.extent[1] == pytest.approx(55e-6 / 2)  # the picture is as wide as the camera sees
    end = image.values[-1].reshape(3, 132, 3, 132).mean((1, 3))
    # Points 0.14 um apart, in the middle of as many squares: the integral of a product of two fields, whose phase turns
    # by 4 pi NA / wavelength = 1.6 rad/um at most, is right within (1.6 * 0.14)^2 / 24 = 0.2 %; the largest is twice
    # some of the others.
    np.testing.assert_allclose(end.ravel() * 55e-6**2, response, atol=4e-3 * response.max())


@pytest.mark.parametrize("options", [{}, {"sections": 4, "coupling": 0.5}, {"pulse": 1e-12, "samples": 256}], ids=str)
def test_places_on_the_way_of_a_linear_fibre_lead_to_its_end(options: dict[str, Any]) -> None:
    # Shorter than the frames can follow, so that the last place before the end is near it.
    system, drive, _ = shown(length=4e-4, **options)
    launched_M = system.launched(torch.from_numpy(drive)[None])[0]
    (_, end_MT), *_ = list(system._view._linear(launched_M, [4e-4 * (1 - 1e-9)]))
    expected = system._end(system._launch.enter(torch.from_numpy(drive)[None]))[0].numpy()
    # Single precision of the system's own amplitudes; the place is 1e-9 before the end, of beats that are longer.
    np.testing.assert_allclose(end_MT.real, expected[:, 0], atol=2e-6 * np.abs(expected).max())
    np.testing.assert_allclose(end_MT.imag, expected[:, 1], atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("sections", [1, 3])
def test_stations_of_a_kerr_fibre_are_those_of_its_propagator(sections: int) -> None:
    system, drive, _ = shown(**KERR, sections=sections, **({"coupling": 0.3} if sections > 1 else {}))
    begun_NM2 = system._launch.enter(torch.from_numpy(drive)[None])
    steps = system.line.steps * sections
    stops = sorted({3, system.line.steps, steps - 2, steps})
    found = dict(system._propagator.stations(begun_NM2[0], stops))
    expected = system._propagator.propagate(begun_NM2)[0]
    # The same operations on one column instead of 128: sums in another order, 1e-7 a step at the most.
    scale = float(expected.abs().max())
    assert float((found[steps] - expected).abs().max()) < 1e-7 * steps * scale
    assert float((found[steps - 2] - expected).abs().max()) > 1e-3 * scale


def test_power_stays_in_the_modes_and_frames_follow_the_beats() -> None:
    system, drive, _ = shown(length=0.1)
    field = system.field(drive, frames=20, pixels=900)
    assert field.panels[0].images[0].values.shape == (20, 30, 30)
    assert np.diff(field.at_F[:-1]).max() <= system.scales.beat / 4 * (1 + 1e-9)
    assert "the last one is the end" in field.note
    (carried,) = field.panels[1].curves
    # A straight linear fibre leaves the power of each mode alone; the end is in single precision.
    np.testing.assert_allclose(carried.y_T, np.broadcast_to(carried.y_T[0], carried.y_T.shape), rtol=1e-5, atol=1e-9)


def test_the_geometry_shows_both_ends_and_some_modes() -> None:
    system, _, _ = shown()
    ends, *modes = system.geometry().panels
    assert [curve.label for curve in ends.curves] == ["core", "pixels of the camera", "pixels of the modulator"]
    assert len(modes) == 3 and all(panel.images[0].signed for panel in modes)
