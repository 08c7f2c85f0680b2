"""A line to a simulated instrument in this process whose answers may be exchanged for anything.

Nothing waits on it: an answer that does not come is a timeout at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from physnet.drivers.buffered import BufferedTransport
from physnet.drivers.transport import Deadline
from physnet.simulators.instruments.device import ScpiDevice
from physnet.simulators.instruments.messages import MessageReader
from physnet.simulators.instruments.wire import encode

ENDLESS = b"\x00endless"
"""Stands for bytes that never end."""


class FuzzedLine(BufferedTransport):
    """A stream to a device.

    Args:
        device: The instrument.
        terminator: What ends an answer.
        changes: Answers to exchanges, counted from 0, instead of the right ones, terminators included.
        piece: Most bytes that come at once.
        after: Called with each message that was carried out.
    """

    def __init__(
        self,
        device: ScpiDevice,
        *,
        terminator: bytes = b"\n",
        changes: Mapping[int, bytes] | None = None,
        piece: int = 1 << 16,
        after: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__("FUZZED::SOCKET", stream=True)
        self.exchanges = 0
        """Messages that were answered, or should have been."""
        self._device, self._terminator, self._changes, self._piece = device, terminator, changes or {}, piece
        self._after = after
        self._reader = MessageReader()
        self._coming = bytearray()
        self._endless = False

    def _connect(self, deadline: Deadline) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        self._reader, self._endless = MessageReader(), False
        self._coming.clear()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        for message in self._reader.feed(data):
            answers = self._device.execute(message)
            self._after(message.text)
            if not answers:
                continue
            change = self._changes.get(self.exchanges)
            self.exchanges += 1
            if change == ENDLESS:
                self._endless = True
            else:
                self._coming += encode(answers, self._terminator) if change is None else change

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        if self._endless and not deadline.passed:
            count = min(len(buffer), self._piece)
            buffer[:count] = b"7" * count
            return count
        if not self._coming:
            raise self.timeout("the answer")
        count = min(len(buffer), self._piece, len(self._coming))
        buffer[:count] = self._coming[:count]
        del self._coming[:count]
        return count

    def _peek(self) -> bytes:
        return b"7" if self._endless else bytes(self._coming[:64])
