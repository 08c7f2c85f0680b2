"""The requests of boards on a serial line, answered as the reference firmware answers them.

States: safe after start, on request and when a host introduces itself; armed on request; tripped when no valid frame
came for the watchdog's time while armed. Outputs move while armed only, and a tripped board stays safe until it is
armed again.

Source: README and `protocol.cpp` of the reference firmware, beside the drivers of boards (version 1.0.0).
"""

from __future__ import annotations

import struct
import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .board_messages import REFUSED, REPLY, SLOTS, Abilities, Reason, Request, State
from .frames import VERSION, Frame, FrameParser, encode

_STATUS = struct.Struct("<BBH9I")
_ARMING = struct.Struct("<II")
_ROW = struct.Struct("<IB")


class HardwareFault(Exception):
    """A converter or a register did not answer."""


class Hardware(Protocol):
    """Outputs and inputs of a board. Whatever can fail raises `HardwareFault`."""

    abilities: Abilities

    def make_safe(self) -> None:
        """Bring every output to its safe level, at once."""
        ...

    def write_outputs(self, codes: tuple[int, ...]) -> None:
        """Set all DAC channels together."""
        ...

    def write_pattern(self, packed: bytes) -> None:
        """Shift out a pattern, element 0 in bit 0 of byte 0, and latch all of it together."""
        ...

    def read_pattern(self) -> bytes:
        """Return what is latched."""
        ...

    def pulse_trigger(self) -> None:
        """Give a pulse on the trigger output."""
        ...

    def read_inputs(self) -> tuple[tuple[int, ...], bool]:
        """Return the codes of all ADC channels, and whether one of them left its range."""
        ...


class _Refusal(Exception):
    """Raised with the reason, a number of the protocol."""


class BoardProtocol:
    """Answers a host's frames.

    Args:
        hardware: The board's outputs and inputs.
        send: Takes the bytes of an answer.
        now: Clock in s.
        wait: Waits for a time in s: settling.
        version: Version of the protocol; another than 1 only in tests of hosts.
    """

    def __init__(
        self,
        hardware: Hardware,
        send: Callable[[bytes], None],
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        version: int = VERSION,
    ) -> None:
        self.state: State = State.SAFE
        self.frames = self.overflow = self.stale = self.trips = self.rows = self.peak = 0
        self.parser = FrameParser()
        self._hardware, self._send, self._now, self._wait = hardware, send, now, wait
        self._version = version
        self._queue: deque[Frame] = deque()
        self._last = 0  # newest sequence number that was acted upon
        self._heard = now()
        self._watchdog = hardware.abilities.watchdog
        self._settle = 0.0
        self._latched = 0  # checksum of what was set last
        self._answers: dict[int, Callable[[Frame], bytes]] = {
            Request.IDENTIFY: self._identify,
            Request.STATUS: self._status,
            Request.ARM: self._arm,
            Request.PLAY: self._play,
            Request.PATTERN: self._play,
            Request.READ_BACK: self._read_back,
        }
        hardware.make_safe()

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be answered."""
        return not self._queue

    @property
    def due(self) -> float:
        """Time in s until the watchdog must be looked at."""
        if self._queue:
            return 0.0
        if self.state != State.ARMED:
            return float("inf")
        return max(0.0, self._heard + self._watchdog - self._now())

    def receive(self, data: bytes) -> None:
        """Take whatever the line gave."""
        for frame in self.parser.feed(data):
            self._accept(frame)

    def poll(self) -> None:
        """Look at the watchdog, and answer at most one frame."""
        if self.state == State.ARMED and not self._queue and self._now() - self._heard > self._watchdog:
            self._make_safe(State.TRIPPED)
            self.trips += 1
        if not self._queue:
            return
        frame = self._queue.popleft()
        self._answer(frame)
        # Work that the host was promised is no silence.
        self._heard = self._now()

    def _accept(self, frame: Frame) -> None:
        self.frames += 1
        if frame.version != self._version:
            self._refuse(frame, Reason.VERSION)
            return
        self._heard = self._now()
        if frame.kind == Request.SAFE:  # at once, ahead of what is queued
            self._make_safe(State.SAFE)
            self._reply(frame, bytes([self.state]))
        elif len(self._queue) == SLOTS:
            self.overflow += 1
            self._refuse(frame, Reason.OVERFLOW)
        else:
            self._queue.append(frame)
            self.peak = max(self.peak, len(self._queue))

    def _answer(self, frame: Frame) -> None:
        try:
            answer = self._answers.get(frame.kind)
            if answer is None:
                raise _Refusal(Reason.UNKNOWN)
            self._reply(frame, answer(frame))
        except _Refusal as refusal:
            self._refuse(frame, refusal.args[0])
        except HardwareFault:
            self._refuse(frame, Reason.HARDWARE)

    def _identify(self, frame: Frame) -> bytes:
        # A host that introduces itself knows nothing of what the one before left on.
        self._make_safe(State.SAFE)
        self._last = frame.sequence
        return self._hardware.abilities.pack(self._version)

    def _status(self, frame: Frame) -> bytes:
        parser, clock = self.parser, int(self._now() * 1e3) % 2**32
        return _STATUS.pack(
            self.state,
            self.peak,
            SLOTS - len(self._queue) - 1,  # the firmware frees a slot after it answered
            self.frames,
            parser.bad_crc,
            parser.bad_cobs,
            parser.oversize,
            self.overflow,
            self.stale,
            self.trips,
            self.rows,
            clock,
        )

    def _arm(self, frame: Frame) -> bytes:
        self._check_fresh(frame)
        if len(frame.payload) != _ARMING.size:
            raise _Refusal(Reason.LENGTH)
        settle_us, watchdog_ms = _ARMING.unpack(frame.payload)
        abilities = self._hardware.abilities
        if settle_us > round(abilities.max_settle * 1e6) or not 1 <= watchdog_ms <= round(abilities.watchdog * 1e3):
            raise _Refusal(Reason.RANGE)
        self._settle, self._watchdog = settle_us / 1e6, watchdog_ms / 1e3
        self.state = State.ARMED
        self._heard = self._now()
        return frame.payload

    def _play(self, frame: Frame) -> bytes:
        self._check_fresh(frame)
        if self.state != State.ARMED:
            raise _Refusal(Reason.TRIPPED if self.state == State.TRIPPED else Reason.NOT_ARMED)
        if frame.kind == Request.PLAY:
            self._set_outputs(frame.payload)
        else:
            self._set_pattern(frame.payload)
        if self._settle:
            self._wait(self._settle)
        codes, clipped = self._hardware.read_inputs()
        self.rows += 1
        return _ROW.pack(self._latched, clipped) + struct.pack(f"<{len(codes)}H", *codes)

    def _set_outputs(self, payload: bytes) -> None:
        abilities = self._hardware.abilities
        if not abilities.dac_channels or len(payload) != 2 * abilities.dac_channels:
            raise _Refusal(Reason.LENGTH)
        codes = struct.unpack(f"<{abilities.dac_channels}H", payload)
        if max(codes) >> abilities.dac_bits:
            raise _Refusal(Reason.RANGE)
        self._hardware.write_outputs(codes)
        self._latched = zlib.crc32(payload)

    def _set_pattern(self, payload: bytes) -> None:
        size = self._hardware.abilities.pattern_bytes
        if not size or len(payload) != size:
            raise _Refusal(Reason.LENGTH)
        self._hardware.write_pattern(payload)
        self._latched = zlib.crc32(self._hardware.read_pattern())
        self._hardware.pulse_trigger()

    def _read_back(self, frame: Frame) -> bytes:
        latched = self._latched
        if self._hardware.abilities.elements:
            latched = zlib.crc32(self._hardware.read_pattern())
        return struct.pack("<BI", self.state, latched)

    def _check_fresh(self, frame: Frame) -> None:
        """Refuse what the line repeated or a newer frame overtook: it would be a row that nobody counts."""
        ahead = (frame.sequence - self._last) % 2**32
        if not 0 < ahead < 2**31:
            self.stale += 1
            raise _Refusal(Reason.STALE)
        self._last = frame.sequence

    def _make_safe(self, state: State) -> None:
        self._hardware.make_safe()
        self.state = state
        self._latched = 0

    def _reply(self, frame: Frame, payload: bytes) -> None:
        self._send(encode(frame.kind | REPLY, frame.sequence, payload, version=self._version))

    def _refuse(self, frame: Frame, why: int) -> None:
        payload = bytes([why, self.state, frame.kind])
        self._send(encode(REFUSED, frame.sequence, payload, version=self._version))
