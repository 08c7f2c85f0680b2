"""The line to a sound card: one owner, one thread that calls the library, one stream, and deadlines on all of it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from physnet.errors import InputError, TransportError, TransportFault

from ..own_thread import OwnThread
from ..transport import Deadline
from .sound_library import RATES, Card, SoundLibrary, find_card, started
from .sound_stream import DuplexState

T = TypeVar("T")

_NAME = re.compile(r"SOUND::(.+?)(::INSTR)?", re.IGNORECASE)
_WARM_UP = 0.2  # s without an xrun before a new stream is trusted: there are some at its start
_RATE_TOLERANCE = 1e-6  # what a host API may round; a card that offers another rate is percents off
_POLL = 0.005  # s
_STOP_POLL = 0.05  # s between two looks at whether a stop was asked for

_TYPICAL = Card(output=-1, input=-1, outputs=2, inputs=2, rates=RATES, identity="")

_owners: dict[str, SoundLine] = {}
_owners_lock = threading.Lock()


class SoundLine:
    """A card by its name, and the stream that runs on it.

    Args:
        resource: `SOUND::NAME`.
        recorder: Name of the device that records; empty for the one that plays.
        latency: Buffer that is asked for in each direction in s.
        timeout: Longest time of a call in s.
        backoff: Waits between attempts to get it back in s.
        library: Takes the place of `sounddevice`.
        check: Called while a lost card is waited for.

    Raises:
        InputError: An argument is out of its range.
    """

    def __init__(
        self,
        resource: str,
        *,
        recorder: str,
        latency: float,
        timeout: float,
        backoff: tuple[float, ...],
        library: SoundLibrary | None,
        check: Callable[[], None],
    ) -> None:
        found = _NAME.fullmatch(resource.strip())
        if not found:
            raise InputError(
                f"resource of a sound card must be 'SOUND::NAME', got {resource!r}. `physnet devices` lists the names."
            )
        if not 0.001 <= latency <= 2.0:
            raise InputError(f"latency must be 0.001 to 2 s, got {latency:g} s.")
        if not all(0 <= wait < 3600 for wait in backoff):
            raise InputError(f"backoff must be waits of 0 to 3600 s, got {backoff}.")
        Deadline.after(timeout)
        self.resource, self.identity = resource.strip(), ""
        self.faults: Counter[str] = Counter()
        self.state = DuplexState()
        self._output, self._input = found[1], recorder or found[1]
        self._latency, self._timeout, self._backoff = latency, timeout, backoff
        self._given, self._check = library, check
        self._library: SoundLibrary | None = None
        self._thread: OwnThread | None = None
        self._hung: OwnThread | None = None
        self._card: Card | None = None
        self._stream: Any = None
        self._format: tuple[float, int, int] | None = None

    @property
    def card(self) -> Card:
        """The device.

        Raises:
            TransportError: It is not open.
        """
        if self._card is None:
            raise self.fault("disconnected", "it is not open", "Open it, or recover it.")
        return self._card

    @property
    def latency(self) -> float:
        """What PortAudio says of the way from an output to an input, in s; half of it was seen as well."""
        return float(sum(self._stream.latency))

    def fault(self, kind: TransportFault, problem: str, advice: str = "") -> TransportError:
        """Count a fault and return its error."""
        self.faults[kind] += 1
        return TransportError(problem, kind=kind, resource=self.resource, advice=advice)

    @property
    def known(self) -> Card:
        """The device, or before it was opened what most are."""
        return self._card or _TYPICAL

    def check_running(self) -> None:
        """Raise unless the stream runs, as far as is known.

        Raises:
            TransportError: It ended by itself, or was ended when it was made safe.
        """
        if self._stream is None:
            raise self.fault("disconnected", "its stream was ended, for safety", "Set it up anew.")
        if self.state.ended.is_set():
            raise self.fault("disconnected", "its stream ended by itself", "Check its cable, and recover it.")

    def check_quiet(self) -> None:
        """Raise when samples were lost or made up outside bursts.

        Raises:
            TransportError: They were: the delay may be another one now.
        """
        if self._stream is not None and (xruns := self.state.idle_xruns):
            raise self.fault(
                "garbled",
                f"{xruns} xruns between bursts, after which the delay may be another one",
                "Recover it, and set it up anew; make latency longer, or end other programs.",
            )

    def open(self) -> None:
        """Find the card; nothing is played.

        Raises:
            InputError: Something else in this process owns it, there is none, or sounddevice is not installed.
            TransportError: The library does not answer, or another card has the name now.
        """
        key = self.resource.casefold()
        with _owners_lock:
            if _owners.setdefault(key, self) is not self or self._card is not None:
                raise InputError(f"{self.resource} is already open in this process. A card has one owner.")
            alone = len(_owners) == 1  # starting PortAudio anew would end the stream of another card
        try:
            if self._hung is not None and self._hung.alive:
                raise self.fault(
                    "timeout", "a call of before has not come back", "Its driver hangs: start the program anew."
                )
            self._thread = OwnThread(self.resource)
            self._card = self._call(lambda: self._search(alone), "looking for the device")
            if self.identity and self._card.identity != self.identity:
                raise self.fault(
                    "foreign", f"its identity must be {self.identity!r}, got {self._card.identity!r}", "Plug it back."
                )
            self.identity = self._card.identity
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the stream and give the card up; never raises, and may be called twice."""
        with contextlib.suppress(TransportError):  # counted
            self.stop()
        thread, self._thread, self._card = self._thread, None, None
        if thread is not None and not thread.close(Deadline.after(self._timeout)):
            self._hung = thread
        with _owners_lock:
            if _owners.get(self.resource.casefold()) is self:
                del _owners[self.resource.casefold()]

    def recover(self) -> None:
        """Give the card up and find it again, with the waits of `backoff`. No stream runs afterwards.

        Raises:
            TransportError: It stays away, or another card has its name.
            Stopped: The run is to stop, as `check` says.
        """
        last: Exception | None = None
        for wait in (0.0, *self._backoff):
            self._pause(wait)
            self.close()
            try:
                self.open()
                return
            except (TransportError, InputError) as error:  # InputError: no device of this name
                last = error
        assert last is not None
        raise self.fault(
            "disconnected", f"it did not come back in {len(self._backoff) + 1} attempts", f"The last one: {last}"
        ) from last

    def start(self, rate: float, *, outputs: int, inputs: int) -> None:
        """Start a stream that plays silence, and wait until it runs without xruns.

        A sound one of this format that runs already goes on, and so its delay stays.

        Args:
            rate: In Hz.
            outputs: Channels that play: the first ones of the card.
            inputs: Channels that record.

        Raises:
            TransportError: It can't be opened, has another rate, or does not run soundly.
        """
        wanted = (rate, outputs, inputs)
        if self._stream is not None and self._format == wanted and not self.state.ended.is_set():
            return
        card, state = self.card, DuplexState()
        self.stop()
        settings = {
            "samplerate": rate,
            "device": (card.input, card.output),
            "channels": (inputs, outputs),
            "dtype": ("int32", "float32"),
            "latency": self._latency,
            "blocksize": 0,  # what the host API prefers: with another size PulseAudio lost samples without a flag
            "dither_off": True,  # dither would be noise on the outputs at rest
            "callback": state.callback,
            "finished_callback": state.end,
        }
        self._stream = self._call(lambda: self._begin(settings), "opening the stream", undo=_end)
        self.state, self._format = state, wanted
        found = float(self._stream.samplerate)
        if not abs(found - rate) <= _RATE_TOLERANCE * rate:
            self.stop()
            raise self.fault("rejected", f"sample_rate must be {rate:g} Hz as it was set, got {found:g} Hz")
        try:
            self._warm_up(max(_WARM_UP, 2 * self.latency) * rate)
        except TransportError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the stream at once; what waits in its buffers is not played.

        Raises:
            TransportError: The library does not come back: it is not certain.
        """
        stream, self._stream, self.state.burst = self._stream, None, None
        if stream is not None:
            self._call(lambda: _end(stream), "ending the stream")

    def rest(self) -> None:
        """Make sure that silence is played: by the stream, or for want of one.

        Raises:
            TransportError: It is not certain.
        """
        _ = self.card
        burst = self.state.burst
        if self._stream is None:
            return
        if (burst is None or burst.over.is_set()) and self._plays(Deadline.after(self._timeout)):
            return  # it goes on, for its delay would be another one next time
        self.stop()

    def _plays(self, deadline: Deadline) -> bool:
        """Tell whether the stream asks for blocks, all of which are silent now."""
        before = self.state.frames
        while not self.state.ended.is_set() and not deadline.passed:
            if self.state.frames > before:
                return True
            time.sleep(_POLL)
        return False

    def _warm_up(self, frames: float) -> None:
        deadline, state = Deadline.after(self._timeout), self.state
        while state.quiet < frames:
            if state.ended.wait(_POLL):
                self.check_running()
            if deadline.passed:
                problem = f"{state.idle_xruns} xruns in {state.frames} samples of silence"
                if not state.frames:
                    raise self.fault("timeout", "the stream never asked for a sample", "Another program may hold it.")
                raise self.fault("garbled", problem, "Make latency longer, or end other programs.")
        state.idle_xruns = 0

    def _search(self, alone: bool) -> Card:
        library = started(self._given, anew=alone)
        self._library = library
        try:
            return find_card(library, self._output, self._input)
        except library.PortAudioError as error:
            raise self.fault("refused", f"PortAudio can't tell its devices ({error})") from error

    def _begin(self, settings: dict[str, Any]) -> Any:
        assert self._library is not None
        try:
            stream = self._library.Stream(**settings)
            try:
                stream.start()
            except BaseException:
                _end(stream)
                raise
        except (self._library.PortAudioError, ValueError) as error:
            raise self.fault(
                "refused", f"the stream can't be opened ({error})", "Another program may hold it, or it was unplugged."
            ) from error
        return stream

    def _call(self, call: Callable[[], T], doing: str, *, undo: Callable[[T], object] | None = None) -> T:
        if self._thread is None:
            raise self.fault("disconnected", "it is not open", "Open it, or recover it.")
        try:
            return self._thread.run(call, Deadline.after(self._timeout), doing, undo=undo)
        except TransportError as error:
            self.faults["timeout"] += error.kind == "timeout"  # the others were counted where they were raised
            raise

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STOP_POLL))
            self._check()


def _end(stream: Any) -> None:
    stream.abort()
    stream.close()
