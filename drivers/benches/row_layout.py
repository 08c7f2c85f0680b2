"""Where everything of a row is, in samples of the source.

::

    lead-in | pilot: rise, settle, read | fall, guard | drive: slots, listened to at its end | fall, guard, a last 0
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from physnet.errors import SpecError

from .tone_options import ToneOptions

_SLACK = 1e-6  # samples, or periods: what counts as whole
_DEFAULT_BITS = 12


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a row that is listened to.

    Args:
        first: Its first sample.
        samples: How many.
        origin: The sample at which the phase of its tones is counted from 0.
        tones: What is listened for, in Hz.
        sample_rate: Of the source, in Hz.
    """

    first: int
    samples: int
    origin: int
    tones: tuple[float, ...]
    sample_rate: float

    @property
    def duration(self) -> float:
        """In s."""
        return self.samples / self.sample_rate

    @property
    def start(self) -> float:
        """From the beginning of the row, in s."""
        return self.first / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class RowLayout:
    """A row, in samples of the source.

    Args:
        slots: Slots of the drive.
        pilot: First sample of the pilot.
        pilot_window: What is read of it; None without a pilot.
        drive: First sample of the drive.
        drive_samples: Up to the end of its window.
        window: What is listened to.
        samples: Of the row, a multiple of the source's step.
        guard: Silence at the end of the row in s, at least.
        sample_rate: In Hz.
    """

    slots: int
    pilot: int
    pilot_window: Window | None
    drive: int
    drive_samples: int
    window: Window
    samples: int
    guard: float
    sample_rate: float

    @property
    def duration(self) -> float:
        """Of a row in s."""
        return self.samples / self.sample_rate


def lay_out(options: ToneOptions, *, channels: int, step: int, guard: float) -> RowLayout:
    """Place the parts of a row one after the other.

    Args:
        options: What the row is made of.
        channels: Of the source.
        step: A row has a multiple of this many samples.
        guard: Silence after the pilot and at the end in s.

    Raises:
        SpecError: The drives don't fit into the slots, or a window does not hold what it should.
    """
    rate = options.sample_rate
    slots = _slots(options, channels)
    pilot = _up(options.lead_in * rate)
    drive = pilot
    pilot_window = None
    if options.identity == "pilot":
        settle = guard / 2 if options.pilot_settle is None else options.pilot_settle
        pilot_window = _pilot_window(options, pilot, pilot + _up((options.ramp + settle) * rate))
        drive = pilot_window.first + pilot_window.samples + _up(options.ramp * rate) + _up(guard * rate)
    drive_samples = round(((slots - 1) * options.spacing + options.slot + options.tail) * rate)
    window = _window(options, drive, drive_samples)
    # One sample more than the fall and the guard: the row must end at 0 even without either.
    end = drive + drive_samples + _up(options.ramp * rate) + _up(guard * rate) + 1
    return RowLayout(
        slots=slots,
        pilot=pilot,
        pilot_window=pilot_window,
        drive=drive,
        drive_samples=drive_samples,
        window=window,
        samples=math.ceil(end / step) * step,
        guard=guard,
        sample_rate=rate,
    )


def check_whole_periods(name: str, tones: tuple[float, ...], window: float) -> None:
    """Refuse tones that leak into each other over a window.

    Args:
        name: What the tones are called.
        tones: In Hz.
        window: In s.

    Raises:
        SpecError: One has no whole number of periods; the nearest frequency that has is named.
    """
    for tone in tones:
        if not _whole(tone * window):
            good = max(round(tone * window), 1) / window
            raise SpecError(
                f"{name} must have a whole number of periods in the window of {window:.6g} s, so be a multiple of "
                f"{1 / window:.6g} Hz, got {tone:g} Hz. The nearest good one is {good:.10g} Hz; or change the window."
            )


def whole_samples(name: str, duration: float, rate: float) -> int:
    """Return how many samples a duration has.

    Raises:
        SpecError: It is no whole number of 1 or more; the nearest duration that is is named.
    """
    samples = round(duration * rate)
    if samples < 1 or not _whole(duration * rate):
        raise SpecError(
            f"{name} must be a whole number of samples at {rate:g} Hz, got {duration:.6g} s, {duration * rate:.6g} "
            f"samples. The nearest good one is {max(samples, 1) / rate:.10g} s."
        )
    return samples


def _slots(options: ToneOptions, channels: int) -> int:
    each = channels * len(options.tones)
    needed = math.ceil(options.drives / each)
    slots = needed if options.slots is None else options.slots
    if slots < needed:
        raise SpecError(
            f"slots must be >= {needed} for {options.drives} drives on {channels} channels with {len(options.tones)} "
            f"tones, got {slots}."
        )
    if len(options.phases) not in (0, each):
        raise SpecError(f"phases must be one per channel and tone, {each}, got {len(options.phases)}.")
    return slots


def _window(options: ToneOptions, drive: int, drive_samples: int) -> Window:
    rate = options.sample_rate
    samples = whole_samples("window", options.slot if options.window is None else options.window, rate)
    if samples > drive_samples:
        raise SpecError(
            f"window must be at most the drive, {drive_samples / rate:.6g} s, got {samples / rate:.6g} s. Listen for a "
            "shorter time, or set tail."
        )
    if options.response == "energy":
        if samples % options.slices:
            good = max(round(samples / options.slices), 1) * options.slices
            raise SpecError(
                f"window must be {options.slices} equal slices of whole samples, got {samples} samples. The nearest "
                f"good one is {good / rate:.10g} s."
            )
    else:
        check_whole_periods("tones", options.tones, samples / rate)
    first = drive + drive_samples - samples
    return Window(first=first, samples=samples, origin=drive, tones=options.tones, sample_rate=rate)


def _pilot_window(options: ToneOptions, pilot: int, first: int) -> Window:
    rate = options.sample_rate
    samples = whole_samples("pilot_slot", options.pilot_slot, rate)
    tones = options.pilot_tones or _default_tones(options.tones, samples, rate)
    check_whole_periods("pilot_tones", tones, samples / rate)
    return Window(first=first, samples=samples, origin=pilot, tones=tones, sample_rate=rate)


def _default_tones(tones: tuple[float, ...], samples: int, rate: float) -> tuple[float, ...]:
    """Return neighbours on the grid of the window, from the lowest tone up: the medium carries that band."""
    lowest = max(round(min(tones) * samples / rate), 1)
    found = tuple((lowest + k) * rate / samples for k in range(_DEFAULT_BITS))
    if not 2 * found[-1] < rate:
        raise SpecError(
            f"pilot_slot must be longer for {_DEFAULT_BITS} pilot tones, {rate / samples:.6g} Hz apart, to lie below "
            f"half the sample rate, {rate / 2:g} Hz, the highest would be {found[-1]:g} Hz. Or name pilot_tones."
        )
    return found


def _whole(value: float) -> bool:
    return abs(value - round(value)) <= _SLACK


def _up(samples: float) -> int:
    return math.ceil(samples - _SLACK)
