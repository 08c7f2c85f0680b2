"""The powers behind the last column of a mesh are the response."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.testing import random_drives
from physnet.viewing import Viewable


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mesh": "triangular", "modulator": "phase"},
        {"phase_bits": 4, "phase_crosstalk": 0.02, "coupler_error": 0.1, "ports": 9},
    ],
    ids=["rectangular", "triangular", "imperfect"],
)
def test_the_powers_behind_the_last_column_are_the_response(options: dict[str, Any]) -> None:
    system = MachZehnderMesh(drives=6, responses=5, **options)
    row = random_drives(system.spec, rows=1, seed=2)
    assert isinstance(row, torch.Tensor) and isinstance(system, Viewable)
    field = system.field(row[0].numpy())
    response = system.measure(row, np.zeros(1, np.int64)).response[0].numpy()
    (ports,) = field.panels[0].curves
    # The system rounds its matrix and its sums of six terms to single precision, 6e-8 each; powers twice that.
    np.testing.assert_allclose(ports.y_T[-1, :5], response, atol=2 * 7 * 6e-8 * response.max())
    assert np.array_equal(field.readout, ports.y_T[-1, :5])  # type: ignore[arg-type]
    power_CP = field.panels[1].images[0].values.T
    assert np.array_equal(power_CP[-1, :5], ports.y_T[-1, :5]) and len(power_CP) == field.at_F[-1] + 1
    # Lossless: each column is unitary in double precision.
    np.testing.assert_allclose(power_CP.sum(1), power_CP[0].sum(), rtol=1e-12)


def test_what_is_written_is_what_is_drawn() -> None:
    system = MachZehnderMesh(drives=4, responses=4)
    count = len(system.layout.port_M)
    system.configure({"theta": np.full(count, np.pi), "phi": np.zeros(count)})
    theta, phi = (panel.points[0].values for panel in system.geometry().panels)
    assert theta is not None and phi is not None
    np.testing.assert_allclose(theta, np.pi)
    np.testing.assert_allclose(phi, 0.0)
    # theta = pi: every interferometer is a bar, and each port keeps its power.
    power_PC = system.field(np.array([1.0, 0.5, 0.0, 0.2], np.float32)).panels[1].images[0].values
    np.testing.assert_allclose(power_PC, np.broadcast_to(power_PC[:, :1], power_PC.shape), atol=1e-12)


def test_a_large_mesh_shows_some_of_its_columns() -> None:
    system = MachZehnderMesh(drives=40, responses=40)
    field = system.field(np.ones(40, np.float32), frames=6, pixels=800)
    assert field.panels[1].images[0].values.size <= 800 and len(field.at_F) == 6
