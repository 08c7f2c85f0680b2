"""What an acoustic cavity looks like: its room, and the pressure that the field route steps.

Axis letters: N rows; F frames; Y, X cells; P cells of the padded grid, flattened; S sources; M microphones; T steps.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Image, Panel, Points

from .acoustic_cavity import Room
from .acoustic_grid import Floats, Grid
from .acoustic_media import Scheme
from .acoustic_routes import FieldRoute

_X, _Y = Axis(name="x", unit="m"), Axis(name="y", unit="m")
_AIR, _RIGID, _ABSORBING = range(3)
_PER_PERIOD = 8  # frames of the shortest period: with fewer a wave would seem to run backwards
_EARS = 3  # microphones whose signal is drawn


def geometry_of(scheme: Scheme, room: Room) -> Geometry:
    """Return walls, disks, absorbing layers, and everything that has a place."""
    grid, medium = scheme.grid, room.medium
    kind_YX = np.full(grid.shape, float(_AIR))
    (bottom, top), (left, right) = grid.layers(0), grid.layers(1)
    inner_YX = np.zeros(grid.shape, bool)
    inner_YX[bottom : grid.shape[0] - top, left : grid.shape[1] - right] = True
    kind_YX[~inner_YX] = _ABSORBING
    kind_YX[medium.rigid_YX] = _RIGID
    image = Image(
        values=kind_YX, extent=_extent(grid), quantity=Axis(name=""), names=("air", "rigid", "absorbing layer")
    )
    sides = ", ".join(f"{name} {side}" for name, side in zip(("y=0", "y max", "x=0", "x max"), grid.sides, strict=True))
    panels = [
        Panel(title=f"places; sides: {sides}", x=_X, y=_Y, images=(image,), points=_places(grid, room), alike=True)
    ]
    if np.ptp(medium.speed_YX) > 0:
        speed = Image(values=medium.speed_YX, extent=_extent(grid), quantity=Axis(name="speed of sound", unit="m/s"))
        panels.append(Panel(title="speed of sound", x=_X, y=_Y, images=(speed,), alike=True))
    return Geometry(panels=tuple(panels))


def field_of(
    drive_D: Floats,
    *,
    scheme: Scheme,
    room: Room,
    route: FieldRoute,
    tones: tuple[float, ...],
    listened: tuple[float, float],
    frames: int,
    pixels: int,
) -> Field:
    """Return the pressure over time for one row of drive.

    A row that lasts longer than the frames can follow is shown where its sources are loudest.

    Args:
        drive_D: The row.
        scheme: The grid, the medium and the time step.
        room: Where everything is.
        route: What steps the wave.
        tones: Frequencies in Hz; the highest decides how closely frames must follow each other.
        listened: First and last time of the window that the response is made of, s.
        frames: Most frames.
        pixels: Most cells of a frame; of a larger grid every second, third, ... cell is shown.
    """
    grid, dt = scheme.grid, scheme.time_step
    source_ST = route.alone(torch.from_numpy(np.ascontiguousarray(drive_D, np.float32)))[0]
    steps = source_ST.shape[1]
    stride = min(max(1, int(1 / (_PER_PERIOD * max(tones) * dt))), max(1, math.ceil(steps / frames)))
    count = min(frames, steps // stride)
    first = _loudest(source_ST.square().sum(0).numpy(), count * stride)
    stop_F = first + stride * np.arange(1, count + 1)
    coarse = math.ceil(math.sqrt(grid.shape[0] * grid.shape[1] / pixels)) if math.prod(grid.shape) > pixels else 1
    rows, columns = (np.arange(coarse // 2, n, coarse) for n in grid.shape)
    mute_YX = room.medium.rigid_YX[np.ix_(rows, columns)]
    pressure_FYX = np.empty((count, len(rows), len(columns)), np.float32)
    trace_NMT = np.empty((1, len(room.microphones), steps), np.float32)
    inside, begin = scheme.inside, 0
    for end, part_NMT, state in route.stations(source_ST[None], [*stop_F.tolist(), steps]):
        trace_NMT[:, :, begin:end] = part_NMT
        frame = np.flatnonzero(stop_F == end)
        if len(frame):
            now_YX = state.now_NP[0].reshape(grid.padded)[inside][np.ix_(rows, columns)]
            pressure_FYX[frame[0]] = np.where(mute_YX, np.nan, now_YX)
        begin = end
    image = Image(values=pressure_FYX, extent=_extent(grid), quantity=Axis(name="pressure", unit="Pa"), signed=True)
    time_T = (np.arange(steps) + 1) * dt
    ears = np.linspace(0, len(room.microphones) - 1, min(_EARS, len(room.microphones))).round().astype(int)
    heard = tuple(Curve(x_T=time_T, y_T=trace_NMT[0, m], label=f"microphone {m}") for m in ears)
    time, whole = Axis(name="time", unit="s"), stride * count >= steps - stride
    note = (
        ""
        if whole
        else (
            f"Frames show {1e3 * count * stride * dt:.3g} ms of the {1e3 * steps * dt:.3g} ms of a row, "
            "where its sources are loudest."
        )
    )
    return Field(
        panels=(
            Panel(title="pressure", x=_X, y=_Y, images=(image,), points=_places(grid, room), alike=True),
            Panel(
                title="what microphones hear", x=time, y=Axis(name="pressure", unit="Pa"), curves=heard, cursor=True,
                span=listened,
            ),
        ),
        along=time,
        at_F=stop_F * dt,
        readout=route.heard(torch.from_numpy(trace_NMT))[0].numpy(),
        note=note + (f" One cell in {coarse} along x and y." if coarse > 1 else ""),
    )  # fmt: skip


def _loudest(power_T: Floats, length: int) -> int:
    """Return where the stretch of this length begins in which most power is played; the first of several alike."""
    total = np.concatenate(([0.0], np.cumsum(power_T, dtype=np.float64)))
    within = total[length:] - total[:-length] if length < len(total) else np.zeros(1)
    return int(np.argmax(within > within.max() * (1 - 1e-9)))


def _places(grid: Grid, room: Room) -> tuple[Points, ...]:
    marks = [("loudspeakers", "source", room.sources), ("microphones", "receiver", room.microphones)]
    medium = room.medium
    if medium.elements is not None:
        marks.append(("nonlinear elements", "nonlinear", medium.elements.cells))
    if medium.resonators is not None:
        marks.append(("resonators", "element", medium.resonators.cells))
    return tuple(
        Points(
            x_K=(cells[:, 1] + 0.5) * grid.pitch,
            y_K=(cells[:, 0] + 0.5) * grid.pitch,
            label=f"{len(cells)} {name}",
            kind=kind,  # type: ignore[arg-type]
        )
        for name, kind, cells in marks
    )


def _extent(grid: Grid) -> tuple[float, float, float, float]:
    return 0.0, grid.shape[1] * grid.pitch, 0.0, grid.shape[0] * grid.pitch
