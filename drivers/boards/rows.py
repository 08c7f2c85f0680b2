"""What a board's answers to a batch amount to: codes that can be trained on, rows to measure again, and the fault.

Axis letters: N rows; R response channels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import Flag

from .link import Outcome
from .messages import OVERFLOW, REFUSALS, STALE

_ROW = struct.Struct("<IB")  # checksum of what was latched, and bit 0: the converter clipped
ROW_SIZE = _ROW.size


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The rows up to the one that a fault stopped, or all of them.

    Args:
        codes_NR: Codes of the inputs; 0 where the row is not valid.
        valid: False where the answer was lost on the way: the row may have been played.
        flags: Bits of `Flag`.
        fault: What stopped the batch at the row after the last one; empty when nothing did.
    """

    codes_NR: NDArray[np.int32]
    valid: NDArray[np.bool_]
    flags: NDArray[np.uint8]
    fault: str


def read_rows(
    payloads: Sequence[bytes], outcomes: Sequence[Outcome], *, channels: int, full: int, low_clips: bool, silence: str
) -> Rows:
    """Judge the answers to a batch, row by row.

    Args:
        payloads: What was sent.
        outcomes: What became of each.
        channels: Inputs of the board.
        full: Largest code of an input.
        low_clips: Code 0 means that an input left its range; not so where the range ends at 0 V.
        silence: What to say of a row that was never sent.

    Returns:
        The rows. A row whose latched outputs are not the ones sent is a fault: measuring it again would not help.
    """
    codes_NR = np.zeros((len(payloads), channels), np.int32)
    valid, flags = np.zeros(len(payloads), np.bool_), np.zeros(len(payloads), np.uint8)
    fault, stop = "", len(payloads)
    for row, (payload, outcome) in enumerate(zip(payloads, outcomes, strict=True)):
        if outcome.payload is not None:
            codes, clipped, fault = _read_row(outcome.payload, payload, channels, full)
            codes_NR[row], valid[row] = codes, not fault
            if clipped or codes.max() == full or (low_clips and codes.min() == 0):
                flags[row] = Flag.CLIPPED
        elif outcome.refusal not in (0, STALE, OVERFLOW):
            fault = REFUSALS.get(outcome.refusal, f"it refused for a reason unknown here ({outcome.refusal})")
        elif not outcome.sent:
            fault = silence
        if fault:
            stop = row
            break
    if not fault and not valid.any():
        fault, stop = "no row was answered in time", 0
    return Rows(codes_NR=codes_NR[:stop], valid=valid[:stop], flags=flags[:stop], fault=fault)


def _read_row(answer: bytes, sent: bytes, channels: int, full: int) -> tuple[NDArray[np.int32], bool, str]:
    nothing = np.zeros(channels, np.int32)
    if len(answer) != _ROW.size + 2 * channels:
        return nothing, False, f"an answer of {len(answer)} bytes does not fit {channels} inputs"
    codes = np.frombuffer(answer, "<u2", offset=_ROW.size).astype(np.int32)
    if codes.max() > full:
        return nothing, False, f"an input gave the code {codes.max()}, above its largest, {full}"
    checksum, flags = _ROW.unpack_from(answer)
    if checksum != zlib.crc32(sent):
        return nothing, False, "what it latched is not what was sent: an output or a shift register is stuck"
    return codes, bool(flags & 1), ""
