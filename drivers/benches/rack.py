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
        self._suspected: set[str] = set()  # roles that are recovered before anything else, whatever they answer
        self.lost: set[str] = set()
        """Roles whose settings may be lost. Whoever sets one up takes it out."""
        self.opened = False
        """Whether every line is open and in step, as far as is known."""

    @property
    def faults(self) -> Counter[str]:
        """Faults of all lines since the instruments were made, by kind."""
        total: Counter[str] = Counter()
        for instrument in self._instruments.values():
            total.update(dict(instrument.faults))
        return total

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles, in the order in which they were given."""
        return tuple(self._instruments)

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
                    serve = " Is it served? physnet simulate BENCH" if self._simulated else ""
                    raise InputError(f"{role} of {self._name} can't be opened: {error}{serve}") from error
                self._check_kind(role, instrument)
            self._suspected.clear()
            self.lost = set(self._instruments)
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

    def suspect(self, resource: str) -> None:
        """Note that a line failed: what is on it is recovered next; everything, where nothing is known by this name."""
        found = {role for role, instrument in self._instruments.items() if instrument.resource == resource}
        self._suspected |= found or set(self._instruments)
        self.opened = False

    def recover(self) -> None:
        """Make every instrument safe in the bench's order, and bring back in step those whose line failed or fails now.

        Afterwards `lost` tells what must be set up again. An instrument that never lost its line is left as it was.

        Raises:
            MeasurementError: One stays away.
            Stopped: The run is to stop.
        """
        self.opened = False
        try:
            for role in self._order:
                try:
                    self._bring_back(role)
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

    def recover_one(self, role: str) -> None:
        """Bring one line back in step, and make its instrument safe.

        Raises:
            TransportError: It stays away.
            Stopped: The run is to stop.
        """
        self.lost.add(role)
        self._instruments[role].recover()
        self._instruments[role].make_safe()
        self._suspected.discard(role)

    def _bring_back(self, role: str) -> None:
        if role not in self._suspected:
            try:
                self._instruments[role].make_safe()
            except TransportError:
                self._suspected.add(role)
            else:
                return
        self.recover_one(role)

    def _once_more(self, role: str) -> bool:
        """Recover one instrument and make it safe: the exchange before may have left its line out of step.

        One that was waited for in vain already is not waited for again.
        """
        if role in self._away:
            return False
        try:
            self.recover_one(role)
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
