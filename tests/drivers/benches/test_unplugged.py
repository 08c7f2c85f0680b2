"""Instruments that go away in the middle of a run: they come back and it goes on, or they stay away and it says so."""

from __future__ import annotations

import contextlib
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import physnet
from physnet.contracts import PhysicalSystem
from physnet.drivers.benches.config import bench_from
from physnet.drivers.benches.make import build
from physnet.encoders import Bias, Levels
from physnet.errors import MeasurementError
from physnet.exchange import Exchange
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.simulators.instruments.serve import Simulation

from . import speckle_board, speckle_room, wire_bench
from .training import answers, trained, trainer_of

TRAINING: dict[str, Any] = {"seed": 1, "train": 100, "test": 60, "epochs": 2, "standardise": 50, "learning_rate": 2e-2}
TIMEOUT = 0.5  # s
RETRIES = 3


class Laboratory:
    """Simulated instruments of a bench file that can be switched off, and on again as new ones at the same places."""

    def __init__(self, text: str, folder: Path) -> None:
        lines = {"board": speckle_board.line_in(folder), "analyser": "TCPIP::127.0.0.1::0::SOCKET"}
        self._table = tomllib.loads(text)
        self._stack = contextlib.ExitStack()
        patterns = self._table["kind"] == "patterns"
        first = self._stack.enter_context(Simulation(self._table, resources=lines if patterns else "ephemeral"))
        self.resources = first.resources
        self.bench = build(bench_from(text), simulated=True, resources=self.resources)
        self.times = 1
        """How often they were switched on."""

    def off(self) -> None:
        """Stop listening, and drop who is there."""
        self._stack.close()

    def on(self) -> None:
        """Switch on what knows nothing of before."""
        self._stack.enter_context(Simulation(self._table, resources=self.resources))
        self.times += 1


def wire() -> PhysicalSystem:
    tones = len(wire_bench.TONES)
    return physnet.system(wire_bench.direct, drives=tones, responses=2 * tones, response_dtype="complex128")


CASES: dict[str, tuple[str, Callable[[], PhysicalSystem], Any, Any]] = {
    "tones": (wire_bench.wire_file(timeout=TIMEOUT), wire, Bias(), wire_bench),
    "patterns": (speckle_room.room_file(timeout=TIMEOUT), speckle_room.medium, Levels(bits=1), speckle_room),
}


@pytest.mark.parametrize("name", CASES)
def test_training_goes_on_when_the_bench_comes_back(name: str, tmp_path: Path) -> None:
    text, directly, encoder, medium = CASES[name]
    laboratory = Laboratory(text, tmp_path)
    port = Port(laboratory.bench, seed=1, retries=RETRIES)
    faults: list[str] = []
    calls = 0

    def look(exchange: Exchange) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            laboratory.off()
        if exchange.fault and laboratory.times == 1:
            faults.append(exchange.fault)
            laboratory.on()
        if exchange.reading is not None:
            found, drive = np.asarray(exchange.reading.response), np.asarray(exchange.drive, np.float64)
            assert (np.abs(found - medium.direct(drive)) <= medium.bound()).all()

    port.on_exchange = look
    trainer = trainer_of(laboratory.bench, encoder=encoder, port=port, **TRAINING)
    try:
        with trainer.network:
            right = answers(trainer)
    finally:
        laboratory.off()
    assert laboratory.times == 2 and len(faults) == 1 and "come back" in faults[0]
    assert calls > 6  # most of them after it came back
    alike = right == trained(directly(), encoder=encoder, **TRAINING)[0]
    # What is the same within quantisation, or within the receiver's noise, is answered alike but for few samples that
    # lie at a boundary.
    assert alike.mean() >= 0.95


@pytest.mark.parametrize("name", CASES)
def test_a_bench_that_stays_away_is_a_measurement_error_after_the_retries(name: str, tmp_path: Path) -> None:
    text, _, _, _ = CASES[name]
    laboratory = Laboratory(text, tmp_path)
    port = Port(laboratory.bench, retries=RETRIES)
    told: list[str] = []
    port.on_fault = told.append
    rows: NDArray[np.float64] = np.zeros((8, port.spec.drive.channels))
    with pytest.raises(MeasurementError, match=r"safe outputs of .* are not certain") as left, port:
        port.measure(rows, pass_numbers(Purpose.CALIBRATE, rows=8))
        laboratory.off()
        begun = time.monotonic()
        with pytest.raises(MeasurementError, match=f"no usable response for 8 of 8 rows after {RETRIES} retries"):
            port.measure(rows, pass_numbers(Purpose.CALIBRATE, epoch=1, rows=8))
        seconds = time.monotonic() - begun
        assert len(told) == RETRIES + 1 and all("come back" in text for text in told)
    # What could not be made safe is named.
    assert "switch it off by hand" in str(left.value)
    # Each attempt waits for its backoff, or for a board's `reopen_timeout` and one opening; all are refused at once.
    # 2 s for a computer with other things to do.
    once = sum(wire_bench.BACKOFF) if name == "tones" else 1.0 + 4 * TIMEOUT + sum(wire_bench.BACKOFF)
    assert seconds < (RETRIES + 1) * once + 2.0
    assert laboratory.bench.faults["disconnected"] + laboratory.bench.faults["lost"] >= 1
