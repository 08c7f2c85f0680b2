"""The preamble of a waveform: what its codes and its samples mean.

Axis letters: N segments; C channels; P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import TransportError

from ..scpi import ScpiSession

_WORD = 1
_TYPES = (0, 3)  # normal and high resolution: one code a point
_FIELDS = 10
_SAME = 1e-5  # of the time between points, which comes with few digits


@dataclass(frozen=True, kw_only=True)
class Preamble:
    """What the codes of a channel mean.

    Args:
        scale: V of one code.
        offset: V of code 0.
        start: Time of the first point after the trigger in s.
    """

    scale: float
    offset: float
    start: float


def read_preamble(session: ScpiSession, query: str, *, before: Sequence[str], points: int, step: float) -> Preamble:
    """Ask for a preamble of words.

    Args:
        session: With the instrument.
        query: What asks for it.
        before: Commands to send with it.
        points: How many there must be.
        step: Time between two points in s.

    Raises:
        TransportError: It is none, or of another waveform (`garbled`, `rejected`).

    Source:
        Keysight InfiniiVision 3000T X-Series Programmer's Guide, :WAVeform:PREamble; 2000 X-Series, p. 644.
    """
    found = session.query_numbers(query, _FIELDS, before=before)
    form, kind, count, _, increment, start, x_reference, scale, y_origin, y_reference = found.tolist()
    sound = (
        np.isfinite(found).all()
        and form == _WORD
        and kind in _TYPES
        and increment > 0
        and scale > 0
        and x_reference == 0
    )
    if not sound:
        raise TransportError(
            f"{query} must answer a preamble of words, one a point, got {found.tolist()}",
            kind="garbled",
            resource=session.resource,
            advice="Something else set its format, or the record is not there.",
        )
    if count != points or not abs(increment - step) <= _SAME * step:
        raise TransportError(
            f"the record must have {points} points, one each {step:.9g} s, got {count:g}, one each {increment:.9g} s",
            kind="rejected",
            resource=session.resource,
            advice="Its memory does not hold so many points at this time range: change sample_rate or the record.",
        )
    # voltage = (code - reference) * increment + origin
    return Preamble(scale=scale, offset=y_origin - y_reference * scale, start=start)


def refuse_holes(codes_NCP: NDArray[np.uint16], channels: Sequence[int], *, hole: int, resource: str) -> None:
    """Refuse codes that stand for points that were never taken.

    Raises:
        TransportError: There are some.
    """
    holes_NC = (codes_NCP == hole).any(2)
    if holes_NC.any():
        segment, place = np.argwhere(holes_NC)[0]
        raise TransportError(
            f"channel {channels[place]} has points that were never taken, in segment {segment + 1}",
            kind="garbled",
            resource=resource,
            advice="Arm and record again; use port 5025, not 5024.",
        )
