"""Antennas, walls and a metasurface as coupled dipoles: their transfer for any drive, at any frequency.

Units are those of `dipoles`.

Axis letters: N rows; D drive channels; E elements, driven and trainable; P dipoles; J receivers; T transmitters.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dipole_reduction import Reduction, SwitchedReduction, eliminate
from .dipoles import Complexes, Dipoles, Floats, Ints, bare_inverse, propagation, transfer
from .metasurface import Metasurface, SwitchedMetasurface
from .multiport import Multiport, reflection


@dataclass(frozen=True, kw_only=True, eq=False)
class _At:
    """What is known of one frequency for the present parameters."""

    reduction: Reduction
    switched: SwitchedReduction | None


class DipoleCavity:
    """A cavity at hand: what is eliminated once for each frequency is kept here.

    Args:
        antennas: Transmitters, then receivers; all alike.
        walls: Everything else that stands still.
        element_E2: Places of the elements.
        trainable_E: Which of them are parameters.
        surface: What the elements are.
        transmitters: How many of the antennas transmit.
        remembered: Frequencies whose eliminations are kept, the latest ones.
    """

    def __init__(
        self,
        *,
        antennas: Dipoles,
        walls: Dipoles,
        element_E2: Floats,
        trainable_E: NDArray[np.bool_],
        surface: Metasurface,
        transmitters: int,
        remembered: int,
    ) -> None:
        self._antennas, self._walls, self._surface, self._remembered = antennas, walls, surface, remembered
        self._place_P2 = np.concatenate((antennas.place_P2, element_E2, walls.place_P2))
        number = np.arange(len(antennas) + len(element_E2))
        self._antenna, self._element = np.split(number, (len(antennas),))
        self._transmitter, self._receiver = np.split(self._antenna, (transmitters,))
        self._driven, self._trained = self._element[~trainable_E], self._element[trainable_E]
        self._parameter_ND = np.zeros((1, len(self._trained) * surface.bits))
        self._still: OrderedDict[float, Complexes] = OrderedDict()
        self._known: OrderedDict[float, _At] = OrderedDict()

    def configure(self, parameter_D: Floats) -> None:
        """Set the drive channels of the trainable elements."""
        self._parameter_ND = np.array(parameter_D, dtype=np.float64)[None]
        self._known.clear()

    def transfer(self, drive_ND: Floats, frequency: float) -> Complexes:
        """Return the transfer for rows of drives, shape `(n, receivers, transmitters)`."""
        known = self._at(frequency)
        if known.switched is not None:
            assert isinstance(self._surface, SwitchedMetasurface)  # made for it
            return known.switched.transfer(self._surface.states(drive_ND))
        return known.reduction.transfer(self._surface.loads(drive_ND, frequency))

    def full_transfer(self, drive_ND: Floats, frequency: float) -> Complexes:
        """The same by a solution of the whole cavity for each row, with nothing eliminated and nothing kept."""
        matrix_PP = self._matrix(frequency)
        self._load_trained(matrix_PP, frequency)
        own_D = matrix_PP[self._driven, self._driven]
        result = []
        for load_E in self._surface.loads(drive_ND, frequency):
            matrix_PP[self._driven, self._driven] = own_D + load_E
            result.append(transfer(matrix_PP, self._receiver, self._transmitter))
        return np.stack(result)

    @property
    def places(self) -> Floats:
        """`(x, y)` of antennas, elements and walls, in this order."""
        return self._place_P2

    @property
    def transmitter(self) -> Ints:
        """Which of the dipoles transmit."""
        return self._transmitter

    @property
    def receiver(self) -> Ints:
        """Which of them receive."""
        return self._receiver

    @property
    def driven(self) -> Ints:
        """Which of them are driven elements."""
        return self._driven

    @property
    def trained(self) -> Ints:
        """Which of them are elements that are parameters."""
        return self._trained

    @property
    def wall(self) -> Ints:
        """Which of them stand still and do nothing else."""
        return np.arange(len(self._antennas) + len(self._element), len(self._place_P2))

    def switched_on(self, drive_D: Floats) -> NDArray[np.bool_]:
        """Whether each driven element is in another state than 0, or nearer to the upper end of its range."""
        if isinstance(self._surface, SwitchedMetasurface):
            return np.asarray(self._surface.states(drive_D[None])[0] != 0)
        return np.asarray(drive_D > 0.5)

    def moments(self, drive_D: Floats, frequency: float) -> Complexes:
        """Return the moments of all dipoles when one transmitter after the other is excited, `(dipoles, transmitters)`.

        By a solution of the whole cavity for one row of drive.
        """
        matrix_PP = self._matrix(frequency)
        self._load_trained(matrix_PP, frequency)
        matrix_PP[self._driven, self._driven] += self._surface.loads(drive_D[None], frequency)[0]
        unit_PT = np.zeros((len(matrix_PP), len(self._transmitter)), dtype=np.complex128)
        unit_PT[self._transmitter, np.arange(len(self._transmitter))] = 1
        return np.asarray(np.linalg.solve(matrix_PP, unit_PT))

    def gradient(self, drive_ND: Floats, frequency: float, weight_NJT: Complexes) -> Floats:
        """Return the derivative of `Re sum_jt weight_jt H_jt` by each drive channel, shape `(n, channels)`."""
        load_NE = self._surface.loads(drive_ND, frequency)
        by_load_NE = self._at(frequency).reduction.gradient(load_NE, weight_NJT)
        return self._surface.chain(by_load_NE, drive_ND, frequency).real

    def multiport(self, frequency: float) -> Multiport:
        """Return the network between all antennas and the driven elements, for the present parameters."""
        return Multiport.of(
            self._reduce(frequency, self._antenna, self._antenna), frequency=frequency, gain=self._gain(frequency)
        )

    def reflection(self, drive_ND: Floats, frequency: float) -> Complexes:
        """Return the reflection coefficient at each inner port of the network, shape `(n, driven elements)`."""
        return reflection(self._surface.loads(drive_ND, frequency), frequency)

    def _at(self, frequency: float) -> _At:
        if frequency not in self._known:
            reduction = self._reduce(frequency, self._receiver, self._transmitter)
            switched = None
            if isinstance(self._surface, SwitchedMetasurface):
                switched = SwitchedReduction(reduction, self._surface.state_loads(frequency))
            self._known[frequency] = _At(reduction=reduction, switched=switched)
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return self._known[frequency]

    def _reduce(self, frequency: float, receivers: Ints, transmitters: Ints) -> Reduction:
        if frequency not in self._still:
            self._still[frequency] = eliminate(self._matrix(frequency), len(self._antenna) + len(self._element))
            if len(self._still) > self._remembered:
                self._still.popitem(last=False)
        matrix_PP = self._still[frequency].copy()
        self._load_trained(matrix_PP, frequency)
        return Reduction.of(
            matrix_PP,
            driven=self._driven,
            receivers=receivers,
            transmitters=transmitters,
            gain=self._gain(frequency),
        )

    def _matrix(self, frequency: float) -> Complexes:
        """Return `W` of antennas, elements and walls, in this order, without the loads of the elements."""
        matrix_PP = propagation(self._place_P2, frequency)
        own_E = np.zeros(len(self._element))
        own_P = np.concatenate((_own(self._antennas, frequency), own_E, _own(self._walls, frequency)))
        matrix_PP[np.diag_indices(len(matrix_PP))] += own_P
        return matrix_PP

    def _load_trained(self, matrix_PP: Complexes, frequency: float) -> None:
        if len(self._trained):
            matrix_PP[self._trained, self._trained] += self._surface.loads(self._parameter_ND, frequency)[0]

    def _gain(self, frequency: float) -> complex:
        """Inverse polarizability of an antenna."""
        return complex(_own(self._antennas, frequency)[0] + 1j * (np.pi * frequency) ** 2)


def _own(dipoles: Dipoles, frequency: float) -> Complexes:
    return bare_inverse(dipoles.resonance_P, dipoles.strength_P, dipoles.damping_P, frequency)
