"""What a mesh of interferometers looks like: its diagram, and the power in each waveguide behind each column.

Axis letters: P ports; M interferometers; C columns, the inputs first; F frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Image, Panel, Points

from .mesh_decomposition import Floats, MeshLayout

_COLUMN, _PORT = Axis(name="column"), Axis(name="port")


def geometry_of(layout: MeshLayout, theta_M: Floats, phi_M: Floats) -> Geometry:
    """Return the mesh with the phases that the light sees."""
    columns = int(layout.column_M.max()) + 1
    panels = []
    for name, phase_M in (("theta, between the couplers", theta_M), ("phi, before them", phi_M)):
        points = Points(
            x_K=layout.column_M + 1.0, y_K=layout.port_M + 0.5, label=f"{len(phase_M)} interferometers",
            kind="element", values=np.mod(phase_M, 2 * math.pi), quantity=Axis(name="phase", unit="rad"), cyclic=True,
        )  # fmt: skip
        panels.append(
            Panel(
                title=name, x=_COLUMN, y=_PORT, points=(points,),
                curves=(_guides(layout, columns), _arms(layout)),
            )
        )  # fmt: skip
    return Geometry(panels=tuple(panels))


def field_of(
    layout: MeshLayout,
    columns: Iterable[torch.Tensor],
    input_P: torch.Tensor,
    *,
    responses: int,
    frames: int,
    pixels: int,
) -> Field:
    """Return the powers in the mesh for one row.

    Args:
        layout: Where the interferometers are.
        columns: The matrix from the inputs to behind each column.
        input_P: Field at the inputs, complex.
        responses: How many ports have a detector.
        frames: Most frames.
        pixels: Most numbers of the map: of more columns only some are kept.
    """
    count = int(layout.column_M.max()) + 1
    kept = min(count + 1, max(2, pixels // layout.ports))
    wanted = set(np.linspace(0, count, kept).round().astype(int).tolist())
    power_CP = [input_P.abs().square().numpy()]
    for column, matrix_PP in enumerate(columns, start=1):
        if column in wanted:
            power_CP.append((matrix_PP @ input_P).abs().square().numpy())
    at_C = np.array(sorted(wanted), dtype=np.float64)
    values_CP = np.stack(power_CP)
    shown = np.unique(np.linspace(0, len(at_C) - 1, min(frames, len(at_C))).round().astype(int))
    half = 0.5 * count / max(1, len(at_C) - 1)
    power = Axis(name="power")
    image = Image(values=values_CP.T, extent=(-half, count + half, -0.5, layout.ports - 0.5), quantity=power)
    port_P = np.arange(float(layout.ports))
    read = values_CP[-1, :responses]
    return Field(
        panels=(
            Panel(
                title="power in each port", x=_PORT, y=power,
                curves=(Curve(x_T=port_P, y_T=values_CP[shown], dots=True),), span=(-0.5, responses - 0.5),
            ),
            Panel(title="power behind each column", x=_COLUMN, y=_PORT, images=(image,), cursor=True),
        ),
        along=_COLUMN,
        at_F=at_C[shown],
        readout=read,
    )  # fmt: skip


def _guides(layout: MeshLayout, columns: int) -> Curve:
    x = np.tile([0.3, columns + 0.7, math.nan], layout.ports)
    y = np.repeat(np.arange(float(layout.ports)), 3)
    return Curve(x_T=x, y_T=y, label="waveguides", faint=True)


def _arms(layout: MeshLayout) -> Curve:
    """Return a stroke between the two waveguides of each interferometer."""
    x = np.repeat(layout.column_M + 1.0, 3)
    y = np.stack((layout.port_M, layout.port_M + 1.0, np.full(len(layout.port_M), math.nan)), axis=1).ravel()
    return Curve(x_T=x, y_T=y, faint=True)
