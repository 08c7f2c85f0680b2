"""A stream that plays and records at once, and is silent but for bursts.

Axis letters: T samples; C channels.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

XRUNS = ("input_underflow", "input_overflow", "output_underflow", "output_overflow")
"""What a callback may be told: samples were left out, or made up."""


class Burst:
    """What is played, and room for what is recorded in the same samples.

    Args:
        play_TC: In units of full scale, with the silence before and after.
        inputs: Channels that record.
    """

    def __init__(self, play_TC: NDArray[np.float32], inputs: int) -> None:
        self._play_TC = play_TC
        self.record_TC = np.zeros((len(play_TC), inputs), np.int32)
        self.xruns = dict.fromkeys(XRUNS, 0)
        self.over = threading.Event()
        """Set when its last sample was handed over and recorded."""
        self._done = 0

    def advance(self, record: NDArray[np.int32], play: NDArray[np.float32]) -> None:
        """Hand over the next samples: `play` is filled as far as there are any, and `record` is kept."""
        first, last = self._done, min(self._done + len(play), len(self._play_TC))
        play[: last - first] = self._play_TC[first:last]
        self.record_TC[first:last] = record[: last - first]
        self._done = last
        if last == len(self._play_TC):
            self.over.set()


class DuplexState:
    """What the callback of a stream and its owner share.

    The callback runs in a thread of the library, and must never wait: it takes no lock. Each field is written by one
    side only.
    """

    def __init__(self) -> None:
        self.burst: Burst | None = None
        """Set by the owner: what is to be played from the next block on; None for silence."""
        self.frames = 0
        """Samples played since the stream was started."""
        self.quiet = 0
        """Samples since the last xrun."""
        self.idle_xruns = 0
        """Xruns outside bursts."""
        self.ended = threading.Event()
        """Set when the library says that the stream is over."""

    def callback(
        self, record: NDArray[np.int32], play: NDArray[np.float32], frames: int, moment: object, status: Any
    ) -> None:
        """Take a block of samples and give one, as `sounddevice.Stream` asks for it."""
        play.fill(0)
        burst = self.burst
        found = [name for name in XRUNS if status and getattr(status, name)]
        if burst is None or burst.over.is_set():
            self.idle_xruns += len(found)
        else:
            for name in found:
                burst.xruns[name] += 1
            burst.advance(record, play)
        self.quiet = 0 if found else self.quiet + frames
        self.frames += frames

    def end(self) -> None:
        """Note that the stream is over, whatever the reason."""
        self.ended.set()
