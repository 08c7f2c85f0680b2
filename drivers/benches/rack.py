"""The instruments of a bench together: opened in order, made safe in order, recovered together.

The safe sequence runs before anything is set, when the bench is left for whatever reason, and first thing after a line
came back. Ctrl-C and SIGTERM wait until it is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from physnet.errors import InputError, MeasurementError, TransportError
from physnet.interrupts import deferred_signals

from ..roles import Instrument
from .locks import BenchLock


class Rack:
    """Some instruments, by their roles.

    Args:
        name: Name of the bench.
        instruments: By role. One that has two roles stands here once.
        sequence: Roles in the order in which they are made safe; the others follow.
        simulated: Whether all of them must say that they are simulated; otherwise none may.
        lock: Taken before the first line is opened.
    """

    def __init__(
        self,
        name: str,
        instruments: Mapping[str, Instrument],
        *,
        sequence: Sequence[str] = (),
        simulated: bool = False,
        lock: BenchLock | None = None,
    ) -> None:
        if unknown := [role for role in sequence if role not in instruments]:
            raise InputError(f"safety.sequence of {name} must name its roles {sorted(instruments)}, got {unknown}.")
        self._name, self._instruments = name, dict(instruments)
        self._order = [*dict.fromkeys(sequence), *(role for role in instruments if role not in sequence)]
        self._simulated = simulated
        self._lock = lock
        self._away: set[str] = set()  # roles whose line did not come back when it was last waited for
        self.opened = False
        """Whether every line is open, as far as is known."""

    @property
    def faults(self) -> Counter[str]:
        """Faults of all lines since the instruments were made, by kind."""
        total: Counter[str] = Counter()
        for instrument in self._instruments.values():
            total.update(dict(instrument.faults))
        return total

    @property
    def identities(self) -> dict[str, str]:
        """Who answered, by role."""
        return {role: instrument.identity for role, instrument in self._instruments.items()}

    def open(self) -> None:
        """Open and identify every instrument, then make all safe. Nothing is set before all have said who they are.

        Raises:
            InputError: One can't be opened, is another one, or is simulated where it must not be. All are closed.
        """
        if self.opened:
            raise InputError(f"{self._name} is open already: one program, one `with`.")
        if self._lock is not None:
            self._lock.__enter__()
        try:
            for role, instrument in self._instruments.items():
                try:
                    instrument.open()
                except TransportError as error:
                    raise InputError(f"{role} of {self._name} can't be opened: {error}") from error
                self._check_kind(role, instrument)
            self.make_safe()
        except BaseException as error:
            self._close()
            if isinstance(error, MeasurementError):
                raise InputError(f"{self._name} can't be opened: {error}") from error
            raise
        self.opened = True

    def close(self) -> None:
        """Make all safe, then close all lines.

        Raises:
            MeasurementError: It is not certain that all are safe. The lines are closed all the same.
        """
        try:
            self.make_safe()
        finally:
            with deferred_signals():
                self._close()

    def make_safe(self) -> None:
        """Make every instrument safe in the bench's order; one that can't be reached does not keep the others waiting.

        Raises:
            MeasurementError: It is not certain of some, which it names.
        """
        failed: list[str] = []
        with deferred_signals():
            for role in self._order:
                try:
                    self._instruments[role].make_safe()
                except TransportError as error:
                    if not self._once_more(role):
                        failed.append(f"{role} ({error})")
        if failed:
            raise MeasurementError(
                f"safe outputs of {self._name} are not certain: {'; '.join(failed)}. Look at the bench, and switch it "
                "off by hand if in doubt."
            )

    def recover(self) -> None:
        """Bring every line back in step, safe outputs first. What was set may be lost afterwards.

        Raises:
            MeasurementError: One stays away.
            Stopped: The run is to stop.
        """
        self.opened = False
        try:
            for role in self._order:
                try:
                    self._instruments[role].recover()
                    self._instruments[role].make_safe()
                    self._away.discard(role)
                except TransportError as error:
                    self._away.add(role)
                    raise MeasurementError(f"{role} of {self._name} does not come back: {error}") from error
        except MeasurementError as error:
            self._quieten(error)
            raise
        self.opened = True

    def _quieten(self, error: MeasurementError) -> None:
        """One line stays away: make the others safe at least."""
        try:
            self.make_safe()
        except MeasurementError as unsafe:
            error.add_note(str(unsafe))

    def _once_more(self, role: str) -> bool:
        """Recover one instrument and make it safe: the exchange before may have left its line out of step.

        One that was waited for in vain already is not waited for again.
        """
        if role in self._away:
            return False
        instrument = self._instruments[role]
        try:
            instrument.recover()
            instrument.make_safe()
        except TransportError:
            self._away.add(role)
            return False
        return True

    def _check_kind(self, role: str, instrument: Instrument) -> None:
        if instrument.simulated != self._simulated:
            found, wanted = ("simulated", "true") if instrument.simulated else ("real", "false")
            raise InputError(
                f"{role} of {self._name} is a {found} instrument ({instrument.identity}). Set simulated = {wanted}, so "
                "that the session says so."
            )

    def _close(self) -> None:
        self.opened = False
        for role in reversed(self._order):
            self._instruments[role].close()
        if self._lock is not None:
            self._lock.release()
