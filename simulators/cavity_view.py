"""What a programmable cavity looks like: its dipoles, and the field of all of them at one frequency after the other.

The field at a place is what all dipoles send there, for a unit excitation of the first transmitter. At a receiver,
whose own dipole does not count, it is `S21` itself: `W_rr p_r = - sum W_rq p_q` over the other dipoles.

Axis letters: D drive channels; P dipoles; X places; J receivers; T transmitters; F frames, or frequencies; G
frequencies of a spectrum.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Image, Panel, Points

from .dipole_cavity import DipoleCavity
from .dipoles import Complexes, Floats, Ints

_X, _Y, _FREQUENCY = Axis(name="x", unit="m"), Axis(name="y", unit="m"), Axis(name="frequency", unit="Hz")
_MOST_FRAMES = 41  # a map takes some 0.4 s
_SPECTRUM = 161  # frequencies of a spectrum, beside those of the response
_CELLS = 8.0  # of a wavelength at the centre
_PAIRS = 1 << 19  # of places and dipoles at once
_MARGIN = 0.25  # of the band, beyond its ends
_SHOWN = 3  # receivers


class CavityView:
    """A cavity in its own units, looked at in SI units.

    Args:
        cavity: The dipoles.
        size: Of the fence, m.
        scale: Units of the cavity in a metre.
        centre: Frequency that is 1 inside, Hz.
        frequency_F: Those of the response, in units of the centre.
        modulus: Whether only the modulus is read.
    """

    def __init__(
        self,
        cavity: DipoleCavity,
        *,
        size: tuple[float, float],
        scale: float,
        centre: float,
        frequency_F: Floats,
        modulus: bool,
    ) -> None:
        self._cavity, self._size, self._scale, self._centre = cavity, size, scale, centre
        self._frequency_F, self._modulus = frequency_F, modulus

    def geometry(self) -> Geometry:
        """Return where the dipoles are."""
        cavity = self._cavity
        marks = [("walls and scatterers", "wall", cavity.wall), ("driven elements", "element", cavity.driven)]
        if len(cavity.trained):
            marks.append(("trainable elements", "nonlinear", cavity.trained))
        panel = Panel(title="dipoles", x=_X, y=_Y, points=self._points([*marks, *self._antennas()]), alike=True)
        return Geometry(panels=(panel,))

    def field(self, drive_D: Floats, *, stretch: float, frames: int, pixels: int) -> Field:
        """Return maps of the field over the band, and the spectra of some receivers.

        Args:
            drive_D: One row.
            stretch: Relative stretch of the spectrum.
            frames: Most frames.
            pixels: Most places of a map.
        """
        cavity, scale = self._cavity, self._scale
        at_F = self._sweep(min(frames, _MOST_FRAMES))
        place_X2, shape = self._grid(pixels)
        receiver_J2 = cavity.places[cavity.receiver]
        maps = []
        for frequency in at_F * (1 + stretch):
            moment_PT = cavity.moments(drive_D, float(frequency))
            maps.append(np.abs(self._sent(place_X2, moment_PT[:, :1], float(frequency))).reshape(shape))
        fine_G, lines = np.unique(np.concatenate((at_F, self._sweep(_SPECTRUM)))), []
        size_GJ = np.abs(self._heard(drive_D, receiver_J2[:_SHOWN], fine_G * (1 + stretch))[:, :, 0])
        for j in range(size_GJ.shape[1]):
            lines.append(Curve(x_T=fine_G * self._centre, y_T=size_GJ[:, j], label=f"receiver {j}"))
        for frequency in self._frequency_F * self._centre:
            top = np.array([0.0, float(size_GJ.max())])
            lines.append(Curve(x_T=np.full(2, frequency), y_T=top, faint=True))
        image = Image(
            values=np.stack(maps),
            extent=(0.0, self._size[0], 0.0, self._size[1]),
            quantity=Axis(name="|field|"),
            decades=2.0,
        )
        on_E = cavity.driven[cavity.switched_on(drive_D)]
        off_E = np.setdiff1d(cavity.driven, on_E)
        marks: list[tuple[str, str, Ints]] = [
            ("elements in state 0", "wall", off_E),
            ("in another one", "element", on_E),
        ]
        points = self._points([*marks, *self._antennas()])
        return Field(
            panels=(
                Panel(title="field from transmitter 0", x=_X, y=_Y, images=(image,), points=points, alike=True),
                Panel(
                    title="|S21| from transmitter 0 (grey: where it is read)", x=_FREQUENCY, y=Axis(name="|S21|"),
                    curves=tuple(lines), cursor=True,
                ),
            ),
            along=_FREQUENCY,
            at_F=at_F * self._centre,
            readout=self._readout(drive_D, receiver_J2, stretch),
            note=f"A wavelength is {1 / scale:.3g} m at {self._centre / 1e9:.4g} GHz.",
        )  # fmt: skip

    def _readout(self, drive_D: Floats, receiver_J2: Floats, stretch: float) -> Floats | Complexes:
        """Return the response as the field at the receivers, at the frequencies where it is read."""
        heard_FJT = self._heard(drive_D, receiver_J2, self._frequency_F * (1 + stretch))
        response_R: Complexes = np.moveaxis(heard_FJT, 0, 2).ravel()
        return np.asarray(np.abs(response_R)) if self._modulus else response_R

    def _heard(self, drive_D: Floats, receiver_J2: Floats, frequency_F: Floats) -> Complexes:
        """Return the field at receivers, shape `(frequencies, receivers, transmitters)`."""
        moments = ((self._cavity.moments(drive_D, float(frequency)), float(frequency)) for frequency in frequency_F)
        return np.stack([self._sent(receiver_J2, moment_PT, frequency) for moment_PT, frequency in moments])

    def _sent(self, place_X2: Floats, moment_PT: Complexes, frequency: float) -> Complexes:
        """Return what all dipoles send to places; one that stands there itself does not count."""
        height = max(1, _PAIRS // len(moment_PT))
        parts = []
        for first in range(0, len(place_X2), height):
            step_XP2 = place_X2[first : first + height, None] - self._cavity.places[None]
            phase_XP = 2 * math.pi * frequency * np.hypot(step_XP2[..., 0], step_XP2[..., 1])
            own_XP = phase_XP == 0
            phase_XP[own_XP] = 1.0
            green_XP = special.y0(phase_XP) + 1j * special.j0(phase_XP)
            green_XP[own_XP] = 0
            parts.append(-((math.pi * frequency) ** 2) * (green_XP @ moment_PT))
        return np.concatenate(parts)

    def _sweep(self, frames: int) -> Floats:
        """Return frequencies from one end of the band to the other, those of the response among them."""
        low, high = float(self._frequency_F.min()), float(self._frequency_F.max())
        room = _MARGIN * (high - low) or 0.01 * high
        read = np.unique(self._frequency_F)
        if len(read) >= frames:
            return np.asarray(read[np.linspace(0, len(read) - 1, frames).round().astype(int)])
        return np.unique(np.concatenate((read, np.linspace(low - room, high + room, frames - len(read)))))

    def _grid(self, pixels: int) -> tuple[Floats, tuple[int, int]]:
        width, height = self._size
        side = max(1 / (_CELLS * self._scale), math.sqrt(width * height / pixels))
        columns, rows = max(2, int(width / side)), max(2, int(height / side))
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns, indexing="ij"
        )
        return np.stack((x.ravel(), y.ravel()), axis=1) * self._scale, (rows, columns)

    def _antennas(self) -> list[tuple[str, str, Ints]]:
        return [("transmitters", "source", self._cavity.transmitter), ("receivers", "receiver", self._cavity.receiver)]

    def _points(self, marks: list[tuple[str, str, Ints]]) -> tuple[Points, ...]:
        place_P2 = self._cavity.places / self._scale
        return tuple(
            Points(x_K=place_P2[which, 0], y_K=place_P2[which, 1], label=f"{len(which)} {name}", kind=kind)  # type: ignore[arg-type]
            for name, kind, which in marks
            if len(which)
        )
