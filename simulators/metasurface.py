"""Elements of a programmable metasurface: from a drive to the inverse polarizability of each element.

Axis letters: N rows; D drive channels; E elements; L states; B bits of an element.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import Domain, DriveSpec
from physnet.errors import SpecError

from .dipoles import Complexes, Floats, bare_inverse, check_dipole

Control = Literal["1-bit", "2-bit", "continuous"]


class Metasurface(ABC):
    """Elements that differ in nothing but their resonance frequency, which the drive sets.

    Args:
        strength: Their chi.
        damping: Their gamma.
    """

    bits = 1
    """Drive channels of an element."""
    domain: Domain = "binary"

    def __init__(self, *, strength: float, damping: float) -> None:
        check_dipole("element", strength=strength, damping=damping)
        self.strength, self.damping = strength, damping

    def elements(self, channels: int) -> int:
        """Return how many elements so many drive channels set; bits that the last one lacks are 0."""
        return -(-channels // self.bits)

    def spec(self, channels: int) -> DriveSpec:
        """Return what so many channels take."""
        return DriveSpec(shape=(channels,), domain=self.domain, axes=("element" if self.bits == 1 else "bit",))

    def load(self, resonance: Any, frequency: float) -> Complexes:
        """Return the bare inverse polarizability of an element with such a resonance."""
        return bare_inverse(resonance, self.strength, self.damping, frequency)

    @abstractmethod
    def loads(self, drive_ND: Floats, frequency: float) -> Complexes:
        """Return the bare inverse polarizability of each element, shape `(n, elements)`."""

    @abstractmethod
    def chain(self, gradient_NE: Floats | Complexes, drive_ND: Floats, frequency: float) -> Complexes:
        """Turn a derivative by the loads into one by the drive channels, shape `(n, channels)`."""


class SwitchedMetasurface(Metasurface):
    """Elements with two or four states: each drive channel is a bit, an element's most significant bit first.

    Args:
        resonances: Resonance frequency of each state, in the order of the bits' number.
        strength: Their chi.
        damping: Their gamma.
    """

    def __init__(self, *, resonances: tuple[float, ...], strength: float, damping: float) -> None:
        super().__init__(strength=strength, damping=damping)
        self.bits = len(resonances).bit_length() - 1
        self._resonance_L = np.asarray(resonances)

    def states(self, drive_ND: Floats) -> NDArray[np.int64]:
        """Return the number of each element's state, shape `(n, elements)`."""
        bit_NEB = self._bits(drive_ND)
        return np.asarray(bit_NEB @ (1 << np.arange(self.bits)[::-1]))

    def state_loads(self, frequency: float) -> Complexes:
        """Return the bare inverse polarizability in each state."""
        return self.load(self._resonance_L, frequency)

    def loads(self, drive_ND: Floats, frequency: float) -> Complexes:
        """Return the bare inverse polarizability of each element."""
        return self.state_loads(frequency)[self.states(drive_ND)]

    def chain(self, gradient_NE: Floats | Complexes, drive_ND: Floats, frequency: float) -> Complexes:
        """The derivative by a bit is the difference between the loads with the bit at 1 and at 0."""
        load_L, state_NE = self.state_loads(frequency), self.states(drive_ND)
        parts = []
        for place in 1 << np.arange(self.bits)[::-1]:
            parts.append(gradient_NE * (load_L[state_NE | place] - load_L[state_NE & ~place]))
        return np.stack(parts, axis=2).reshape(len(drive_ND), -1)[:, : drive_ND.shape[1]]

    def _bits(self, drive_ND: Floats) -> NDArray[np.int64]:
        rows, channels = drive_ND.shape
        bit_NX = np.zeros((rows, self.elements(channels) * self.bits), dtype=np.int64)
        bit_NX[:, :channels] = drive_ND > 0.5
        return bit_NX.reshape(rows, -1, self.bits)


class ContinuousMetasurface(Metasurface):
    """Elements whose resonance frequency moves linearly with the drive, from 0 to 1.

    Args:
        resonances: Resonance frequency at drive 0 and at drive 1.
        strength: Their chi.
        damping: Their gamma.
    """

    domain: Domain = "non_negative"

    def __init__(self, *, resonances: tuple[float, ...], strength: float, damping: float) -> None:
        super().__init__(strength=strength, damping=damping)
        self._low, self._high = resonances

    def loads(self, drive_ND: Floats, frequency: float) -> Complexes:
        """Return the bare inverse polarizability of each element."""
        return self.load(self._resonance(drive_ND), frequency)

    def chain(self, gradient_NE: Floats | Complexes, drive_ND: Floats, frequency: float) -> Complexes:
        """The load is quadratic in the resonance frequency."""
        slope_ND = 2 * (2 * math.pi) ** 2 * self._resonance(drive_ND) * (self._high - self._low) / self.strength**2
        return np.asarray(gradient_NE * slope_ND)

    def _resonance(self, drive_ND: Floats) -> Floats:
        return np.asarray(self._low + drive_ND * (self._high - self._low))


def make_metasurface(
    control: Control, resonances: tuple[float, ...] | None, *, centre: float, strength: float, damping: float
) -> Metasurface:
    """Return the elements of a kind of control.

    Args:
        control: What sets an element.
        resonances: Of its states, or at both ends of its range, in Hz; None for those that `ProgrammableCavity` tells.
        centre: Frequency that is 1 inside, Hz.
        strength: Their chi.
        damping: Their gamma.

    Raises:
        SpecError: There are too few or too many resonances.
    """
    if control not in ("1-bit", "2-bit", "continuous"):
        raise SpecError(f"control must be 1-bit, 2-bit or continuous, got {control!r}.")
    count = 4 if control == "2-bit" else 2
    kind = ContinuousMetasurface if control == "continuous" else SwitchedMetasurface
    if resonances is None:
        # On the centre, a load of x k^2 / 4 reflects by (x - i) / (x + i): i, -1 and -i for x = -1, 0 and 1.
        quarter = [math.sqrt(max(0.0, 1 + x * strength**2 / 4)) for x in (-1, 0, 1)]
        shares = {"1-bit": (5.0, 1.0), "2-bit": (5.0, *quarter), "continuous": (0.9, 1.1)}[control]
        resonances = tuple(share * centre for share in shares)
    if len(resonances) != count or not all(0 < value < math.inf for value in resonances):
        raise SpecError(
            f"resonances of a {control} metasurface must be {count} frequencies > 0 Hz, got {len(resonances)}: "
            f"{resonances}. Give them all, or leave them out."
        )
    return kind(resonances=tuple(value / centre for value in resonances), strength=strength, damping=damping)
