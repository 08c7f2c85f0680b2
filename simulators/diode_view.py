"""What a diode network looks like: a drawing of its circuit, and the voltages of its nodes while they charge.

The drawing has no scale: nodes stand on a circle, sources on a larger one around it, ground in the middle.

Axis letters: V nodes; U sources; K diodes; F moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Panel, Points

from .diode_circuit import Circuit, Floats

_NOWHERE, _TIME = Axis(name=""), Axis(name="time", unit="s")
_VOLTAGE = Axis(name="voltage", unit="V")
_GROUND = Points(x_K=np.zeros(1), y_K=np.zeros(1), label="ground", kind="element")
_OUTER = 1.45  # radius of the circle of sources, in that of the nodes
_SHOWN = 6  # nodes whose voltage is drawn over time


@dataclass(frozen=True, kw_only=True)
class DiodeView:
    """Looks at a row.

    Args:
        circuit: Its coefficients.
        read: How many of the nodes are read.
        moments: How often.
        window: Time from switching on to the last reading, s.
    """

    circuit: Circuit
    read: int
    moments: int
    window: float

    def geometry(self) -> Geometry:
        """Return a drawing of the circuit."""
        place_V2, place_U2 = self._places()
        source_VU = self.circuit.source_VU
        taps = [(place_V2[v], place_U2[u]) for v, u in np.argwhere(source_VU != 0)]
        curves = [
            _lines(self._links(place_V2), "resistors between nodes"),
            _lines(self._diodes(place_V2), "diodes, tip at the cathode"),
            _lines(taps, "resistors to sources", faint=True),
        ]
        read_V2, rest_V2 = place_V2[: self.read], place_V2[self.read :]
        marks = [("sources", "source", place_U2), ("nodes that are read", "receiver", read_V2)]
        marks += [("other nodes", "node", rest_V2)] if len(rest_V2) else []
        points = (
            *(
                Points(x_K=place[:, 0], y_K=place[:, 1], label=f"{len(place)} {name}", kind=kind)  # type: ignore[arg-type]
                for name, kind, place in marks
            ),
            _GROUND,
        )
        constant = self.circuit.time_constants()
        title = f"circuit (not to scale); time constants without diodes {1e6 * constant[0]:.3g} to "
        title += f"{1e6 * constant[-1]:.3g} µs"
        return Geometry(
            panels=(
                Panel(
                    title=title, x=_NOWHERE, y=_NOWHERE, curves=tuple(c for c in curves if len(c.x_T)), points=points,
                    alike=True, plain=True,
                ),
            )
        )  # fmt: skip

    def field(self, voltage_FV: Floats, at_F: Floats, kept_F: Floats, response_R: Floats) -> Field:
        """Return the voltages of all nodes over time.

        Args:
            voltage_FV: At all moments, V.
            at_F: The moments, s.
            kept_F: Which of them are frames.
            response_R: What is read.
        """
        place_V2, _ = self._places()
        links = self._links(place_V2) + self._diodes(place_V2)
        points = Points(
            x_K=place_V2[:, 0], y_K=place_V2[:, 1], label="nodes", values=voltage_FV[kept_F], quantity=_VOLTAGE,
            signed=True,
        )  # fmt: skip
        shown = np.linspace(0, self.read - 1, min(_SHOWN, self.read)).round().astype(int)
        curves = [Curve(x_T=at_F, y_T=voltage_FV[:, v], label=f"node {v}") for v in shown]
        moment_R = self.window * np.arange(1, self.moments + 1) / self.moments
        top = float(np.abs(voltage_FV[:, shown]).max()) or 1.0
        comb = Curve(
            x_T=np.repeat(moment_R, 3), y_T=np.tile([-top, top, math.nan], self.moments), label="read", faint=True
        )
        return Field(
            panels=(
                Panel(
                    title="voltages of the nodes (not to scale)", x=_NOWHERE, y=_NOWHERE,
                    curves=(_lines(links, "resistors and diodes", faint=True),), points=(points, _GROUND), alike=True,
                    plain=True,
                ),
                Panel(
                    title="some nodes over time", x=_TIME, y=_VOLTAGE, curves=(*curves, comb), cursor=True,
                ),
            ),
            along=_TIME,
            at_F=at_F[kept_F],
            readout=response_R,
        )  # fmt: skip

    def _places(self) -> tuple[Floats, Floats]:
        return (
            _circle(len(self.circuit.capacitance_V), 1.0),
            _circle(self.circuit.source_VU.shape[1], _OUTER),
        )

    def _links(self, place_V2: Floats) -> list[tuple[Floats, Floats]]:
        joined = np.argwhere(np.triu(self.circuit.conductance_VV, 1) != 0)
        return [(place_V2[a], place_V2[b]) for a, b in joined]

    def _diodes(self, place_V2: Floats) -> list[tuple[Floats, Floats]]:
        """Return from where to where each diode leads current, with a tip like that of an arrow as further lines."""
        found = []
        for leads_V in self.circuit.diode_VK.T:
            anode, cathode = np.flatnonzero(leads_V > 0), np.flatnonzero(leads_V < 0)
            start = place_V2[anode[0]] if len(anode) else np.zeros(2)
            end = place_V2[cathode[0]] if len(cathode) else np.zeros(2)
            along = (end - start) / np.hypot(*(end - start))
            across = np.array([-along[1], along[0]])
            found.append((start, end))
            tip = end - 0.05 * along
            found += [(tip, tip - 0.05 * along + side * 0.025 * across) for side in (-1, 1)]
        return found


def _circle(count: int, radius: float) -> Floats:
    turn = 2 * math.pi * np.arange(count) / count
    return radius * np.stack((np.cos(turn), np.sin(turn)), axis=1)


def _lines(pairs: list[tuple[Floats, Floats]], label: str, *, faint: bool = False) -> Curve:
    """Return separate lines as one with gaps."""
    gap = np.full(2, math.nan)
    points = np.array([point for start, end in pairs for point in (start, end, gap)]).reshape(-1, 2)
    return Curve(x_T=points[:, 0], y_T=points[:, 1], label=label, faint=faint)
