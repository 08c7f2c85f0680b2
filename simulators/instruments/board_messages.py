"""Numbers of the boards' protocol, and what a board says of itself.

Source: README and `protocol.hpp` of the reference firmware, beside the drivers of boards (version 1.0.0).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from .frames import MAX_PAYLOAD

FIRMWARE = (1, 0, 0)
CREDITS = 8
SLOTS = CREDITS + 2  # two more, so that a host can ask for the status of a full board
MAX_CHANNELS = 240

REPLY, REFUSED = 0x80, 0xFF


class Request(enum.IntEnum):
    """What a frame asks for; the answer has `REPLY` added."""

    IDENTIFY = 1
    STATUS = 2
    ARM = 3
    SAFE = 4
    PLAY = 5
    PATTERN = 6
    READ_BACK = 7


class Reason(enum.IntEnum):
    """Why a request is refused."""

    VERSION = 1
    UNKNOWN = 2
    LENGTH = 3
    RANGE = 4
    NOT_ARMED = 5
    TRIPPED = 6
    OVERFLOW = 7
    STALE = 8
    HARDWARE = 9


class State(enum.IntEnum):
    """Of the outputs."""

    SAFE = 0
    ARMED = 1
    TRIPPED = 2


_ABILITIES = struct.Struct("<BBBBBB8sHBBHHHHIIiiiiB")


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a board says of itself.

    Args:
        name: Its model, at most 32 characters of ASCII.
        unique_id: 8 bytes.
        dac_channels: Analogue outputs.
        dac_bits: Of an output.
        dac_range: Output at the lowest and the highest code, in V.
        adc_channels: Analogue inputs.
        adc_bits: Of an input.
        adc_range: Input that gives the lowest and the highest code, in V.
        elements: Switchable elements; 0 for none.
        trigger: Whether it has a trigger output.
        watchdog: Longest silence of a host that outputs survive, in s.
        max_settle: Longest wait between output and input, in s.
        simulated: Whether it says that it has no real outputs.
    """

    name: str = "SIMULATED"
    unique_id: bytes = b"SIMULATE"
    dac_channels: int = 0
    dac_bits: int = 12
    dac_range: tuple[float, float] = (0.0, 3.3)
    adc_channels: int = 4
    adc_bits: int = 12
    adc_range: tuple[float, float] = (0.0, 3.3)
    elements: int = 0
    trigger: bool = True
    watchdog: float = 0.5
    max_settle: float = 0.1
    simulated: bool = True

    @property
    def pattern_bytes(self) -> int:
        """Bytes of a packed pattern."""
        return -(-self.elements // 8)

    def pack(self, version: int) -> bytes:
        """Return the answer to IDENTIFY."""
        name = self.name.encode("ascii", "replace")[:32]
        return (
            _ABILITIES.pack(
                version,
                *FIRMWARE,
                self.simulated | self.trigger << 1,
                0,
                self.unique_id,
                self.dac_channels,
                self.dac_bits,
                self.adc_bits,
                self.adc_channels,
                self.elements,
                CREDITS,
                MAX_PAYLOAD,
                round(self.watchdog * 1e3),
                round(self.max_settle * 1e6),
                *(round(volts * 1e6) for volts in (*self.dac_range, *self.adc_range)),
                len(name),
            )
            + name
        )
