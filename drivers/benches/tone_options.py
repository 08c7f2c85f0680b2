"""What a codec of tones can be told: the table `[codec]` of a bench file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from physnet.errors import SpecError

Response = Literal["lock_in", "amplitude", "phase", "energy"]
PILOT_BITS = (8, 24)  # fewest and most pilot tones


@dataclass(frozen=True, kw_only=True)
class ToneOptions:
    """How drives become tones, and what is made of what comes back.

    Drive `(slot * channels + channel) * len(tones) + tone` is the amplitude of one tone of one channel in one slot.

    Args:
        sample_rate: Of the source, in Hz.
        tones: Frequencies in Hz. Unless the response is an energy, each has a whole number of periods in the window.
        phases: In rad, of each channel and tone, channel-major; empty for the same low-crest phases in every channel.
        amplitude: V of one tone at drive 1.
        signed: Drives from -1 to 1 instead of 0 to 1.
        drives: How many are used of `slots * channels * len(tones)`.
        slots: Slots of a row; None for as many as the drives need.
        slot: Duration of a slot in s.
        spacing: Time between the beginnings of two slots in s: shorter than a slot they overlap, longer they are apart.
        ramp: Duration of the raised-cosine rise and fall of a slot in s.
        tail: Time between the end of the last slot and the end of the window in s. At 0 the last slot does not fall
            before the window is over.
        lead_in: Silence at the beginning of a row in s.
        guard: Silence after the pilot and at the end of a row in s; `measured`: from the decay of the medium.
        guard_level: Part of its amplitude that what rings may still have after a measured guard.
        response: `lock_in` (complex amplitude in V), `amplitude` in V, `phase` in rad, `energy` in V^2 s.
        slices: Energies only: equal parts of the window, each with an energy of its own.
        window: Time that is listened to at the end of the drive in s; None for a slot.
        identity: `pilot`: every row carries a nonce in tones of a slot before the drive; `none`: a stale row can't be
            told from a new one by what was recorded.
        pilot_tones: Frequencies of the bits of the nonce in Hz, 8 to 24; empty for twelve from the lowest tone up.
        pilot_slot: Time that the pilot is read in s: whole periods of its tones.
        pilot_settle: Time that the pilot plays after its rise before it is read, in s: until it has settled, a tone
            leaks into others. None for half the guard, in which it settles to the root of `guard_level`.
        pilot_amplitude: V of one pilot tone; None for that of a drive's.

    Raises:
        SpecError: A value is out of its range, or two don't fit.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    sample_rate: float
    tones: tuple[float, ...]
    phases: tuple[float, ...] = ()
    amplitude: float
    signed: bool = False
    drives: int
    slots: int | None = None
    slot: float = 5e-3
    spacing: float = 2.5e-3
    ramp: float = 1e-3
    tail: float = 0.0
    lead_in: float = 0.0
    guard: float | Literal["measured"] = "measured"
    guard_level: float = 1e-3
    response: Response = "lock_in"
    slices: int = 1
    window: float | None = None
    identity: Literal["pilot", "none"] = "pilot"
    pilot_tones: tuple[float, ...] = ()
    pilot_slot: float = 5e-3
    pilot_settle: float | None = None
    pilot_amplitude: float | None = None

    def __post_init__(self) -> None:
        self._check_numbers()
        for name, tones in (("tones", self.tones), ("pilot_tones", self.pilot_tones)):
            for tone in tones:
                if not 0 < 2 * tone < self.sample_rate:
                    raise SpecError(
                        f"{name} must be above 0 Hz and below half the sample rate, {self.sample_rate / 2:g} Hz, got "
                        f"{tone:g} Hz."
                    )
            if len(set(tones)) < len(tones):
                raise SpecError(f"{name} must differ from each other, got {tones}. Two alike can't be told apart.")
        if not self.tones:
            raise SpecError("tones must name one frequency in Hz or more, got none.")
        fewest, most = PILOT_BITS
        if self.pilot_tones and not fewest <= len(self.pilot_tones) <= most:
            raise SpecError(
                f"pilot_tones must be {fewest} to {most}, one a bit of the nonce, got {len(self.pilot_tones)}. Leave "
                "them out for twelve."
            )
        if self.slices > 1 and self.response != "energy":
            raise SpecError(f"slices must be 1 unless the response is 'energy', got {self.slices}.")
        if not 2 * self.ramp <= self.slot:
            raise SpecError(f"ramp must be at most half a slot, {self.slot / 2:g} s, got {self.ramp:g} s.")

    def _check_numbers(self) -> None:
        given: dict[str, float | None] = {
            "sample_rate": self.sample_rate, "amplitude": self.amplitude, "slot": self.slot, "spacing": self.spacing,
            "pilot_slot": self.pilot_slot, "window": self.window,
            "pilot_amplitude": self.pilot_amplitude, "drives": self.drives, "slots": self.slots, "slices": self.slices,
        }  # fmt: skip
        for name, value in given.items():
            if value is not None and not 0 < value < math.inf:
                raise SpecError(f"{name} must be > 0 and finite, got {value}.")
        silences = {"ramp": self.ramp, "tail": self.tail, "lead_in": self.lead_in}
        if self.guard != "measured":
            silences["guard"] = self.guard
        if self.pilot_settle is not None:
            silences["pilot_settle"] = self.pilot_settle
        for name, value in silences.items():
            if not 0 <= value < math.inf:
                raise SpecError(f"{name} must be >= 0 s and finite, got {value}.")
        if not 0 < self.guard_level < 1:
            raise SpecError(f"guard_level must be a part, above 0 and below 1, got {self.guard_level}.")
        if not all(math.isfinite(phase) for phase in self.phases):
            raise SpecError(f"phases must be finite, in rad, got {self.phases}.")
