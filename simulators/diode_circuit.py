"""A network of resistors, capacitors and diodes as the coefficients of its equation, and a random one.

    C dv/dt = -G v + B u - D i(D^T v),    i(w) = Is (exp(w / (n Vt)) - 1)

`v` are the voltages of the nodes against ground, each with a capacitor to ground; `u` those of the sources, `B` the
conductances that lead from them to the nodes. `G` holds on its diagonal all conductances at a node, those to the
sources included, and elsewhere minus what joins two nodes. A column of `D` is a diode: 1 at its anode, -1 at its
cathode, and nothing for ground.

Axis letters: V nodes; U sources; K diodes.

Source:
    L. O. Chua, C. A. Desoer, E. S. Kuh, Linear and Nonlinear Circuits, 1987, chapters 5 and 8 (nodal equations); W.
    Shockley, Bell Syst. Tech. J. 28, 435 (1949) (law of the junction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

Floats = NDArray[np.float64]
_PER_KELVIN = 1.380649e-23 / 1.602176634e-19  # V/K, Boltzmann's constant over the elementary charge


@dataclass(frozen=True, kw_only=True)
class Diode:
    """Shockley's law. The defaults are a small-signal silicon diode (1N914 or 1N4148).

    Its series resistance (0.6 ohm) and junction capacitance (4 pF) are left out: beside kiloohms and nanofarads they
    change nothing that a converter would see.

    Args:
        saturation: Is in A, > 0.
        ideality: n, >= 1.
        temperature: K, > 0.

    Raises:
        SpecError: An argument is out of its range.

    Source:
        The model card that circuit simulators ship for the 1N914: IS = 2.52 nA, N = 1.752.
    """

    saturation: float = 2.52e-9
    ideality: float = 1.752
    temperature: float = 300.0

    def __post_init__(self) -> None:
        for name, unit in (("saturation", "A"), ("temperature", "K")):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} of a diode must be > 0 {unit}, got {getattr(self, name)} {unit}.")
        if not 1 <= self.ideality < math.inf:
            raise SpecError(f"ideality of a diode must be >= 1, got {self.ideality}.")

    @property
    def scale(self) -> float:
        """The voltage n Vt over which the current grows by e, V."""
        return self.ideality * self.temperature * _PER_KELVIN

    @property
    def critical(self) -> float:
        """Voltage of strongest curvature in V: beyond it Newton's method overshoots."""
        return self.scale * math.log(self.scale / (math.sqrt(2) * self.saturation))


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """The coefficients.

    Args:
        capacitance_V: F, > 0.
        conductance_VV: `G` in S, symmetric, positive definite.
        source_VU: `B` in S.
        diode_VK: `D`.
        diode: What all of them are.

    Raises:
        SpecError: The arrays don't fit, or the circuit could make energy.
    """

    capacitance_V: Floats
    conductance_VV: Floats
    source_VU: Floats
    diode_VK: Floats
    diode: Diode

    def __post_init__(self) -> None:
        count = len(self.capacitance_V)
        shapes = self.conductance_VV.shape, self.source_VU.shape[:1], self.diode_VK.shape[:1]
        if shapes != ((count, count), (count,), (count,)) or not bool(np.all(self.capacitance_V > 0)):
            raise SpecError(f"a circuit must have a capacitor > 0 F at each of its {count} nodes, and arrays to fit.")
        lowest = float(np.linalg.eigvalsh(self.conductance_VV)[0])
        if not (np.allclose(self.conductance_VV, self.conductance_VV.T, rtol=1e-12) and lowest > 0):
            raise SpecError(
                f"conductances of a circuit must be symmetric and positive definite, got {lowest:.3g} S as the lowest "
                "eigenvalue. Each node needs a resistor that leads to a source or to ground."
            )

    def time_constants(self) -> Floats:
        """Return the time constants of the circuit without its diodes in s, the fastest first."""
        root_V = np.sqrt(self.capacitance_V)
        rates = np.linalg.eigvalsh(self.conductance_VV / np.outer(root_V, root_V))
        return np.asarray(1 / rates[::-1])


def random_circuit(
    *,
    nodes: int,
    sources: int,
    taps: int,
    links: int,
    diodes: int,
    resistance: float,
    capacitance: float,
    spread: float,
    diode: Diode,
    rng: np.random.Generator,
) -> Circuit:
    """Return a circuit whose parts are joined at random.

    Sources are differential: a resistor leads to either of the two poles of one. No source is left out as long as there
    are as many taps.

    Args:
        nodes: How many.
        sources: How many.
        taps: Resistors from each node to sources.
        links: Resistors from each node to another one.
        diodes: Each between two nodes, or between a node and ground, at random; at most one on a pair and direction.
        resistance: Typical value of a resistor, ohm.
        capacitance: Typical value of a capacitor, F.
        spread: Standard deviation of the logarithm of all values.
        diode: What all of them are.
        rng: Source of chance.
    """
    order_T = np.concatenate([rng.permutation(sources) for _ in range(-(-nodes * taps // sources))])[: nodes * taps]
    value_T = np.exp(spread * rng.standard_normal(nodes * taps)) / resistance
    at_T = np.repeat(np.arange(nodes), taps)
    source_VU = np.zeros((nodes, sources))
    np.add.at(source_VU, (at_T, order_T), value_T * rng.choice((-1.0, 1.0), nodes * taps))
    own_V = np.bincount(at_T, weights=value_T, minlength=nodes)
    between_VV = np.zeros((nodes, nodes))
    for node in range(nodes):
        for other in rng.integers(0, nodes, links):
            if other != node:
                value = math.exp(spread * rng.standard_normal()) / resistance
                between_VV[node, other] += value
                between_VV[other, node] += value
    pairs = [(anode, cathode) for anode in range(nodes + 1) for cathode in range(nodes + 1) if anode != cathode]
    diode_VK = np.zeros((nodes + 1, diodes))
    for k, pair in enumerate(rng.choice(len(pairs), diodes, replace=False)):
        anode, cathode = pairs[pair]
        diode_VK[anode, k], diode_VK[cathode, k] = 1.0, -1.0
    return Circuit(
        capacitance_V=capacitance * np.exp(spread * rng.standard_normal(nodes)),
        conductance_VV=np.diag(own_V + between_VV.sum(1)) - between_VV,
        source_VU=source_VU,
        diode_VK=diode_VK[:nodes],  # the last one is ground
        diode=diode,
    )
