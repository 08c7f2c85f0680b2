"""What a bench asks of its instruments: a source that plays, a detector that listens, an analyser that sweeps.

A driver declares what it can do (`capabilities`) and does what it is told; timing, limits and codecs are the bench's.

Axis letters: N rows; C channels, in the order that was asked for; T samples; F frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from .transport import Deadline


class Instrument(Protocol):
    """Anything on a bench that has a line."""

    @property
    def resource(self) -> str:
        """Name of its line."""
        ...

    @property
    def identity(self) -> str:
        """Who answers; empty before it was opened."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether it says of itself that it is simulated."""
        ...

    @property
    def faults(self) -> Mapping[str, int]:
        """How many faults of its line there were, by kind."""
        ...

    def open(self) -> None:
        """Open its line and identify it; set nothing."""
        ...

    def close(self) -> None:
        """Close its line; never raises, and may be called twice."""
        ...

    def make_safe(self) -> None:
        """Make its outputs safe, and make sure of it."""
        ...

    def recover(self) -> Literal["cleared", "reopened"]:
        """Bring it back in step after a fault. After `reopened` its settings may be lost; its outputs are safe."""
        ...

    def check_errors(self) -> None:
        """Raise what its error queue holds."""
        ...


@dataclass(frozen=True, kw_only=True)
class SourceCapabilities:
    """What a source can play.

    Args:
        channels: Numbers of its channels.
        sample_rate: Lowest and highest rate of an arbitrary waveform, in Hz.
        points: Fewest and most samples of one burst, all its rows together, in one channel.
        step: A burst must have a multiple of this many samples.
        bits: Of its converter.
        marks: Whether its trigger output marks each row, or only the beginning of a burst.
        steady: Whether a waveform leaves it as long after its trigger as before, when its line was lost and came back.
            Otherwise the bench is calibrated again then.
    """

    channels: tuple[int, ...]
    sample_rate: tuple[float, float]
    points: tuple[int, int]
    step: int = 1
    bits: int
    marks: Literal["row", "burst"]
    steady: bool = True


@dataclass(frozen=True, kw_only=True)
class SourceSetup:
    """How a source is set up for a run.

    Args:
        channels: Channels that play, in the order of the waveform's.
        sample_rate: Of the waveform, in Hz.
        peak: Largest absolute voltage that is ever going to be played into the load, per channel in V: it fixes the
            output range, so that the volts of one code don't change from burst to burst.
        load: Impedance that each channel sees in Ohm; infinite for an open line.

    Raises:
        SpecError: Lengths disagree, or a number is not > 0.
    """

    channels: tuple[int, ...]
    sample_rate: float
    peak: tuple[float, ...]
    load: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.peak) == len(self.load) or not self.channels:
            raise SpecError(
                f"a source needs one peak and one load per channel, got {len(self.channels)} channels, "
                f"{len(self.peak)} peaks and {len(self.load)} loads."
            )
        if not (self.sample_rate > 0 and all(p > 0 for p in self.peak) and all(r > 0 for r in self.load)):
            raise SpecError("sample_rate, peak and load of a source must be > 0.")


@runtime_checkable
class Source(Instrument, Protocol):
    """Plays one finite burst for each trigger, and rests at 0 V before and after it.

    Order of calls: `setup` once (again after `recover`), then for each burst `load`, `arm`, `fire`, `finish`.
    """

    @property
    def capabilities(self) -> SourceCapabilities:
        """What it can play; the model of the unit is known once it is open."""
        ...

    def setup(self, setup: SourceSetup) -> SourceSetup:
        """Set it up with its outputs off, and read back what it made of it (load, range, rate).

        Raises:
            InputError: The setup is out of its range; nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        ...

    def load(self, waveform_NCT: NDArray[np.float64]) -> None:
        """Hand over the rows of a burst, in V into the load; all rows are played one after the other at one trigger.

        Raises:
            DriveError: A sample is not finite, or beyond the peak of the setup; not a byte was sent.
            TransportError: It is not known whether they arrived.
        """
        ...

    def arm(self) -> None:
        """Switch the outputs on at 0 V and wait for a trigger; return once the instrument says that it waits."""
        ...

    def fire(self) -> None:
        """Give the one trigger."""
        ...

    def finish(self, deadline: Deadline) -> None:
        """Wait until the burst is over and its outputs rest, and look at the error queue."""
        ...


@dataclass(frozen=True, kw_only=True)
class DetectorCapabilities:
    """What a detector can record.

    Args:
        channels: Numbers of its channels.
        sample_rates: The rates it has, in Hz, in rising order; empty: any within `sample_rate`.
        sample_rate: Lowest and highest rate in Hz.
        points: Most samples of one channel, all segments together.
        segments: Most segments, one for each trigger; 1 when it records one piece only.
        bits: Of its converter.
    """

    channels: tuple[int, ...]
    sample_rates: tuple[float, ...] = ()
    sample_rate: tuple[float, float]
    points: int
    segments: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class DetectorSetup:
    """How a detector is set up for a run.

    Args:
        channels: Channels that listen, in the order of the capture's.
        sample_rate: In Hz.
        points: Samples of a segment.
        segments: Segments of a capture, one for each trigger of the source.
        full_scale: Largest absolute voltage of each channel in V.
        before: Time recorded before each trigger in s.
        coupling: Of the inputs.
    """

    channels: tuple[int, ...]
    sample_rate: float
    points: int
    segments: int
    full_scale: tuple[float, ...]
    before: float = 0.0
    coupling: Literal["DC", "AC"] = "DC"


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """What a detector recorded after it was armed.

    Args:
        codes_NCT: Codes of its converter, as they came: `N` segments.
        scale_C: V of one code.
        offset_C: V of code 0.
        lowest: Code that a clipped low sample has.
        highest: Code that a clipped high sample has.
        sample_rate: In Hz, as read back.
        start: Time of the first sample of a segment after its trigger in s; negative when it was taken before.
        counted: Triggers that the detector counted since it was armed.
    """

    codes_NCT: NDArray[Any]
    scale_C: NDArray[np.float64]
    offset_C: NDArray[np.float64]
    lowest: int
    highest: int
    sample_rate: float
    start: float
    counted: int

    def volts(self) -> NDArray[np.float64]:
        """Return the samples in V, shape `(n, channels, samples)`."""
        return self.codes_NCT * self.scale_C[None, :, None] + self.offset_C[None, :, None]

    def clipped(self) -> NDArray[np.bool_]:
        """Return which segments hold a sample at the end of the converter's range."""
        flat_NX = self.codes_NCT.reshape(len(self.codes_NCT), -1)
        return np.asarray(((flat_NX <= self.lowest) | (flat_NX >= self.highest)).any(1))


@runtime_checkable
class Detector(Instrument, Protocol):
    """Records after a trigger. Order of calls: `setup` once, then for each burst `arm`, `wait`, `fetch`.

    A device that is source and detector in one tells the two setups apart by their type, and is armed as a detector
    first.
    """

    @property
    def recording(self) -> DetectorCapabilities:
        """What it can record; the model of the unit is known once it is open."""
        ...

    def setup(self, setup: DetectorSetup) -> DetectorSetup:
        """Set it up, and read back what it made of it.

        Raises:
            InputError: The setup is out of its range; nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        ...

    def arm(self, segments: int | None = None) -> None:
        """Drop what it recorded before and wait for triggers; return once the instrument says that it is armed.

        Args:
            segments: Segments of this capture, at most those of the setup; None for as many.
        """
        ...

    def wait(self, deadline: Deadline) -> int:
        """Wait until all segments are recorded; return how many triggers it counted, fewer when the deadline passed."""
        ...

    def fetch(self) -> Capture:
        """Read what was recorded since it was armed."""
        ...


@dataclass(frozen=True, kw_only=True)
class SweepSetup:
    """How a network analyser is set up.

    Args:
        frequencies: In Hz, in rising order.
        parameter: The scattering parameter that is recorded.
        power: At the port in dBm.
        bandwidth: Resolution bandwidth in Hz.
        sweeps: Sweeps of a capture, one for each external trigger.
    """

    frequencies: tuple[float, ...]
    parameter: str = "S21"
    power: float = -10.0
    bandwidth: float = 1e3
    sweeps: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweeps:
    """What an analyser recorded after it was armed.

    Args:
        values_NF: Complex scattering parameter, one sweep a row.
        counted: Sweeps that the analyser counted since it was armed.
    """

    values_NF: NDArray[np.complex128]
    counted: int


@runtime_checkable
class Analyser(Instrument, Protocol):
    """Sweeps once for each external trigger. Order of calls: `setup` once, then `arm`, `wait`, `fetch`."""

    @property
    def sweep_time(self) -> float:
        """How long one sweep takes as it is set up, in s."""
        ...

    def setup(self, setup: SweepSetup) -> SweepSetup:
        """Set it up, and read back what it made of it."""
        ...

    def arm(self, sweeps: int | None = None) -> None:
        """Drop what it recorded before and wait for triggers; return once the instrument says that it is armed."""
        ...

    def wait(self, deadline: Deadline) -> int:
        """Wait until all sweeps are done; return how many it counted, fewer when the deadline passed."""
        ...

    def fetch(self) -> Sweeps:
        """Read what was recorded since it was armed."""
        ...
