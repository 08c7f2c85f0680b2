"""What lies between the instruments of a simulated bench.

Axis letters: S source channels; C detector channels; T samples; N rows; D elements of a pattern; F frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

Volts = NDArray[np.float64]


class Medium(Protocol):
    """From the voltages of sources to the voltages of detectors."""

    @property
    def sources(self) -> int:
        """Source channels."""
        ...

    @property
    def detectors(self) -> int:
        """Detector channels."""
        ...

    @property
    def span(self) -> float:
        """How long something may still be heard after the sources are silent, in s."""
        ...

    def respond(self, volts_ST: Volts, sample_rate: float) -> Volts:
        """Return what the detectors see, in V, shape `(detectors, T + ceil(span * sample_rate))`.

        The medium is at rest before. Sample `k` of the result belongs to the time of sample `k` of the sources; after
        the last sample the sources are at 0 V.

        Args:
            volts_ST: What the sources play, in V.
            sample_rate: Of both, in Hz.

        Raises:
            PhysnetError: It can't be computed.
        """
        ...


class PatternMedium(Protocol):
    """From patterns of a board to complex responses of an analyser."""

    def respond(self, pattern_ND: NDArray[Any]) -> NDArray[np.complex128]:
        """Return the response at each frequency, shape `(n, F)`."""
        ...


class Wire:
    """Cables: each detector channel sees sources with a gain, a fixed time later.

    Args:
        gains: A row per detector channel: its gain for each source channel.
        delay: In s; rounded to a whole number of samples.
        span: How long a detector may go on after the sources are silent, in s; at least the delay.

    Raises:
        SpecError: The rows differ in length, or a number is out of its range.
    """

    def __init__(self, *, gains: Sequence[Sequence[float]] = ((1.0,),), delay: float = 0.0, span: float = 0.0) -> None:
        lengths = {len(row) for row in gains}
        if len(lengths) != 1 or 0 in lengths or not all(math.isfinite(gain) for row in gains for gain in row):
            raise SpecError(f"gains of a wire must be a row of finite numbers per detector channel, got {gains}.")
        if not (0 <= delay < math.inf and 0 <= span < math.inf):
            raise SpecError(f"delay and span of a wire must be >= 0 s and finite, got {delay} s and {span} s.")
        self._gain_CS = np.array(gains, np.float64)
        self._delay, self._span = delay, max(span, delay)

    @property
    def sources(self) -> int:
        """Source channels."""
        return int(self._gain_CS.shape[1])

    @property
    def detectors(self) -> int:
        """Detector channels."""
        return len(self._gain_CS)

    @property
    def span(self) -> float:
        """How long the detectors may go on, in s."""
        return self._span

    def respond(self, volts_ST: Volts, sample_rate: float) -> Volts:
        """Return the sources, mixed and delayed, in V."""
        late, length = round(self._delay * sample_rate), volts_ST.shape[1]
        total_CT = np.zeros((self.detectors, length + math.ceil(self._span * sample_rate - 1e-6)))
        total_CT[:, late : late + length] = (self._gain_CS @ volts_ST)[:, : total_CT.shape[1] - late]
        return total_CT
