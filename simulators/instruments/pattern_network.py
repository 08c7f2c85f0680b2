"""The network between the ports of an analyser, when a physical system with switched elements lies there.

Axis letters: N patterns; E elements; F frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError, SpecError

from .codes import Refusal
from .shared_system import SharedSystem


class PatternNetwork:
    """S21 of a system that takes a pattern and answers at several frequencies.

    The response must hold the frequencies next to each other, once for each pair of ports: channel `pair * F + f`.

    Args:
        system: What is connected: each element is off at its lowest drive, on at its highest.
        frequencies: In Hz, in rising order; None for those that the system's identity names.
        pair: Which pair of ports the analyser is connected to.

    Raises:
        SpecError: The system doesn't answer at these frequencies.
    """

    def __init__(self, system: SharedSystem, *, frequencies: Sequence[float] | None = None, pair: int = 0) -> None:
        spec = system.spec
        known = spec.identity.get("frequencies") if frequencies is None else frequencies
        if known is None:
            raise SpecError(f"frequencies must be given for {spec.name}: it names none itself.")
        self._frequency_F = np.array(known, np.float64)
        self._first = pair * len(self._frequency_F)
        self._system = system
        if not (len(self._frequency_F) and self._frequency_F[0] > 0 and (np.diff(self._frequency_F) > 0).all()):
            raise SpecError(f"frequencies of {spec.name} must be > 0 Hz and rise, got {list(known)} Hz.")
        pairs, rest = divmod(spec.response.channels, len(self._frequency_F))
        if rest or not 0 <= pair < pairs:
            raise SpecError(
                f"{spec.name} must have a response at each of {len(self._frequency_F)} frequencies for pair {pair} of "
                f"ports, got {spec.response.channels} responses."
            )

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Where it is known, in rising order, in Hz."""
        return self._frequency_F

    @property
    def elements(self) -> int:
        """Elements of a pattern."""
        return self._system.spec.drive.channels

    def respond(self, pattern_NE: NDArray[np.uint8]) -> NDArray[np.complex128]:
        """Return S21, shape `(n, frequencies)`; a system that answers with real numbers has no phase.

        Raises:
            Refusal: The system did not answer: what the analyser sees is a hardware error.
        """
        try:
            response_NR = self._system.respond(pattern_NE.astype(np.float64))
        except MeasurementError as error:
            raise Refusal(-240, str(error)[:80]) from error
        last = self._first + len(self._frequency_F)
        return np.asarray(response_NR[:, self._first : last], np.complex128)
