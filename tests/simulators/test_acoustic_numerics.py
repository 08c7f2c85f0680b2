"""What a cavity tells of its grid: the numbers against what is measured, and the warnings that carry them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.validation_cases.acoustic_boxes import swinging_mode
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_grid import STENCILS, Grid
from physnet.simulators.acoustic_media import Medium, Scheme, stable_time_step
from physnet.simulators.acoustic_numerics import velocity_error
from physnet.simulators.numerics_warning import NumericsWarning

SMALL: dict[str, Any] = {"drives": 4, "responses": 3, "size": (0.5, 0.4), "pitch": 0.02, "scatterers": 3}


def cavity(**options: Any) -> AcousticCavity:
    return AcousticCavity(**{**SMALL, **options})


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("half_waves", [3, 9, 12])
def test_the_velocity_error_is_that_of_a_wave_that_was_watched(order: Any, half_waves: int) -> None:
    found = swinging_mode(STENCILS[order], (0, half_waves), courant_share=0.9, steps=400)
    u = found["trace"]
    turn = math.acos(float((u[2:] + u[:-2]) @ u[1:-1] / (u[1:-1] @ u[1:-1])) / 2)
    measured = turn / found["phases"][1] / found["courant"] - 1
    grid = Grid(shape=(24, 30), pitch=0.01, order=order)
    medium = Medium.uniform(grid, speed=343.0)
    scheme = Scheme(grid=grid, medium=medium, time_step=0.9 * stable_time_step(grid, medium), single=False)
    told = velocity_error(scheme, turn / (2 * math.pi * scheme.time_step))
    # The watched wave travels along an axis. What is told is the larger of that and the diagonal's error.
    assert abs(told) >= abs(measured) - 1e-9
    if order == 2:  # the axis is the worst at order 2
        assert told == pytest.approx(measured, abs=1e-9)  # of the frequency, over some periods of a trace in float64


def test_a_cavity_tells_its_numbers() -> None:
    told = cavity(tones=(800.0, 1400.0)).numerics
    assert told.frequency == 1400.0
    assert told.cells_per_wavelength == pytest.approx(343 / 1400 / 0.02)
    assert 0.85 < told.courant <= 0.9  # the step divides the window
    # (k h)^2 / 24 of too little from the cells, less the step's own (w dt)^2 / 24, c dt = 0.9 h / sqrt(2).
    square = (2 * math.pi / told.cells_per_wavelength) ** 2
    assert told.velocity_error == pytest.approx(-square / 24 * (1 - told.courant**2 / 2), rel=0.1)
    assert told.layer_reflection == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tones": (1000.0, 4000.0)}, r"4000 Hz has 4\.29 cells in a wavelength and travels \d\.\d% too slowly"),
        ({"tones": (9000.0,)}, r"9000 Hz has 1\.91 cells in a wavelength and does not travel at all"),
        ({"drive": "audio", "audio_rate": 16000.0}, r"4000 Hz has 4\.29 cells"),
        ({"tones": (1000.0,), "sides": ("absorbing",) * 4, "layer": 4}, r"send back 0\.0\d+ of the pressure"),
    ],
)
def test_a_coarse_grid_warns_with_the_number(options: dict[str, Any], message: str) -> None:
    with pytest.warns(NumericsWarning, match=message) as caught:
        cavity(**options)
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize(
    "options",
    [
        {"tones": (1000.0, 4000.0), "order": 4},
        {"tones": (1000.0, 4000.0), "pitch": 0.012},
        {"tones": (1000.0,), "sides": ("absorbing",) * 4},
    ],
)
def test_the_way_out_is_one(options: dict[str, Any]) -> None:
    told = cavity(**options).numerics  # warnings are errors here
    assert np.isfinite(told.velocity_error) and abs(told.velocity_error) < 0.05 and told.layer_reflection < 0.01
