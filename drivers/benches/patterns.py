"""A bench of patterns: a board sets the elements of a metasurface, a network analyser sweeps once for each pattern.

For a batch the analyser is armed first, for as many sweeps as there are rows, and says that it has counted none. Then
the board plays the rows: each pattern is latched, read back, and followed by one trigger. Both sides must have counted
the same rows before a single value is believed; all sweeps are read in one block.

Axis letters: N rows; F frequencies.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import Cost, Passes, Reading, ResponseSpec, SystemSpec
from physnet.errors import InputError, MeasurementError, SpecError

from ..boards.serial_board import SerialBoard
from ..roles import Analyser, SweepSetup
from ..transport import Deadline
from .bench import Bench
from .config import PatternBenchFile, digest, plain
from .rack import Rack


class PatternBench(Bench):
    """A board that holds bits and triggers, and an analyser that listens.

    The response is a scattering parameter, complex or its modulus, at each frequency. Waves between transmitter,
    elements and receiver pass each element more than once, so that the response is no linear function of the bits.

    Args:
        file: The bench file.
        board: The board; it pulses its trigger once for each pattern.
        analyser: The analyser.
        rack: Both, for opening and for safety.
        simulated: Whether both are simulated.
        settle: How long the board waits after each trigger, in s: at least a sweep.
        name: Name in the spec.
    """

    def __init__(
        self,
        file: PatternBenchFile,
        *,
        board: SerialBoard,
        analyser: Analyser,
        rack: Rack,
        simulated: bool,
        settle: float,
        name: str,
    ) -> None:
        self._file, self._board, self._analyser, self._settle = file, board, analyser, settle
        complex_response = file.response == "complex"
        found: dict[str, Any] = {}
        limits = [limit for limit in (file.chunk.rows, board.spec.max_batch) if limit is not None]
        self._sweeps = SweepSetup(
            frequencies=file.analyser.frequencies,
            parameter=file.analyser.parameter,
            power=file.analyser.power,
            bandwidth=file.analyser.bandwidth,
            sweeps=min(limits),
        )
        if board.spec.drive.domain != "binary":
            raise SpecError(f"board of {name} must hold a pattern of bits, got {board.spec.name}.")
        per_pass = board.spec.cost.per_pass
        super().__init__(
            SystemSpec(
                name=name,
                kind="simulated" if simulated else "measured",
                drive=board.spec.drive,
                response=ResponseSpec(
                    shape=(len(file.analyser.frequencies),),
                    dtype="complex128" if complex_response else "float64",
                    axes=("frequency",),
                ),
                nonlinearity=frozenset({"medium"} if complex_response else {"medium", "detector"}),
                stateful=file.stateful,
                cost=Cost(per_pass=per_pass, per_batch=board.spec.cost.per_batch, settle=settle),
                resource=f"bench:{file.name}",
                max_batch=min(limits),
                identity={"model": "PatternBench", "bench": plain(file), "digest": digest(file), "found": found},
            ),
            rack,
            found,
        )

    def _setup(self, role: str) -> None:
        if role == "board":
            return  # each batch arms it with all that it must know
        got = self._analyser.setup(self._sweeps)
        if got != self._sweeps:
            raise InputError(f"analyser of {self._spec.name} must be set up as {self._sweeps}, and says {got}.")
        sweep = self._analyser.sweep_time
        if not self._settle >= sweep:
            raise InputError(
                f"board.settle of {self._spec.name} must be at least the {sweep:g} s that a sweep takes, got "
                f"{self._settle:g} s: the next trigger would come while it sweeps. Raise it, or analyser.bandwidth."
            )
        self._found["sweep_time"] = sweep

    def _play(self, drive_ND: NDArray[Any], passes: Passes, started: float) -> Reading:
        rows = len(drive_ND)
        self._analyser.arm(rows)
        try:
            played = self._board.measure(drive_ND, passes)
        except MeasurementError as error:
            raise self.refuse("interrupted", f"{error} What was swept meanwhile is not used.") from error
        counted = self._analyser.wait(Deadline.after(self._settle + self._file.chunk.margin))
        if counted != rows:
            raise self.refuse(
                "miscounted",
                f"{rows} patterns were played and {counted} sweeps counted, so that nobody knows which is which. Check "
                "the trigger cable, and that board.settle is longer than a sweep.",
            )
        try:
            sweeps = self._analyser.fetch()
        except MeasurementError as error:
            raise self.refuse("overload", str(error)) from error
        if sweeps.counted != rows or sweeps.values_NF.shape != (rows, *self._spec.response.shape):
            raise self.refuse(
                "stale", f"{rows} sweeps were made and {sweeps.counted} read. The capture is another one."
            )
        self._analyser.check_errors()
        values_NF = sweeps.values_NF
        self.count("unconfirmed", 0 if played.valid is None else int(np.count_nonzero(~played.valid)))
        return Reading(
            response=values_NF if self._spec.response.complex else np.abs(values_NF),
            valid=played.valid,
            started=started,
            stopped=time.time(),
        )
