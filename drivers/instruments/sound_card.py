"""A sound card: source and detector in one, on one clock.

Axis letters: N rows; C channels, in the order that was asked for; T samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, overload

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, MeasurementError

from ..roles import Capture, DetectorCapabilities, DetectorSetup, SourceCapabilities, SourceSetup
from ..transport import Deadline
from .sound_alignment import find_burst
from .sound_library import SoundLibrary
from .sound_line import SoundLine
from .sound_setup import MOST, check_detector, check_source, check_waveform
from .sound_stream import Burst

_FULL = 2.0**31  # codes of full scale: PortAudio makes 32-bit integers of whatever the converter has
_CLIPPED = 0x7FFF0000  # the largest code of a 16-bit converter; one of more bits that comes so far clips as well
_POLL = 0.05  # s between two looks at whether the stream still runs
_MARGIN = 0.05  # s beyond what PortAudio says of its buffers


class SoundCard:
    """A sound card, or an audio interface: it plays a burst and records it in the same stream.

    A bench names it as its source, and as its detector `type = "source"`. One trigger plays one burst and gives one
    record. The stream runs from `setup` to `close`, silent between bursts.

    What may surprise:

    - A card knows parts of full scale, not volts. `volts_out` and `volts_in` come from a calibration with a voltmeter,
      at the mixer setting in use; left at 1.0 V, "volts" are parts of full scale. Sliders and automatic gain shift it.
    - The delay from output to input is unknown: tens of milliseconds. It is one delay while the stream runs, and
      another one after `recover`. With a cable from the first output that plays to an input, `reference`, each burst is
      found to the sample, and its record begins there; without, records begin with the burst in the stream, and whoever
      uses them must align them to the signal, again after `recover`.
    - A burst in which samples were lost or made up (an xrun) is refused, and so is the next one after an xrun between
      bursts. Not every loss is reported: what resamples (PulseAudio, PipeWire, the mixer of Windows) may drop samples
      without a word. Keep the pilot of the bench on, and name the hardware's own device.
    - Opening it starts PortAudio anew: other streams of this process end, unless they are a `SoundCard`'s.

    Tried on a virtual device only, a null sink of PulseAudio 16.1 under PortAudio 19.6 (devel): amplitudes within 5e-9
    of full scale, one delay in 20 bursts; from stream to stream it was 171 to 342 ms with a `latency` of 0.3 s.

    Args:
        resource: `SOUND::NAME` or `SOUND::NAME, HOST API`, as `physnet devices` lists it.
        input: Name of the device that records, where it is not the one that plays.
        volts_out: Output voltage at full scale in V, from a calibration.
        volts_in: The same of the inputs.
        reference: Number of the input that a cable connects with the first output that plays.
        coupling: What the inputs are; nothing can switch it. Nearly all block DC.
        bits: Of the converters; PortAudio does not tell.
        latency: Buffer in each direction that is asked for, in s. A longer one survives a busier computer.
        simulated: The device is a virtual one, such as a loopback of the operating system.
        timeout: Longest time of a call to the library in s.
        backoff: Waits between attempts to get a lost card back, in s.
        library: Takes the place of `sounddevice`.
        check: Called while a lost card is waited for; it raises if the run is to stop.

    Raises:
        InputError: An option is out of its range.

    Source:
        python-sounddevice 0.5, API documentation: `Stream`, `CallbackFlags`.
    """

    FITS: ClassVar[tuple[str, ...]] = (r"SOUND::.+ \([1-9]\d* out, [1-9]\d* in, .+\)",)

    def __init__(
        self,
        *,
        resource: str,
        input: str = "",
        volts_out: float = 1.0,
        volts_in: float = 1.0,
        reference: int | None = None,
        coupling: Literal["AC", "DC"] = "AC",
        bits: int = 16,
        latency: float = 0.1,
        simulated: bool = False,
        timeout: float = 5.0,
        backoff: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0),
        library: SoundLibrary | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        for label, volts in (("volts_out", volts_out), ("volts_in", volts_in)):
            if not 0 < volts < math.inf:
                raise InputError(f"{label} must be > 0 V and finite, got {volts:g} V. Measure it at full scale.")
        if not 8 <= bits <= 32 or (reference is not None and reference < 1):
            raise InputError(f"bits must be 8 to 32 and reference an input's number, got {bits} and {reference}.")
        self._line = SoundLine(
            resource, recorder=input, latency=latency, timeout=timeout, backoff=backoff, library=library, check=check
        )
        self._volts_out, self._volts_in, self._coupling, self._bits = volts_out, volts_in, coupling, bits
        self._simulated, self._reference = simulated, reference
        self._source: SourceSetup | None = None
        self._detector: DetectorSetup | None = None
        self._waveform_TC: NDArray[np.float32] | None = None
        self._burst: Burst | None = None
        self._lead = self._late = 0  # samples before the burst, and most that it may come late
        self._delay = 0  # samples, as the reference told at last
        self._armed = False

    @property
    def resource(self) -> str:
        """Name of the card."""
        return self._line.resource

    @property
    def identity(self) -> str:
        """Host API, device, the rate that it has by itself, and PortAudio's version; empty before it was opened."""
        return self._line.identity

    @property
    def simulated(self) -> bool:
        """Whether the option says that the device is a virtual one."""
        return self._simulated

    @property
    def faults(self) -> Mapping[str, int]:
        """Faults by kind, xruns in bursts among them."""
        return self._line.faults

    @property
    def capabilities(self) -> SourceCapabilities:
        """What it can play."""
        card = self._line.known
        return SourceCapabilities(
            channels=tuple(range(1, card.outputs + 1)),
            sample_rate=(card.rates[0], card.rates[-1]),
            points=(1, MOST),
            bits=self._bits,
            marks="burst",
            steady=self._reference is not None,
        )

    @property
    def recording(self) -> DetectorCapabilities:
        """What it can record."""
        card = self._line.known
        return DetectorCapabilities(
            channels=tuple(range(1, card.inputs + 1)),
            sample_rates=card.rates,
            sample_rate=(card.rates[0], card.rates[-1]),
            points=MOST,
            segments=1,
            bits=self._bits,
        )

    def open(self) -> None:
        """Find the card; nothing is played.

        Raises:
            InputError: There is none of this name, something else in this process owns it, or sounddevice is missing.
            TransportError: The library does not answer, or it is another card than before.
        """
        self._line.open()

    def close(self) -> None:
        """End the stream and give the card up; never raises."""
        self._forget()
        self._line.close()

    def make_safe(self) -> None:
        """Cut a burst that is on its way by ending the stream; make sure that a stream that goes on plays silence.

        Raises:
            TransportError: That is not certain.
        """
        self._armed, self._burst = False, None
        self._line.rest()

    def recover(self) -> Literal["cleared", "reopened"]:
        """End the stream and find the card again, also after it was unplugged. It must be set up anew."""
        self._forget()
        self._line.recover()
        return "reopened"

    def check_errors(self) -> None:
        """Raise when samples were lost or made up since the last burst."""
        self._line.check_quiet()

    @overload
    def setup(self, setup: SourceSetup) -> SourceSetup: ...

    @overload
    def setup(self, setup: DetectorSetup) -> DetectorSetup: ...

    def setup(self, setup: SourceSetup | DetectorSetup) -> SourceSetup | DetectorSetup:
        """Set one side up; with the second one the stream is started, silent, and its rate read back.

        Raises:
            InputError: The setup is out of the card's range; nothing was touched.
            TransportError: The stream can't be started, or does not run soundly.
        """
        card = self._line.card
        if isinstance(setup, SourceSetup):
            check_source(setup, card, full_scale=self._volts_out)
            self._source, self._waveform_TC = setup, None
        else:
            check_detector(setup, card, full_scale=self._volts_in, coupling=self._coupling, reference=self._reference)
            self._detector = setup = dataclasses.replace(setup, full_scale=(self._volts_in,) * len(setup.channels))
        self.make_safe()
        source, detector = self._source, self._detector
        if source is not None and detector is not None and source.sample_rate == detector.sample_rate:
            inputs = max(*detector.channels, self._reference or 1)
            self._line.start(source.sample_rate, outputs=max(source.channels), inputs=inputs)
        return setup

    def load(self, waveform_NCT: NDArray[np.float64]) -> None:
        """Keep the rows of a burst, in V.

        Raises:
            InputError: It is not set up, or the shape does not fit.
            DriveError: A sample is not finite, or beyond the peak of the setup; nothing is played.
        """
        setup = self._source
        if setup is None:
            raise InputError("a sound card must be set up as a source before it is given a burst.")
        self._waveform_TC, self._burst = None, None
        check_waveform(waveform_NCT, setup)
        rows, _, points = waveform_NCT.shape
        play_TC = np.zeros((rows * points, max(setup.channels)), np.float32)
        for place, number in enumerate(setup.channels):
            play_TC[:, number - 1] = (waveform_NCT[:, place] / self._volts_out).reshape(-1)
        self._waveform_TC = play_TC

    def arm(self, segments: int | None = None) -> None:
        """Drop what was recorded, and make sure that the stream runs and was sound since the last burst.

        It may be called for both roles.

        Raises:
            InputError: It is not set up as both, at one rate; or more than one segment is asked for.
            TransportError: There is no stream, as after a burst that was cut; or there were xruns.
        """
        source, detector = self._source, self._detector
        if source is None or detector is None or source.sample_rate != detector.sample_rate:
            raise InputError(
                "a sound card must be set up as source and as detector, at one sample rate: it has one clock, and no "
                "trigger for another instrument."
            )
        if segments not in (None, 1):
            raise InputError(f"a sound card records 1 segment a burst, got {segments}.")
        self._armed, self._burst = False, None
        self._line.check_running()
        self._line.check_quiet()
        self._armed = True

    def fire(self) -> None:
        """Play the burst from the next block of the stream on, and record.

        Raises:
            InputError: It is not armed, or has no burst.
        """
        source, detector, waveform_TC = self._source, self._detector, self._waveform_TC
        if not self._armed or source is None or detector is None or waveform_TC is None:
            raise InputError("a sound card must have a burst and be armed before each trigger.")
        self._armed = False
        rate = source.sample_rate
        lead = round(detector.before * rate)
        late = math.ceil((self._line.latency + _MARGIN) * rate)  # the last sample is back by then
        end, points = lead + len(waveform_TC), detector.points + (late if self._reference is not None else 0)
        play_TC = np.zeros((max(end + late, points), waveform_TC.shape[1]), np.float32)
        play_TC[lead:end] = waveform_TC
        self._lead, self._late = lead, late
        self._burst = self._line.state.burst = Burst(play_TC, max(*detector.channels, self._reference or 1))

    def finish(self, deadline: Deadline) -> None:
        """Wait until the burst and the silence after it have been played.

        Raises:
            TransportError: Not by the deadline, or there were xruns in it.
        """
        self._done(self._waited(deadline))

    def wait(self, deadline: Deadline) -> int:
        """Wait until the burst is recorded; return 1, or 0 when the deadline passed or nothing was fired."""
        return int(self._waited(deadline))

    def fetch(self) -> Capture:
        """Return what was recorded of the last burst.

        Raises:
            TransportError: It is not over, there were xruns in it, or the reference did not hear it.
        """
        detector = self._detector
        burst = self._done(self._burst is not None and self._burst.over.is_set())
        assert detector is not None  # there was a burst
        if self._reference is not None:
            self._delay = self._heard(burst, self._reference)
        columns = [number - 1 for number in detector.channels]
        codes_TC = burst.record_TC[self._delay :][: detector.points, columns]
        return Capture(
            codes_NCT=np.ascontiguousarray(codes_TC.T)[None],
            scale_C=np.full(len(columns), self._volts_in / _FULL),
            offset_C=np.zeros(len(columns)),
            lowest=-_CLIPPED,
            highest=_CLIPPED,
            sample_rate=detector.sample_rate,
            start=-self._lead / detector.sample_rate,
            counted=1,
        )

    def _waited(self, deadline: Deadline) -> bool:
        burst = self._burst
        if burst is None:
            return False
        while not burst.over.wait(min(_POLL, deadline.remaining)) and not deadline.passed:
            self._line.check_running()
        return burst.over.is_set()

    def _done(self, over: bool) -> Burst:
        """Return the burst if it can be used."""
        burst = self._burst
        if burst is None or not over:
            raise self._line.fault("timeout", "the burst was not over by the deadline", "Was it fired? Allow more.")
        if found := {name: count for name, count in burst.xruns.items() if count}:
            listed = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())
            raise self._line.fault(
                "garbled",
                f"samples of the burst were lost or made up ({listed})",
                "Its record is not used. Make latency longer, or end other programs.",
            )
        self._line.check_quiet()
        return burst

    def _heard(self, burst: Burst, reference: int) -> int:
        """Return how late a burst came, by the reference; of a silent one, what the last one told."""
        source, waveform_TC = self._source, self._waveform_TC
        assert source is not None and waveform_TC is not None
        played_T = waveform_TC[:, source.channels[0] - 1]
        if not played_T.any():
            return self._delay
        try:
            return find_burst(burst.record_TC[self._lead :, reference - 1], played_T, latest=self._late)
        except MeasurementError as error:
            raise self._line.fault("garbled", str(error)) from error

    def _forget(self) -> None:
        self._source = self._detector = self._waveform_TC = self._burst = None
        self._armed, self._delay = False, 0
