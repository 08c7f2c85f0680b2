"""The field that is shown at a receiver is S21."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.simulators.drift import Drift
from physnet.simulators.programmable_cavity import ProgrammableCavity
from physnet.viewing import Viewable

SMALL: dict[str, Any] = {"size": (0.7, 0.6), "scatterers": 2, "wall_spacing": 0.05, "drives": 8, "responses": 12}
SMALL |= {"frequencies": (2.4e9, 2.45e9, 2.5e9)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"response": "modulus", "control": "continuous"},
        {"control": "2-bit", "trainable": 3},
        {"stretch": Drift(rate=1e-2), "stretch_step": 1e-6},
    ],
    ids=["one bit", "continuous", "two bits", "stretched"],
)
def test_the_field_at_the_receivers_is_the_response(options: dict[str, Any]) -> None:
    system = ProgrammableCavity(**{**SMALL, **options})
    drives = np.random.default_rng(0).integers(0, 2, (2, 8)).astype(np.float64)
    system.measure(drives[:1], np.zeros(1, np.int64))  # time passes, where there is any
    field = system.field(drives[1], frames=4, pixels=100)
    expected = system.measure(drives[1:], np.zeros(1, np.int64)).response[0]
    assert isinstance(system, Viewable) and field.readout is not None
    # The whole cavity is solved instead of what is left of it: condition numbers of some 1e3 times rounding of 1e-16,
    # over some hundred terms that are summed.
    assert np.abs(field.readout - expected).max() < 1e-10 * np.abs(expected).max()


def test_a_map_is_the_field_of_the_dipoles_between_them() -> None:
    system = ProgrammableCavity(**SMALL)
    drive = np.ones(8)
    field = system.field(drive, frames=5, pixels=300)
    values_FYX = field.panels[0].images[0].values
    assert values_FYX.shape[0] == len(field.at_F) <= 5 and values_FYX[0].size <= 300
    assert set(SMALL["frequencies"]) <= {float(np.round(f, 3)) for f in field.at_F}
    # A receiver put in the middle of a pixel would read the pixel: so does one more dipole, too weak to be felt.
    view = system._view
    place_X2, shape = view._grid(300)
    moment_PT = system._cavity.moments(drive, 1.0)
    sent_X = view._sent(place_X2, moment_PT[:, :1], 1.0)[:, 0]
    at_centre = int(np.argmin(np.abs(field.at_F - 2.45e9)))
    np.testing.assert_allclose(values_FYX[at_centre].ravel(), np.abs(sent_X), rtol=1e-9)
    assert values_FYX[0].shape == shape


def test_the_spectra_show_the_responses_where_they_are_read() -> None:
    system = ProgrammableCavity(**SMALL)
    drive = np.zeros(8)
    field = system.field(drive, frames=9, pixels=50)
    response_JTF = np.abs(system.measure(drive[None], np.zeros(1, np.int64)).response[0].reshape(2, 2, 3))
    for receiver in (0, 1):
        curve = field.panels[1].curves[receiver]
        for f, frequency in enumerate(SMALL["frequencies"]):
            shown = curve.y_T[np.argmin(np.abs(curve.x_T - frequency))]
            assert shown == pytest.approx(response_JTF[receiver, 0, f], rel=1e-9)


def test_the_geometry_holds_every_dipole() -> None:
    system = ProgrammableCavity(**SMALL, trainable=4)
    (panel,) = system.geometry().panels
    counts = {points.label.partition(" ")[2]: len(points.x_K) for points in panel.points}
    assert counts["driven elements"] == 8 and counts["trainable elements"] == 4
    assert counts["transmitters"] == counts["receivers"] == 2
    assert sum(counts.values()) == len(system._cavity.places)
    assert max(points.x_K.max() for points in panel.points) == pytest.approx(0.7)
