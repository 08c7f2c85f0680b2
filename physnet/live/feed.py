"""The feed: what a run tells to those who look on, and what they may ask of it."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import secrets
import signal
import threading
import time
from collections import Counter, deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from ..callbacks import Callback
from ..errors import Stopped
from ..records import EpochRecord, Level, RunResult, StepRecord
from .history import History, Rate
from .protocol import EVENTS, FILE, VERSION, Action, Address, Event, Moment, State, moment_line
from .server import Server

if TYPE_CHECKING:
    from ..trainer import Trainer

_LONGEST_MESSAGE = 1000


class LiveFeed(Callback):
    """Serves what a run is doing to `physnet watch`, and obeys it between two steps.

    `serve` opens it, as early as there is a run's folder; the end of the run closes it, as leaving its context does.
    Give `check` to the trainer as (a part of) its `interrupted`, so that an interrupt from a viewer ends the run as
    Ctrl-C does.

    Args:
        title: One line about the run.
    """

    def __init__(self, *, title: str = "") -> None:
        self.problem = ""
        """Why nothing is served, though `serve` was called. The run goes on all the same."""
        self._title = title
        self._folder: Path | None = None
        self._server: Server | None = None
        self._trainer: Trainer | None = None
        # Guards all below: the trainer's thread writes it, the server's reads it. Held for microseconds.
        self._lock = threading.Lock()
        self._revision = 0
        self._state: State = "starting"
        self._pause = self._finish = self._interrupt = False
        self._reason = ""
        self._result: RunResult | None = None
        self._epoch = self._step = self._first_step = 0
        self._metrics: dict[str, list[History]] = {}
        self._validation, self._best, self._best_epoch = History(), math.nan, 0
        self._layer_validation: tuple[float, ...] = ()
        self._rate = Rate()
        self._uncounted = 0  # passes that the network's ports know nothing of: calibrations, an earlier process
        self._events: deque[Event] = deque(maxlen=EVENTS)
        self._levels: Counter[str] = Counter()
        self._began = self._last = time.monotonic()
        self._paused_at, self._paused = 0.0, 0.0

    def serve(self, folder: Path, trainer: Trainer) -> Self:
        """Open the feed and say where in `live.json`. What can't be opened is told in `problem`, and stops no run.

        Args:
            folder: The run's folder, which exists.
            trainer: The run's trainer.
        """
        self._folder, self._trainer = Path(os.path.abspath(folder)), trainer
        self._uncounted = sum(trainer.passes.values()) - trainer.network.count.passes
        token = secrets.token_urlsafe(24)
        try:
            self._server = Server(token, self._line, lambda: self._revision, self._obey)
            Address(
                version=VERSION,
                machine=platform.node(),
                port=self._server.port,
                token=token,
                pid=os.getpid(),
                started=time.time(),
                title=self._title,
            ).write(self._folder)
        except OSError as error:
            self.close()
            self.problem = f"this run can't be watched: {error}"
        return self

    def close(self) -> None:
        """Tell the viewers how the run ended, and close. Does nothing the second time."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / FILE).unlink()
        server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Raise if a viewer asked to interrupt the run. It only looks: any thread may call it.

        Raises:
            Stopped: As Ctrl-C would.
        """
        if self._interrupt:
            raise Stopped(signal.SIGINT)

    def hold(self, trainer: Trainer) -> str:
        """Pause as long as a viewer wants it."""
        if self._finish:
            self._stop(trainer)
            return ""
        # Held on to while an interrupt is on its way: nothing is switched on again for it.
        return "asked for in physnet watch" if self._pause else ""

    def on_start(self, trainer: Trainer) -> None:
        """Start the clock of the steps."""
        with self._lock:
            self._state = "running"
            self._began = self._last = time.monotonic()
            self._step = self._first_step = trainer.steps_done
            self._epoch = trainer.epochs_done
            self._uncounted = sum(trainer.passes.values()) - trainer.network.count.passes
            self._rate.mark(self._began, trainer.network.count.passes)
            self._revision += 1

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        """Take over a step."""
        if self._finish:
            self._stop(trainer)
        with self._lock:
            now = time.monotonic()
            self._last, self._step = now, trainer.steps_done
            for name, values in record.metrics.items():
                curves = self._metrics.get(name)
                if curves is None:
                    curves = self._metrics[name] = [History() for _ in values]
                for curve, value in zip(curves, values, strict=True):
                    curve.add(value)
            if self._rate.due(now):
                self._rate.mark(now, trainer.network.count.passes)
            self._revision += 1

    def on_epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Take over an epoch and its validation."""
        with self._lock:
            self._last, self._epoch = time.monotonic(), record.epoch + 1
            if not math.isnan(record.validation_accuracy):
                self._validation.add(record.validation_accuracy)
                self._layer_validation = record.layer_accuracy
                if not record.validation_accuracy <= self._best:
                    self._best, self._best_epoch = record.validation_accuracy, record.epoch + 1
            self._revision += 1

    def on_event(self, trainer: Trainer, level: Level, message: str) -> None:
        """Take over a line."""
        with self._lock:
            self._levels[level] += 1
            self._events.append(Event(time=time.time(), level=level, message=message[:_LONGEST_MESSAGE]))
            self._revision += 1

    def on_pause(self, trainer: Trainer, reason: str) -> None:
        """Stop the clock."""
        with self._lock:
            self._state, self._reason, self._paused_at = "paused", reason, time.monotonic()
            self._rate.clear()
            self._revision += 1

    def on_continue(self, trainer: Trainer) -> None:
        """Let the clock run again."""
        with self._lock:
            now = time.monotonic()
            self._state, self._reason = "running", ""
            self._paused += now - self._paused_at
            self._last += now - self._paused_at
            self._rate.mark(now, trainer.network.count.passes)
            self._revision += 1

    def on_end(self, trainer: Trainer, result: RunResult) -> None:
        """Tell how it ended, and close."""
        with self._lock:
            self._state, self._result = "finished", result
            self._revision += 1
        self.close()

    def moment(self) -> Moment:
        """Return the run as it is now."""
        assert self._trainer is not None
        with self._lock:
            return self._take(self._trainer)

    def _take(self, trainer: Trainer) -> Moment:
        now, result = time.monotonic(), self._result
        ports = trainer.network.count
        passes = ports.passes + self._uncounted if result is None else result.physical_passes
        running = self._state == "running"
        rate = self._rate.per_second(now, ports.passes) if running else None
        return Moment(
            title=self._title,
            folder=str(self._folder),
            pid=os.getpid(),
            seed=trainer.seed,
            kinds=tuple(layer.port.spec.kind for layer in trainer.network),
            layers=tuple(layer.name for layer in trainer.network),
            state=self._state,
            asked=self._asked(),
            reason=self._reason,
            status=result.status if result else "",
            message=result.message if result else "",
            test_accuracy=_number(result.test_accuracy) if result else None,
            epoch=self._epoch,
            epochs=trainer.epochs_planned,
            step=self._step,
            steps=trainer.epochs_planned * trainer.steps_per_epoch,
            metrics={name: tuple(curve.curve() for curve in curves) for name, curves in self._metrics.items()},
            validation=self._validation.curve(),
            best=_number(self._best),
            best_epoch=self._best_epoch,
            layer_validation=tuple(map(_number, self._layer_validation)),
            passes={name: count for name, count in dict(trainer.passes).items() if count},
            physical_passes=passes,
            passes_per_second=rate,
            seconds=result.seconds if result else trainer.seconds,
            seconds_left=self._seconds_left(trainer, now, passes, rate) if running else None,
            retries=ports.retries,
            invalid=ports.invalid,
            clipped_drive=ports.clipped_drive,
            clipped_response=ports.clipped_response,
            parameter_writes=ports.parameter_writes,
            cache_hits=ports.cache_hits,
            warnings=self._levels["warning"],
            faults=self._levels["fault"],
            events=tuple(self._events),
        )

    def _asked(self) -> Action | Literal[""]:
        if self._state == "finished":
            return ""
        if self._interrupt:
            return "interrupt"
        if self._finish:
            return "finish"
        return "pause" if self._pause and self._state != "paused" else ""

    def _seconds_left(self, trainer: Trainer, now: float, passes: int, rate: float | None) -> float | None:
        """How long the steps will take that are left, at the pace so far, validations included and pauses not."""
        options, left = trainer.options, []
        if (done := self._step - self._first_step) > 0:
            each = (self._last - self._began - self._paused) / done
            steps = trainer.epochs_planned * trainer.steps_per_epoch - self._step
            left.append(steps * each - (now - self._last))
        if options.budget_minutes is not None:
            left.append(60 * options.budget_minutes - trainer.seconds)
        if options.budget_passes is not None and rate:
            left.append((options.budget_passes - passes) / rate)
        return max(0.0, min(left)) if left else None

    def _line(self) -> bytes:
        return moment_line(self.moment())

    def _obey(self, action: Action) -> None:
        with self._lock:
            match action:
                case "pause":
                    self._pause = True
                case "continue":
                    self._pause = False
                case "finish":
                    self._finish = True
                case "interrupt":
                    self._interrupt = True
            self._revision += 1

    def _stop(self, trainer: Trainer) -> None:
        trainer.stop("finished on request from physnet watch")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
