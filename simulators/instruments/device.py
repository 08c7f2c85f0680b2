"""What simulated SCPI instruments share: a table of commands, an error queue, the status registers of IEEE 488.2."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from .codes import Refusal, status_bit
from .commands import Answer, Call, Command, CommandTable
from .messages import Message, Unit, parse_units

_OPERATION_COMPLETE, _POWER_ON = 1, 128


class ScpiDevice:
    """An instrument without a line. `InstrumentServer` gives it one.

    A kind of instrument declares its `COMMANDS` and overrides what it needs of `on_reset`, `on_trigger` and `busy`.
    Every message is executed under `lock`; whoever changes it from another thread holds the lock too, and calls
    `changed` when something that `busy` tells is over.

    Args:
        suffixes: Largest numbers of this unit's mnemonics, where they differ from its kind's.
    """

    IDENTITY: ClassVar[str]
    """Answer to `*IDN?`: as the real one's, with SIMULATED in the serial number."""
    COMMANDS: ClassVar[tuple[Command, ...]] = ()
    """Its table; it comes on top of the common commands."""
    SUFFIXES: ClassVar[dict[str, int]] = {}
    """Largest number of a mnemonic, by its short form, such as `{"CHAN": 4}`."""
    QUEUE: ClassVar[int] = 20
    """Entries of its error queue."""
    NO_ERROR: ClassVar[str] = '+0,"No error"'
    NUMBER_FORMAT: ClassVar[str] = "+.14E"
    BLOCK_DIGITS: ClassVar[int] = 0
    """Digits that a block's length is written with; 0 for as many as it needs."""
    _TABLE: ClassVar[CommandTable]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._TABLE = CommandTable((*COMMON, *cls.COMMANDS), cls.SUFFIXES)

    def __init__(self, *, suffixes: Mapping[str, int] | None = None) -> None:
        commands = (*COMMON, *self.COMMANDS)
        self._table = self._TABLE if suffixes is None else CommandTable(commands, suffixes)
        self.lock = threading.Condition(threading.RLock())
        self.mistakes: list[Exception] = []
        """What went wrong in the instrument itself; never what it was told."""
        self._values: dict[tuple[Any, ...], Any] = {}
        self._errors: deque[Refusal] = deque()
        self._events = _POWER_ON
        self._masks = {"event": 0, "service": 0}
        self._report_completion = False
        self._closed = False

    def execute(self, message: Message) -> list[Answer]:
        """Carry out a message and return the answers of its queries; what it refuses goes into the error queue."""
        answers: list[Answer] = []
        with self.lock:
            try:
                for unit in parse_units(message):
                    try:
                        answers += self._carry_out(unit)
                    except Refusal as refusal:
                        if -199 <= refusal.code <= -100:
                            raise
                        self.report(refusal)
            except Refusal as refusal:  # a command error: the rest of the message is dropped
                self.report(refusal)
        return answers

    def report(self, refusal: Refusal) -> None:
        """Put an entry into the error queue."""
        with self.lock:
            self._events |= status_bit(refusal.code)
            if len(self._errors) < self.QUEUE:
                self._errors.append(refusal)
            else:
                self._errors[-1] = Refusal(-350)

    def blame(self, error: Exception) -> None:
        """Note a mistake of the instrument itself, which also queues an error."""
        self.mistakes.append(error)
        self.report(Refusal(-310, type(error).__name__))

    def value(self, name: str, *numbers: int) -> Any:
        """Return a setting."""
        found = self._values.get((name, *numbers))
        return self._table.defaults[name] if found is None else found

    def keep(self, name: str, numbers: tuple[int, ...], value: Any) -> None:
        """Change a setting."""
        self._values[(name, *numbers)] = value
        self.on_setting(name, numbers)

    def format_number(self, value: float) -> str:
        """Return a number as this instrument writes it; infinity is 9.9E37."""
        return format(min(max(value, -9.9e37), 9.9e37), self.NUMBER_FORMAT)

    def overloaded(self, answer: Answer) -> Answer | None:
        """Return an answer with the codes for overload or missing values in it; None where it holds no data."""
        if isinstance(answer, str) and "." in answer and answer[:1] in "+-0123456789":
            return ",".join("9.91E+37" for _ in answer.split(","))
        return None

    def busy(self) -> bool:
        """Whether an operation goes on that `*OPC?` waits for."""
        return False

    def on_setting(self, name: str, numbers: tuple[int, ...]) -> None:
        """Follow a setting that has changed."""

    def on_reset(self) -> None:
        """Follow `*RST`; the settings are at their defaults already."""

    def on_trigger(self) -> None:
        """Follow `*TRG`."""
        raise Refusal(-211)

    def changed(self) -> None:
        """Tell whoever waits that an operation may be over."""
        with self.lock:
            if self._report_completion and not self.busy():
                self._report_completion = False
                self._events |= _OPERATION_COMPLETE
            self.lock.notify_all()

    def wait_idle(self) -> None:
        """Wait, without the lock, until nothing goes on any more, or the instrument is closed."""
        self.wait_for(lambda: not self.busy())

    def wait_for(self, condition: Callable[[], bool], *, every: float | None = None) -> None:
        """Wait, without the lock, until something is true that `changed` tells of, or the instrument is closed.

        Args:
            condition: What must be true.
            every: Look at it also without having been told, so often, in s.
        """
        while not self.lock.wait_for(lambda: self._closed or condition(), timeout=every):
            pass

    def close(self) -> None:
        """End all waiting, for good."""
        with self.lock:
            self._closed = True
            self.lock.notify_all()

    def _carry_out(self, unit: Unit) -> list[Answer]:
        command, numbers = self._table.find(unit)
        call = Call(numbers, unit.parameters)
        if unit.query and command.ask is not None:
            return [command.ask(self, call)]
        if not unit.query and command.write is not None:
            command.write(self, call)
            return []
        raise Refusal(-113, unit.header[:64])

    def _reset(self, call: Call) -> None:
        call.at_most(0)
        self._values.clear()
        self._report_completion = False
        self.on_reset()

    def _clear(self, call: Call) -> None:
        call.at_most(0)
        self._errors.clear()
        self._events = 0
        self._report_completion = False

    def _complete(self, call: Call) -> None:
        self._report_completion = True
        self.changed()

    def _completed(self, call: Call) -> str:
        self.wait_idle()
        return "1"

    def _take_events(self, call: Call) -> str:
        events, self._events = self._events, 0
        return f"+{events}"

    def _status(self, call: Call) -> str:
        byte = 4 * bool(self._errors) + 32 * bool(self._events & self._masks["event"])
        return f"+{byte + 64 * bool(byte & self._masks['service'])}"

    def _take_error(self, call: Call) -> str:
        if not self._errors:
            return self.NO_ERROR
        refusal = self._errors.popleft()
        text = refusal.text.replace('"', "'")
        return f'{refusal.code:+d},"{text}"'


def _mask(pattern: str, name: str) -> Command:
    def write(device: ScpiDevice, call: Call) -> None:
        device._masks[name] = int(call.number(low=0, high=255))

    return Command(pattern, write, lambda device, call: f"+{device._masks[name]}")


COMMON = (
    Command("*IDN", ask=lambda device, call: str(device.IDENTITY)),
    Command("*CLS", ScpiDevice._clear),
    Command("*RST", ScpiDevice._reset),
    Command("*OPC", ScpiDevice._complete, ScpiDevice._completed),
    Command("*WAI", lambda device, call: device.wait_idle()),
    Command("*TRG", lambda device, call: device.on_trigger()),
    Command("*TST", ask=lambda device, call: "+0"),
    Command("*ESR", ask=ScpiDevice._take_events),
    Command("*STB", ask=ScpiDevice._status),
    _mask("*ESE", "event"),
    _mask("*SRE", "service"),
    Command("SYSTem:ERRor[:NEXT]", ask=ScpiDevice._take_error),
)
"""Commands that every instrument has.

Source:
    IEEE Std 488.2-1992, section 10; SCPI-99, volume 2, section 21.8.
"""
