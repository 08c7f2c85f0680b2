"""What the frames of a board mean: kinds, errors, and the two long answers. The firmware's README has the tables."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Self

from physnet.errors import MeasurementError

REPLY = 0x80
ERROR = 0xFF


class Kind(enum.IntEnum):
    """What a frame asks for; its answer has `REPLY` added."""

    IDENTIFY = 1
    STATUS = 2
    ARM = 3
    SAFE = 4
    PLAY = 5
    PATTERN = 6
    READ_BACK = 7


# Asking twice changes nothing: these alone are sent again when an answer is lost.
IDEMPOTENT = frozenset({Kind.IDENTIFY, Kind.STATUS, Kind.SAFE, Kind.READ_BACK})

REFUSALS = {
    1: "it speaks another version of the protocol",
    2: "it does not know this kind of frame",
    3: "the length is wrong for its channels",
    4: "a value is out of its range",
    5: "its outputs are safe, not armed: it was reset, or another program told it to",
    6: "its watchdog found the host silent and made the outputs safe",
    7: "its buffer was full",
    8: "the frame was repeated or overtaken on the way",
    9: "its converters did not answer",
}
NOT_ARMED, TRIPPED, STALE, OVERFLOW = 5, 6, 8, 7

_IDENTITY = struct.Struct("<BBBBBx8sHBBHHHHIIiiiiB")
_STATUS = struct.Struct("<BBH9I")


@dataclass(frozen=True, kw_only=True)
class BoardIdentity:
    """What a board says about itself.

    Args:
        name: Its model.
        unique_id: Hexadecimal number that no other board has.
        firmware: Version of its firmware.
        protocol: Version of the protocol.
        simulated: It has no real outputs.
        trigger: It has a trigger output.
        dac_channels: Analogue outputs.
        dac_bits: Bits of an output code.
        adc_channels: Analogue inputs.
        adc_bits: Bits of an input code.
        pattern_bits: Switchable elements; 0 for none.
        credits: Frames that it can hold.
        max_payload: Largest payload of a frame, in bytes.
        watchdog: Longest silence of the host that its outputs survive, in s.
        max_settle: Longest wait between output and input, in s.
        dac_range: Outputs at the lowest and the highest code, in V.
        adc_range: Inputs that give the lowest and the highest code, in V.
    """

    name: str
    unique_id: str
    firmware: str
    protocol: int
    simulated: bool
    trigger: bool
    dac_channels: int
    dac_bits: int
    adc_channels: int
    adc_bits: int
    pattern_bits: int
    credits: int
    max_payload: int
    watchdog: float
    max_settle: float
    dac_range: tuple[float, float]
    adc_range: tuple[float, float]

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read the answer to IDENTIFY.

        Raises:
            MeasurementError: It is damaged, or contradicts itself.
        """
        if len(payload) < _IDENTITY.size:
            raise MeasurementError(f"a board must identify itself in >= {_IDENTITY.size} bytes, got {len(payload)}.")
        protocol, major, minor, patch, flags, unique, dacs, dac_bits, adc_bits, adcs, bits, *rest = (
            _IDENTITY.unpack_from(payload)
        )
        credit, largest, watchdog_ms, settle_us, *microvolts, name_size = rest
        name = payload[_IDENTITY.size :]
        ranges = tuple(value * 1e-6 for value in microvolts)
        sound = (
            len(name) == name_size
            and credit >= 1
            and watchdog_ms >= 1
            and (dacs == 0 or (1 <= dac_bits <= 16 and ranges[0] < ranges[1] and 2 * dacs <= largest))
            and (adcs == 0 or (1 <= adc_bits <= 16 and ranges[2] < ranges[3]))
            and bits <= 8 * largest
        )
        if not sound:
            raise MeasurementError(
                f"a board's description of itself must not contradict itself, got {payload.hex()}. Repair its "
                "firmware: see Capabilities in board.hpp."
            )
        return cls(
            name=name.decode("ascii", "replace"),
            unique_id=unique.hex(),
            firmware=f"{major}.{minor}.{patch}",
            protocol=protocol,
            simulated=bool(flags & 1),
            trigger=bool(flags & 2),
            dac_channels=dacs,
            dac_bits=dac_bits,
            adc_channels=adcs,
            adc_bits=adc_bits,
            pattern_bits=bits,
            credits=credit,
            max_payload=largest,
            watchdog=watchdog_ms / 1000,
            max_settle=settle_us / 1_000_000,
            dac_range=(ranges[0], ranges[1]),
            adc_range=(ranges[2], ranges[3]),
        )


@dataclass(frozen=True, kw_only=True)
class BoardStatus:
    """A board's state and what it counted since it started.

    Args:
        state: 0 safe, 1 armed, 2 tripped by its watchdog.
        peak: Most frames that it ever held at once.
        free: Frames that it can hold now.
        frames: Good frames received.
        bad_crc: Frames dropped for their checksum.
        bad_cobs: Frames dropped for their framing.
        oversize: Frames dropped for their length.
        overflow: Frames refused because the buffer was full.
        stale: Frames refused because they were repeated or overtaken.
        trips: How often the watchdog made the outputs safe.
        rows: Rows played.
        uptime: Time on its clock, in s.
    """

    state: int
    peak: int
    free: int
    frames: int
    bad_crc: int
    bad_cobs: int
    oversize: int
    overflow: int
    stale: int
    trips: int
    rows: int
    uptime: float

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read the answer to STATUS.

        Raises:
            MeasurementError: It is damaged.
        """
        if len(payload) != _STATUS.size:
            raise MeasurementError(f"a board's status must have {_STATUS.size} bytes, got {len(payload)}.")
        names = ("state", "peak", "free", "frames", "bad_crc", "bad_cobs", "oversize", "overflow", "stale", "trips")
        *counts, rows, uptime_ms = _STATUS.unpack(payload)
        return cls(**dict(zip(names, counts, strict=True)), rows=rows, uptime=uptime_ms / 1000)
