"""The pressure that is shown is the pressure that the microphones hear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.simulators.acoustic import AcousticCavity
from physnet.testing import random_drives
from physnet.viewing import Viewable

SMALL: dict[str, Any] = {"size": (0.5, 0.4), "pitch": 0.02, "scatterers": 3, "sources": 4, "tones": (1000.0, 1400.0)}
SMALL |= {"slot": 5e-3, "slot_spacing": 2e-3, "reverberation": 0.02, "backend": "torch"}
ELEMENTS: dict[str, Any] = {"elements": 6, "threshold": 0.05, "element_damping": 5e3}


def cavity(**options: Any) -> AcousticCavity:
    return AcousticCavity(**{"drives": 12, "responses": 6, **SMALL, **options})


def row(system: AcousticCavity, seed: int = 0) -> np.ndarray[Any, Any]:
    drive = random_drives(system.spec, rows=1, seed=seed)
    assert isinstance(drive, torch.Tensor)
    return drive[0].numpy()


def response(system: AcousticCavity, drive: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = system.measure(torch.from_numpy(drive)[None], np.zeros(1, np.int64)).response
    assert isinstance(found, torch.Tensor)
    return found[0].numpy()


@pytest.mark.parametrize(
    "options",
    [{}, {"sides": ("absorbing", "closed", "soft", "closed"), "layer": 6, **ELEMENTS}, {"order": 4, "resonators": 2}],
    ids=["linear", "nonlinear", "resonant"],
)
def test_the_energies_of_the_pictures_at_the_microphones_are_the_response(options: dict[str, Any]) -> None:
    system = cavity(route="field", **options)
    drive = row(system)
    # Tones this low would be followed by few frames; a tone of eight times the step's frequency asks for every step.
    system._looks["tones"] = (1 / (8 * system.scheme.time_step),)
    field = system.field(drive, frames=system.steps)
    assert isinstance(system, Viewable) and len(field.at_F) == system.steps
    pressure_FYX = field.panels[0].images[0].values
    places = next(points for points in field.panels[0].points if points.kind == "receiver")
    y, x = ((place / system.scheme.grid.pitch).astype(int) for place in (places.y_K, places.x_K))
    first, _ = field.panels[1].span or (0.0, 0.0)
    heard_FM = pressure_FYX[:, y, x][field.at_F > first * (1 + 1e-9)]
    energy_M = (heard_FM.astype(np.float64) ** 2).sum(0) * system.scheme.time_step
    # The field has the same bits; the receiver adds some hundred squares in single precision: 1e-5 at the very most.
    np.testing.assert_allclose(energy_M, response(system, drive), rtol=1e-5)
    assert np.array_equal(field.readout, response(system, drive))  # type: ignore[arg-type]


def test_the_field_of_a_cavity_computed_as_a_matrix_gives_its_response() -> None:
    system = cavity()
    drive = row(system)
    field, expected = system.field(drive), response(system, drive)
    assert field.readout is not None
    # As for the two routes themselves: rounding adds up to 1e-5 of the field, twice of an energy.
    assert np.abs(field.readout - expected).max() < 2e-5 * expected.max()


def test_a_cavity_with_memory_is_shown_from_what_rings_in_it_which_stays() -> None:
    system = cavity(memory=True)
    one, two = row(system), row(system, seed=1)
    silent = system.field(two)
    response(system, one)
    ringing = system.field(two)
    assert np.array_equal(ringing.readout, response(system, two))  # type: ignore[arg-type]
    assert not np.array_equal(ringing.readout, silent.readout)  # type: ignore[arg-type]


def test_frames_and_pixels_are_bounded_and_follow_the_wave() -> None:
    system = cavity(slots=8, size=(0.9, 0.9))
    field = system.field(row(system), frames=10, pixels=500)
    values = field.panels[0].images[0].values
    assert len(values) <= 10 and values[0].size <= 500
    # Eight to a period of the highest tone, at least, and the shortest stride is one step.
    assert np.diff(field.at_F).max() <= 1 / (8 * 1400.0) + 1e-9
    assert "of a row" in field.note and "One cell in 3" in field.note


def test_walls_layers_and_everything_with_a_place_is_in_the_geometry() -> None:
    system = cavity(sides=("absorbing", "closed", "closed", "closed"), layer=6, speed_variation=0.05, **ELEMENTS)
    places, speed = system.geometry().panels
    image = places.images[0]
    assert image.values.shape == system.scheme.grid.shape
    assert np.all(image.values[:6] == 2) and (image.values == 1).sum() == system.scheme.medium.rigid_YX.sum()
    assert {points.label for points in places.points} == {"4 loudspeakers", "6 microphones", "6 nonlinear elements"}
    assert speed.images[0].quantity.unit == "m/s"
