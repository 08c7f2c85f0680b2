"""The tables of a bench file, one class each.

The tables `source`, `detector`, `board` and `analyser` hold, beside the keys named here, the options of the driver that
`type` names.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Limit = Annotated[tuple[Positive, ...], Field(min_length=1)]


class Section(BaseModel):
    """A table of the file: frozen, and no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OpenSection(Section):
    """A table whose other keys are options of the driver that it names."""

    options: dict[str, Any] = Field(default_factory=dict)


class SourceSection(OpenSection):
    """What plays.

    Args:
        type: A name registered under `physnet.instruments`.
        resource: VISA name of its line.
        channels: Channels that play.
        load: Impedance that each channel sees in Ohm; `high` for an open line.
        options: Options of the driver.
    """

    type: Name
    resource: Name
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    load: Annotated[tuple[Positive | Literal["high"], ...], Field(min_length=1)]

    @property
    def ohms(self) -> tuple[float, ...]:
        """The loads as numbers."""
        return tuple(math.inf if value == "high" else float(value) for value in self.load)

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len(self.load) != len(self.channels):
            raise ValueError(
                f"load must have one value per channel, got {len(self.load)} for {len(self.channels)} channels."
            )
        return self


class DetectorSection(OpenSection):
    """What listens.

    Args:
        type: A name registered under `physnet.instruments`; `source` for a device that is both.
        resource: VISA name of its line; left out for `source`.
        channels: Channels that listen.
        full_scale: Largest voltage of each channel in V.
        sample_rate: In Hz; a whole multiple of the source's.
        coupling: Of the inputs.
        options: Options of the driver.
    """

    type: Name
    resource: str = ""
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    full_scale: Limit
    sample_rate: Positive
    coupling: Literal["DC", "AC"] = "DC"

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len(self.full_scale) != len(self.channels):
            raise ValueError(
                f"full_scale must have one value per channel, got {len(self.full_scale)} for {len(self.channels)} "
                "channels."
            )
        if (self.type == "source") == bool(self.resource):
            raise ValueError("resource must be given, unless type is 'source': a device that is both.")
        return self


class BoardSection(OpenSection):
    """What holds the pattern and gives the triggers.

    Args:
        type: A name registered under `physnet.systems` whose system is a board on a serial port.
        port: Its port.
        options: Options of the driver.
    """

    type: Name = "metasurface_board"
    port: Name


class AnalyserSection(OpenSection):
    """What sweeps.

    Args:
        type: A name registered under `physnet.instruments`.
        resource: VISA name of its line.
        frequencies: In Hz, in rising order.
        parameter: Scattering parameter.
        power: In dBm.
        bandwidth: Resolution bandwidth in Hz.
        options: Options of the driver.
    """

    type: Name
    resource: Name
    frequencies: Annotated[tuple[Positive, ...], Field(min_length=1)]
    parameter: Annotated[str, Field(pattern=r"S[1-4][1-4]")] = "S21"
    power: float = -10.0
    bandwidth: Positive = 1e3

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(b <= a for a, b in zip(self.frequencies, self.frequencies[1:], strict=False)):
            raise ValueError("frequencies must rise from each to the next.")
        return self


class AveragingSection(Section):
    """Repetitions of each row.

    Args:
        shots: How often a row is played; the shots are not passes.
        mode: `coherent`: traces are averaged, then demodulated; needs a trigger without jitter to speak of.
            `incoherent`: responses are averaged; the energy of the noise stays.
    """

    shots: Count = 1
    mode: Literal["coherent", "incoherent"] = "coherent"


class LimitsSection(Section):
    """What the device behind the source bears, per channel; left out: no limit but the source's own.

    Args:
        peak: V.
        rms: V, over a row.
        slew: V/s.
        duty: Part of a row's time above a hundredth of the peak, 0 to 1.
    """

    peak: Limit
    rms: Limit | None = None
    slew: Limit | None = None
    duty: Limit | None = None


class ChunkSection(Section):
    """How much is played at one trigger.

    Args:
        seconds: Longest burst in s: a stop takes effect after it.
        rows: Most rows of a burst.
        margin: Time that a capture may take beyond its burst in s, before it counts as lost.
        dark: Rows of silence in each burst, at random places: what they receive is taken from energies and amplitudes,
            and is the noise that a weak signal is told by.
        low_signal: A row is flagged when its response is below so many times that of a dark row.
    """

    seconds: Positive = 2.0
    rows: Count = 256
    margin: Positive = 2.0
    dark: Annotated[int, Field(ge=0, le=64)] = 1
    low_signal: NotNegative = 3.0


class CalibrationSection(Section):
    """What is measured when a bench is opened, before the first row.

    Args:
        rows: Rows with all pilot tones on, and as many with none.
        longest_guard: Silence after the pilot in which the decay is measured, in s; no guard is longer.
        delay: From a waveform at the source to its arrival at the detector in s; `measured`: the first arrival of a
            probe. A delay that is left in turns the phase of every response by a fixed angle, and shifts the window.
        longest_delay: Longest delay that is looked for in s.
    """

    rows: Annotated[int, Field(ge=2, le=256)] = 8
    longest_guard: Positive = 0.05
    delay: NotNegative | Literal["measured"] = 0.0
    longest_delay: Positive = 5e-3


class SafetySection(Section):
    """What is made safe, in which order.

    Args:
        sequence: Roles in their order; those left out follow.
    """

    sequence: tuple[Literal["source", "detector", "board", "analyser"], ...] = ()


class SimulationSection(Section):
    """What `physnet simulate` serves in the place of the instruments.

    Args:
        resources: Where each role is served.
        seed: Of noise, jitter and faults.
        medium: The medium, and its options.
        faults: Rates or a script of faults.
        instruments: Options of the simulated instruments, by role.
    """

    resources: dict[str, str] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] = 0
    medium: dict[str, Any] = Field(default_factory=dict)
    faults: dict[str, Any] = Field(default_factory=dict)
    instruments: dict[str, dict[str, Any]] = Field(default_factory=dict)
