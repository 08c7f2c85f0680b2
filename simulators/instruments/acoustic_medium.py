"""An acoustic cavity between a generator and an oscilloscope: loudspeakers, sound, microphones.

Axis letters: N rows; S source channels; C detector channels; T samples; U time steps of the cavity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from physnet.errors import SpecError

from ..acoustic import AcousticCavity
from .medium import Volts

_OWN = frozenset(
    {
        "drives", "responses", "drive", "signed", "sources", "slots", "slot", "slot_spacing", "ramp", "audio_rate",
        "tail", "strength", "response", "slices", "window", "memory", "time_step", "seconds_per_pass", "name",
    }
)  # fmt: skip


class AcousticMedium:
    """Sound in a cavity. What still rings from earlier rows of a burst is there: a burst is one waveform.

    The cavity's time step is a sample of the generator, or a whole part of it where that would be unstable; the
    voltage of a loudspeaker is held during a sample.

    Args:
        sources: Loudspeakers, one a source channel.
        detectors: Microphones, one a detector channel.
        loudspeaker: Strength of a loudspeaker in Pa per V, as `AcousticCavity` counts it.
        microphone: V per Pa.
        span: How long the cavity is listened to after a burst, in s. None: until it is 120 dB quieter.
        cavity: Options of `AcousticCavity` about the room; its codec and receiver are the instruments' own.

    Raises:
        SpecError: An option is out of its range, or none of the room's.
    """

    def __init__(
        self,
        *,
        sources: int,
        detectors: int,
        loudspeaker: float = 1.0,
        microphone: float = 1.0,
        span: float | None = None,
        **cavity: Any,
    ) -> None:
        if refused := sorted(_OWN & cavity.keys()):
            raise SpecError(
                f"an acoustic medium must leave out {', '.join(refused)}: waveforms come from the generator, and what "
                "is heard goes to the oscilloscope."
            )
        if not (0 < abs(loudspeaker) < math.inf and 0 < abs(microphone) < math.inf):
            raise SpecError(
                f"loudspeaker and microphone must be finite and not 0, got {loudspeaker} Pa/V and {microphone} V/Pa."
            )
        reverberation = float(cavity.get("reverberation", 0.05))
        self._span = 2 * reverberation if span is None else span
        if not 0 <= self._span < math.inf:
            raise SpecError(f"span of an acoustic medium must be >= 0 s and finite, got {self._span} s.")
        self._sources, self._detectors = sources, detectors
        self._loudspeaker, self._microphone, self._options = loudspeaker, microphone, cavity
        self._cavities: dict[float, tuple[AcousticCavity, int]] = {}
        self._longest = self._make().scheme.time_step

    @property
    def sources(self) -> int:
        """Source channels."""
        return self._sources

    @property
    def detectors(self) -> int:
        """Detector channels."""
        return self._detectors

    @property
    def span(self) -> float:
        """How long the cavity is listened to after a burst, in s."""
        return self._span

    def respond(self, volts_ST: Volts, sample_rate: float) -> Volts:
        """Return the voltages of the microphones.

        Raises:
            SpecError: No time step fits the sample rate.
            MeasurementError: The field ran away.
        """
        cavity, steps = self._at(sample_rate)
        length = volts_ST.shape[1] + math.ceil(self._span * sample_rate - 1e-6)
        source_NSU = np.zeros((1, self._sources, length * steps))
        played_SU = np.repeat(self._loudspeaker * volts_ST, steps, axis=1)
        source_NSU[0, :, : played_SU.shape[1]] = played_SU
        trace_CU = cavity.propagate(source_NSU)[0]
        heard_CT = np.zeros((self._detectors, length))
        # A microphone is read after the step: what it shows after the steps of a sample belongs to the next one.
        heard_CT[:, 1:] = self._microphone * trace_CU[:, steps - 1 : (length - 1) * steps : steps]
        return heard_CT

    def _at(self, sample_rate: float) -> tuple[AcousticCavity, int]:
        """Return the cavity for a sample rate, and its time steps a sample."""
        if sample_rate not in self._cavities:
            # The default step is a little below the largest stable one: a rounding error must not ask for one more.
            steps = max(1, math.ceil(1 / (sample_rate * self._longest) - 1e-9))
            self._cavities = {sample_rate: (self._make(time_step=1 / (sample_rate * steps)), steps)}
        return self._cavities[sample_rate]

    def _make(self, **timing: Any) -> AcousticCavity:
        options = {**self._options, **timing}
        for name in ("size", "sides", "tones"):
            if name in options:
                options[name] = tuple(options[name])
        try:
            return AcousticCavity(drives=self._sources, responses=self._detectors, sources=self._sources, **options)
        except TypeError as error:
            raise SpecError(f"an acoustic medium has no such option ({error}).") from error
