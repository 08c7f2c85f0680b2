"""Which time range and which transferred points give the samples that were asked for.

An oscilloscope whose sample rate follows from its time range sends only certain numbers of points. Of those every
n-th is kept, so that the record has the rate that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from physnet.errors import InputError

_DIGITS = 4  # that a time range has when it is set as it was asked for
_KEPT = 50  # points that are transferred for each sample, at most


@dataclass(frozen=True, kw_only=True)
class RecordPlan:
    """A record.

    Args:
        points: Points that are transferred.
        keep: Every so many of them, one is kept.
        duration: Time range in s.
    """

    points: int
    keep: int
    duration: float

    @property
    def samples(self) -> int:
        """How many are kept."""
        return -(-self.points // self.keep)


def plan_record(
    samples: int, rate: float, *, numbers: Iterable[int], longest: float, durations: tuple[float, float]
) -> RecordPlan:
    """Return the record with the roundest time range and the fewest points that holds the samples.

    Args:
        samples: How many are needed.
        rate: In Hz.
        numbers: Numbers of points that can be transferred.
        longest: How much longer than needed a record may be, as a factor; the least that there is where none is so
            short.
        durations: Shortest and longest time range in s.

    Raises:
        InputError: There is none.
    """
    needed = samples / rate
    enough = sorted(points for points in numbers if points >= samples)
    enough = enough[:1] + [points for points in enough[1:] if points <= _KEPT * samples]
    found = [
        RecordPlan(points=points, keep=keep, duration=points / (keep * rate))
        for points in enough
        for keep in range(max(1, int(points / samples / longest)), points // samples + 1)
    ]
    found = [plan for plan in found if durations[0] <= plan.duration <= durations[1]]
    if not found:
        raise InputError(
            f"{samples} samples at {rate:g} Hz must fit into {durations[0]:g} to {durations[1]:g} s and its memory. "
            "Lower the rate or the length of a record."
        )
    short = [plan for plan in found if plan.duration <= longest * needed] or [min(found, key=lambda p: p.duration)]
    return min(short, key=lambda plan: (max(_DIGITS, _digits(plan.duration)), plan.points, plan.duration))


def _digits(value: float) -> int:
    """Return how many significant digits a number has."""
    return len(f"{value:.11e}".partition("e")[0].replace(".", "").rstrip("0"))
