"""What all benches share: opening, a fault and the way back from it, and safe outputs whatever happens.

Axis letters: N rows; D drives.
"""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from collections import Counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Passes, PhysicalSystem, Reading, SystemSpec
from physnet.drives import check_drive, fit_drive
from physnet.errors import DriveError, FaultError, InputError, MeasurementError, TransportError

from .rack import Rack

_ATTEMPTS = 4  # at setting up and calibrating a bench whose lines fail now and then


class Bench(PhysicalSystem):
    """Instruments and the medium between them.

    A fault of a line is never hidden: the bench makes everything safe, brings the line back, sets up again what was on
    it, and says so with a `MeasurementError`; it is the port that presents the rows again.

    Args:
        spec: Its description. What is found out once it is open goes into its `identity`, under `found`.
        rack: Its instruments.
        found: The dictionary that `spec.identity["found"]` is.
    """

    def __init__(self, spec: SystemSpec, rack: Rack, found: dict[str, Any]) -> None:
        self._spec, self._rack, self._found = spec, rack, found
        self._own_faults: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()  # faults of the lines when they were looked at last

    @property
    def spec(self) -> SystemSpec:
        """The bench's description; once open, `identity["found"]` tells who answered and how it was calibrated."""
        return self._spec

    @property
    def faults(self) -> Counter[str]:
        """Faults since the bench was made, by kind: those of the lines, and captures that were refused."""
        return self._rack.faults + self._own_faults

    def measure(self, drive: NDArray[Any], passes: Passes) -> Reading:
        """Play rows and return what came back; see `PhysicalSystem.measure`.

        Raises:
            DriveError: A drive is not allowed; not a byte was sent.
            MeasurementError: A line failed, or a capture was not that of this drive. Outputs are safe, as far as the
                instruments could be reached.
        """
        limit = self._spec.max_batch
        if limit is not None and len(drive) > limit:
            raise DriveError(f"a batch of {self._spec.name} must have at most {limit} rows, got {len(drive)}.")
        tensor = torch.from_numpy(np.array(drive))  # a copy: the caller's may be read-only
        check_drive(self._spec, tensor)
        fitted_ND = fit_drive(self._spec.drive, tensor).numpy()
        started = time.time()
        self._seen = self._rack.faults
        try:
            if not self._rack.opened or self._rack.lost:
                self._come_back()
            return self._play(fitted_ND, passes, started)
        except TransportError as error:
            raise self._after(error) from error
        except BaseException:
            # Ctrl-C in the middle of an exchange, or a capture that was refused: nothing may be left playing.
            self._quieten()
            raise
        finally:
            self._found["faults"] = dict(self.faults)

    def __enter__(self) -> Self:
        self._rack.open()
        try:
            self._found.clear()
            self._found["instruments"] = self._rack.identities
            self._get_ready()
            self._found["faults"] = dict(self.faults)
        except BaseException as error:
            self._leave(error)
            if isinstance(error, FaultError):
                raise InputError(f"{self._spec.name} can't be set up: {error}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._leave(error)

    def refuse(self, kind: str, text: str, *, reading: Reading | None = None) -> MeasurementError:
        """Count a capture that can't be used, and return what to raise.

        Args:
            kind: What it counts as: `stale`, `miscounted`, `clipped`, ...
            text: What was wrong.
            reading: Rows that can be used all the same.
        """
        self._own_faults[kind] += 1
        return MeasurementError(f"{self._spec.name}: {text}", reading=reading)

    def count(self, kind: str, number: int = 1) -> None:
        """Count faults that cost rows and nothing else."""
        if number:
            self._own_faults[kind] += number

    @abstractmethod
    def _setup(self, role: str) -> None:
        """Set an instrument up, outputs off. Called when the bench is opened, and after its line was lost."""

    def _calibrate(self) -> None:  # some benches have nothing to find out
        """Find out what a measurement needs to know of the bench. Called once, when it is opened."""

    def _after_recovery(self) -> None:
        """Find out again what may have changed while a line was gone. Called once it is set up."""

    @abstractmethod
    def _play(self, drive_ND: NDArray[Any], passes: Passes, started: float) -> Reading:
        """Measure checked rows.

        Raises:
            TransportError: A line failed.
            MeasurementError: The capture can't be used.
        """

    def _get_ready(self) -> None:
        """Set up and calibrate; a fault costs an attempt, of which there are a few."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._set_up()
                self._calibrate()
                return
            except FaultError as error:  # what the calibration finds out to be wrong is no fault of a line
                self._note(error)
                if not left:
                    raise
                self._rack.recover()

    def _after(self, error: TransportError) -> MeasurementError:
        """Bring the bench back after a fault, and return what to raise."""
        text = f"{self._spec.name}: {error}"
        self._note(error)
        try:
            self._come_back()
        except FaultError as worse:
            return MeasurementError(f"{text} {worse}")
        return MeasurementError(f"{text} The bench was made safe and set up again.")

    def _come_back(self) -> None:
        """Make everything safe, recover the lines that failed, and set up again what was lost.

        Raises:
            MeasurementError: A line stays away, or refuses the setup.
        """
        self._rack.recover()
        try:
            if self._rack.lost:
                self._set_up()
                self._after_recovery()
        except (FaultError, InputError) as error:  # what it took when it was opened, it should take again
            self._note(error)
            raise MeasurementError(f"{self._spec.name} can't be set up again: {error}") from error
        finally:
            self._seen = self._rack.faults

    def _set_up(self) -> None:
        """Set up what was lost; a fault costs an attempt, of which each instrument has a few."""
        for role in self._rack.roles:
            for left in reversed(range(_ATTEMPTS)):
                if role not in self._rack.lost:
                    break
                try:
                    self._setup(role)
                    self._rack.lost.discard(role)
                except TransportError as error:
                    if not left:
                        raise
                    self._note(error)
                    self._rack.recover_one(role)  # all the others are safe, and stay so
                    self._seen = self._rack.faults

    def _note(self, error: Exception) -> None:
        """Suspect the line of a fault, and count it unless the line did: an answer may be whole, and yet wrong."""
        if not isinstance(error, TransportError):
            return
        self._rack.suspect(error.resource)
        now = self._rack.faults
        if not now[error.kind] > self._seen[error.kind]:
            self._own_faults[error.kind] += 1
        self._seen = now

    def _quieten(self) -> None:
        try:
            self._rack.make_safe()
        except MeasurementError as unsafe:
            self._rack.opened = False
            if (error := sys.exception()) is not None:
                error.add_note(str(unsafe))

    def _leave(self, error: BaseException | None) -> None:
        try:
            self._rack.close()
        except MeasurementError as unsafe:
            if error is None:
                raise
            error.add_note(str(unsafe))
