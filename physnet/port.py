"""The port: the only caller of `PhysicalSystem.measure`.

It converts between torch and NumPy, checks drives and responses, plays rows in a random order in chunks the system can
take, measures again what came back unusable, keeps what was measured when a batch breaks half way, counts and times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from .collected import Collected
from .contracts import DriveSpec, Flag, Passes, PhysicalSystem, Reading, Tunable
from .conversion import incoming, joined, native, outgoing
from .drives import check_parameter
from .errors import DriveError, InputError, MeasurementError, TransportError
from .exchange import Exchange
from .interrupts import deferred_signals
from .passes import Purpose, purpose_of
from .placed_rows import PlacedRows
from .records import PassCount
from .response_cache import ResponseCache
from .seeding import derive_seed, stream

# What a bench throws when a cable, a trigger or a network fails. Anything else (a TypeError, say) is a mistake in the
# system's code: presenting the rows again would only hide it.
_TRANSIENT = (MeasurementError, TransportError, OSError)
# Seconds that a chunk may take on a system that declares what a pass costs.
_PROMPT = 0.5


class Port:
    """The only way to a system.

    Rows are shuffled over samples and hypotheses before they are played: on a bench that drifts, any fixed order turns
    drift into a label signal. The order depends on the seed and on the first pass number alone, so it can be
    reproduced.

    Args:
        system: The black box.
        seed: Seed of the play order.
        retries: How many times a row is presented again before the port gives up.
        device: torch device of the responses handed upwards.
        dtype: Their real type; complex responses get the matching complex type.
        chunk: Most rows of one call; the system's own `max_batch` when smaller. None: no limit of the port's own.
        dark_rows: Rows without drive that are placed among those of each presentation; see `PlacedRows`.
        reference_rows: Rows that are the same drives each time, likewise.
        cache_megabytes: Memory for responses that are given again instead of measured again, in MB; 0 keeps none. For
            systems that declare themselves repeatable.

    Raises:
        InputError: A cache for a system that does not repeat itself, or dark rows for one that can't be switched off.
        DriveError, ResponseError: In `measure`; the drive was not sent, the response was not used.
    """

    def __init__(
        self,
        system: PhysicalSystem,
        *,
        seed: int = 0,
        retries: int = 3,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        chunk: int | None = None,
        dark_rows: int = 0,
        reference_rows: int = 0,
        cache_megabytes: float = 0.0,
    ) -> None:
        self.system = system
        self.spec = system.spec
        self.seed = seed
        self.retries = retries
        self.device = torch.device(device)
        self.dtype = dtype.to_complex() if self.spec.response.complex else dtype
        # A stop is obeyed between two chunks: on a bench no chunk lasts much longer than this.
        pace = self.spec.cost.per_pass if self.spec.kind == "measured" else 0.0
        prompt = max(1, int(_PROMPT / pace)) if pace > 0 else None
        limits = [limit for limit in (chunk, self.spec.max_batch, prompt) if limit is not None]
        self.chunk = min(limits) if limits else None
        self.count = PassCount()
        self.cache = self._make_cache(cache_megabytes) if cache_megabytes else None
        """Responses that need not be measured again; None where all are measured."""
        self.placed = PlacedRows(
            self.spec, dark=dark_rows, references=reference_rows, seed=derive_seed(seed, "reference rows")
        )
        """Dark and reference rows that are played among the others."""
        self._tunable: Tunable | None = system if isinstance(system, Tunable) else None
        self.parameters: Mapping[str, DriveSpec] = dict(self._tunable.parameters) if self._tunable else {}
        """What can be written to the system; empty for one that is not tunable."""
        self.written: dict[str, NDArray[np.float64]] = {}
        """What was written since the system was opened: it may forget what it is set to when it is left."""
        self.interrupted: Callable[[], None] = lambda: None
        """Called before each chunk; raises `Stopped` to end."""
        self.on_fault: Callable[[str], None] = lambda text: None
        """Told of every fault that cost rows, whether a retry mends it or not."""
        self.on_exchange: Callable[[Exchange], None] | None = None
        """Shown every call of `system.measure`, once it was judged; a call that broke too. None costs nothing."""

    def __enter__(self) -> Self:
        self.written = {}
        if self.cache is not None:
            self.cache.clear()
        try:
            self.system.__enter__()
        except OSError as error:
            raise InputError(
                f"{self.spec.name} can't be opened: {error}. Check that it is on and connected."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with deferred_signals():
            self.system.__exit__(kind, error, trace)

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """Copies of the parameters as they are now; before the first write, what the system starts with."""
        return {name: np.array(value) for name, value in self._tunable.values.items()} if self._tunable else {}

    def configure(self, values: Mapping[str, torch.Tensor | NDArray[Any]]) -> bool:
        """Write parameters of the system, unless they are what was written last.

        One call of the system's `configure` is one write, however many parameters it names.

        Args:
            values: By name: shape and range as `parameters` tells. What is not named stays as it is.

        Returns:
            Whether anything had to be written.

        Raises:
            DriveError: A name is none of `parameters`, or a value is not allowed; nothing was written.
            MeasurementError: The system broke; what is written now is not known.
        """
        if unknown := sorted(set(values) - set(self.parameters)):
            has = ", ".join(self.parameters) or "none"
            raise DriveError(
                f"parameters of {self.spec.name} must be among {has}, got {unknown[0]}; nothing was written."
            )
        new = {}
        for name, value in values.items():
            given = torch.as_tensor(value if isinstance(value, torch.Tensor) else native(np.asarray(value)))
            new[name] = check_parameter(self.spec.name, name, self.parameters[name], given).numpy()
        if all(name in self.written and np.array_equal(self.written[name], value) for name, value in new.items()):
            return False
        if self.cache is not None:
            self.cache.clear()
        before, self.written = self.written, {}
        began = time.perf_counter()
        try:
            # A control has parameters like the system whose place it takes, and nothing that they could change.
            if self._tunable is not None:
                self._tunable.configure({name: value.copy() for name, value in new.items()})
        except (TransportError, OSError) as error:
            raise MeasurementError(
                f"{self.spec.name} did not take its parameters: {error}. Check that it is on and connected."
            ) from error
        finally:
            self.count += PassCount(parameter_writes=1, seconds=time.perf_counter() - began)
        self.written = before | new
        return True

    def measure(self, drive: torch.Tensor | NDArray[Any], passes: Passes, *, ordered: bool = False) -> Reading:
        """Present rows and return their responses in the order they were given.

        Args:
            drive: Shape `(n, *drive_shape)` or `(n, channels)`, n >= 1, in the drive's unit. A graph is cut here.
            passes: Shape `(n,)`: the rows' pass numbers.
            ordered: Play the rows in the order given. For calibration only, where the order itself is the question
                (memory, drift) and the caller has shuffled what must be shuffled. A row that is measured again is
                played last, and flagged as retried.

        Returns:
            Response of shape `(n, *response_shape)` on the port's device, without graph, every row valid.

        Raises:
            InputError: `ordered` for anything but calibration; nothing was sent.
            DriveError: The drive is not allowed by the spec; nothing was sent.
            ResponseError: A response breaks the spec in a way that measuring again can't mend (shape, or type).
            MeasurementError: Rows stayed unusable after all retries. Its `reading` holds all rows, with `valid` telling
                which were measured.
        """
        if ordered and np.any(purpose_of(passes) != Purpose.CALIBRATE):
            raise InputError("rows may be played in order for calibration only: elsewhere drift would become a label.")
        sent, asked = outgoing(self.spec, drive, passes), slice(len(passes))
        placed = self.placed.among(passes)
        if placed is not None:
            passes, sent = np.concatenate([passes, placed.passes]), joined(sent, placed.sent)
        collected = Collected.empty(len(passes), self.spec.response.shape, dtype=self.dtype, device=self.device)
        keys = self._recall(sent[asked], passes[asked], collected)
        known = collected.done.copy()
        pending = np.arange(len(passes)) if ordered else self.play_order(passes)
        # Where nothing is driven, there is nothing to place rows among.
        pending = pending[~known[pending]] if not known[asked].all() else pending[:0]
        self._play_all(sent, passes, pending, collected, asked)
        if self.cache is not None and keys and collected.response is not None and collected.spread is None:
            new = np.flatnonzero(~known[asked])
            found = collected.response[torch.from_numpy(new).to(self.device)]
            self.cache.keep([keys[row] for row in new], found, collected.flags[new])
        if placed is not None and pending.size:
            self.placed.take(placed.passes, collected.reading(slice(asked.stop, None)))
        return collected.reading(asked)

    def _play_all(
        self, sent: Any, passes: Passes, pending: NDArray[np.int64], collected: Collected, asked: slice
    ) -> None:
        """Present rows, in the order given, until all of them are usable, or one has failed too often."""
        last_fault: Exception | None = None
        while pending.size:
            self.interrupted()
            size = self.chunk or pending.size
            rows, pending = pending[:size], pending[size:]
            fault = self._play(sent[rows], passes[rows], rows, collected)
            last_fault = fault or last_fault
            again = rows[~collected.done[rows]]
            if fault is not None:
                self.on_fault(f"{self.spec.name}: {fault} ({len(again)} rows are presented again)")
            if np.any(collected.failures[again] > self.retries):
                self._give_up(collected, asked, last_fault)
            pending = np.concatenate([pending, again])

    def _recall(self, sent: Any, passes: Passes, collected: Collected) -> list[bytes]:
        """Take over the responses that are known, and return the keys of all rows; none where nothing is kept.

        A calibration and a sentinel ask what the system answers now.
        """
        if self.cache is None or np.isin(purpose_of(passes), (Purpose.CALIBRATE, Purpose.SENTINEL)).any():
            return []
        keys = self.cache.keys(sent)
        slots = self.cache.find(keys)
        known = np.flatnonzero(slots >= 0)
        if known.size:
            responses, flags = self.cache.take(slots[known])
            collected.put(known, responses)
            collected.flags[known] = flags
            self.count += PassCount(cache_hits=int(known.size))
        return keys

    def _make_cache(self, megabytes: float) -> ResponseCache:
        if not self.spec.repeatable:
            raise InputError(
                f"cache_megabytes must be 0 for {self.spec.name}, which does not declare that the same drive gives the "
                f"same response, got {megabytes}. Leave it out, or take its noise and drift away."
            )
        if not 0 < megabytes < float("inf"):
            raise InputError(f"cache_megabytes must be >= 0 MB and finite, got {megabytes}.")
        return ResponseCache(
            self.spec.response, dtype=self.dtype, device=self.device, megabytes=megabytes, seed=self.seed
        )

    def _play(
        self, drive: Any, passes: Passes, rows: NDArray[np.int64], collected: Collected
    ) -> MeasurementError | TransportError | OSError | None:
        """Present a chunk, keep what is usable and count it, whatever happens. Return the fault, if any."""
        started = time.time() if self.on_exchange is not None else 0.0
        begun = time.perf_counter()
        played, good, broke = rows, 0, ""
        fault: MeasurementError | TransportError | OSError | None = None
        reading: Reading | None = None
        try:
            try:
                reading = self.system.measure(drive, passes)
            except _TRANSIENT as error:
                fault, broke = error, str(error)
                reading = error.reading if isinstance(error, MeasurementError) else None
                if reading is not None:
                    # The rows it has, and the one it failed on: the others were never played.
                    played = rows[: len(reading) + 1]
            seconds = time.perf_counter() - begun
            good = 0 if reading is None else self._keep(collected, rows, reading, complete=fault is None)
        except BaseException as error:
            broke = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.count += PassCount(
                passes=len(played),
                retries=int(np.count_nonzero(collected.presented[played])),
                invalid=len(played) - good,
                clipped_response=int(np.count_nonzero(collected.flags[played] & Flag.CLIPPED)),
                **self.placed.counted(passes[: len(played)]),
                seconds=time.perf_counter() - begun if good == 0 else seconds,
            )
            collected.presented[played] += 1
            collected.failures[played] += ~collected.done[played]
            if self.on_exchange is not None:
                self.on_exchange(
                    Exchange(
                        passes=passes[: len(played)],
                        drive=drive[: len(played)],
                        reading=reading,
                        usable=collected.done[played],
                        fault=broke,
                        started=started,
                        stopped=time.time(),
                    )
                )
        return fault

    def _keep(self, collected: Collected, rows: NDArray[np.int64], reading: Reading, *, complete: bool) -> int:
        device, dtype = self.device, self.dtype
        response = incoming(self.spec, reading, len(rows), complete=complete, device=device, dtype=dtype)
        return collected.keep(rows, response, reading)

    def play_order(self, passes: Passes) -> NDArray[np.int64]:
        """Return the order in which rows are played: a seeded permutation of their positions."""
        return stream(self.seed, "play order", int(passes[0])).permutation(len(passes))

    def _give_up(self, collected: Collected, asked: slice, fault: Exception | None) -> None:
        missing = int(np.count_nonzero(~collected.done))
        why = "they came back invalid or not finite (NaN or infinite)"
        if fault is not None:
            why = f"the last fault was: {str(fault).rstrip('.')}"
        partial = None if collected.response is None else collected.reading(asked)
        message = (
            f"{self.spec.name} gave no usable response for {missing} of {len(collected.done)} rows after "
            f"{self.retries} retries: {why}. Check the system, or raise the number of retries."
        )
        raise MeasurementError(message, reading=partial) from fault
