"""Runs on a bench from the command line: the bench goes away, or the run is stopped, or killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.session import open_run
from physnet.simulators.instruments.medium import Medium
from physnet.simulators.instruments.pattern_bench import SimulatedPatternBench
from physnet.simulators.instruments.serve import Simulation
from physnet.simulators.instruments.tone_bench import SimulatedToneBench
from tests.physnet.cli.processes import Processes

from . import speckle_room, wire_bench

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and fork")
TIMEOUT = 1.0  # s
EXPERIMENT = """\
data = {{ name = "digits", train_limit = 100, test_limit = 20 }}
rule.name = "mono_forward"
training = {{ epochs = {epochs}, batch_size = 20, standardise_rows = 20 }}
layers = [{{ system = "bench", width = 12, before = "random", encoder = "{encoder}" }}]
session.checkpoint_seconds = 0.05
[systems.bench]
type = "bench"
file = "bench.toml"
simulated = true
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = Processes(tmp_path_factory.mktemp("printed"))
    yield made
    made.close()


def until(condition: Callable[[], bool], process: tuple[int, Path] | None = None) -> None:
    """Wait until something is so, a minute at most, and while the process is there."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(2e-3)
        if process is not None:
            try:
                os.kill(process[0], 0)
            except ProcessLookupError:
                pytest.fail(f"it ended by itself: {process[1].with_suffix('.err').read_text()}")


def written(folder: Path, text: str, *, encoder: str, epochs: int = 1000) -> tuple[Path, dict[str, Any]]:
    """Write bench and experiment to a folder, at ports that are free now; return the experiment and the table."""
    simulation = Simulation(tomllib.loads(text), resources="ephemeral")
    with simulation:
        places = ", ".join(f'{role} = "{resource}"' for role, resource in simulation.resources.items())
    text = text.replace("[simulation]\n", f"[simulation]\nresources = {{ {places} }}\n", 1)
    (folder / "bench.toml").write_text(text, encoding="utf-8")
    experiment = folder / "experiment.toml"
    experiment.write_text(EXPERIMENT.format(encoder=encoder, epochs=epochs), encoding="utf-8")
    return experiment, tomllib.loads(text)


def under_way(simulation: Simulation) -> bool:
    """Whether some batches of training were played; opening and standardising take three bursts of tones."""
    bench = simulation.bench
    if isinstance(bench, SimulatedPatternBench):
        return sum(on for _, on in bench.analyser.switched) > 8
    return kinds(simulation).count("burst") > 5


def only_run(folder: Path) -> Path:
    (run,) = (path for path in (folder / "runs").iterdir() if not path.name.startswith("."))
    return run


def kinds(simulation: Simulation) -> list[str]:
    return [event.kind for event in simulation.rig.log if event.role == "source"]


def test_a_bench_that_goes_away_ends_a_run_that_can_be_gone_on_with(processes: Processes, tmp_path: Path) -> None:
    experiment, table = written(tmp_path, wire_bench.wire_file(timeout=TIMEOUT), encoder="bias", epochs=6)
    with Simulation(table) as simulation:
        process = processes.start("train", experiment, "--output", tmp_path / "runs")
        until(lambda: under_way(simulation), process)
    code, err = processes.wait(process[0]), process[1].with_suffix(".err").read_text()
    assert code == 3, err
    assert "physnet resume" in err and "does not come back" in err
    run = only_run(tmp_path)
    assert open_run(run).status == "fault"
    steps = len(open_run(run).steps["step"])
    with Simulation(table):
        code, said = processes.run("resume", run)
        assert code == 0, said
    found = open_run(run)
    assert found.status == "done" and len(found.steps["step"]) > steps
    assert found.result is not None and found.result.epochs == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_on_tones_that_is_stopped_leaves_outputs_off(
    processes: Processes, tmp_path: Path, number: signal.Signals
) -> None:
    experiment, table = written(tmp_path, wire_bench.wire_file(timeout=TIMEOUT), encoder="bias")
    with Simulation(table) as simulation:
        process = processes.start("train", experiment, "--output", tmp_path / "runs")
        until(lambda: under_way(simulation), process)
        os.kill(process[0], number)
        assert processes.wait(process[0]) == 128 + number
        done = kinds(simulation)
    last = len(done) - 1 - done[::-1].index("burst")
    assert "off" in done[last:] and "on" not in done[last:]
    assert open_run(only_run(tmp_path)).status in ("interrupted", "terminated")


@pytest.mark.parametrize("order", [["board", "analyser"], ["analyser", "board"]])
def test_a_run_on_patterns_that_is_stopped_leaves_all_safe(
    processes: Processes, tmp_path: Path, order: list[str]
) -> None:
    text = speckle_room.room_file(timeout=TIMEOUT).replace('["board", "analyser"]', json.dumps(order))
    experiment, table = written(tmp_path, text, encoder="levels")
    with Simulation(table) as simulation:
        process = processes.start("train", experiment, "--output", tmp_path / "runs")
        until(lambda: under_way(simulation), process)
        os.kill(process[0], signal.SIGTERM)
        assert processes.wait(process[0]) == 143
        bench = simulation.bench
        assert isinstance(bench, SimulatedPatternBench)
        board, switched = bench.board.record, bench.analyser.switched
    off, on = switched[-1]
    assert not on
    played = max(event.time for event in board if event.kind == "pattern")
    safe = [event.time for event in board if event.kind == "safe" and event.time > played]
    # The board is made safe after its batch, in the sequence, and once more when its line is closed.
    assert len(safe) == 3 and off > safe[0]
    assert off > safe[1] if order[0] == "board" else off < safe[1]


def test_after_a_kill_the_watchdog_of_the_board_makes_it_safe(processes: Processes, tmp_path: Path) -> None:
    text = speckle_room.room_file(timeout=TIMEOUT).replace(f"settle = {speckle_room.SETTLE}", "settle = 0.02")
    experiment, table = written(tmp_path, text, encoder="levels")
    with Simulation(table) as simulation:
        bench = simulation.bench
        assert isinstance(bench, SimulatedPatternBench)
        board = bench.board
        process = processes.start("train", experiment, "--output", tmp_path / "runs")
        # In the middle of a batch of 20 rows, once some were played.
        until(
            lambda: under_way(simulation) and [event.kind for event in board.record[-8:]].count("pattern") == 4, process
        )
        os.kill(process[0], signal.SIGKILL)
        assert processes.wait(process[0]) == -signal.SIGKILL
        until(lambda: board.record[-1].kind == "safe")
        record = board.record
        assert board.trips == 1
    # Of eight frames that may have been on their way, each takes 20 ms; then 0.5 s of silence; 2 s for a busy computer.
    assert record[-1].time - record[-2].time < 0.5 + 2.0


class Remembering:
    """A medium that remembers what was played into it last."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self.played: NDArray[np.float64] | None = None
        self.sources, self.detectors, self.span = medium.sources, medium.detectors, medium.span

    def respond(self, volts_ST: NDArray[np.float64], sample_rate: float) -> NDArray[np.float64]:
        self.played = volts_ST.copy()
        return self._medium.respond(volts_ST, sample_rate)


def test_after_a_kill_a_burst_ends_by_itself_and_the_next_start_is_safe_first(
    processes: Processes, tmp_path: Path
) -> None:
    text = wire_bench.wire_file(timeout=TIMEOUT) + "[simulation.instruments.source]\npace = 1.0\n"
    experiment, table = written(tmp_path, text, encoder="bias", epochs=1)
    with Simulation(table) as simulation:
        bench = simulation.bench
        assert isinstance(bench, SimulatedToneBench)
        generator, medium = bench.devices["source"], Remembering(simulation.rig.medium)
        simulation.rig.medium = medium
        process = processes.start("train", experiment, "--output", tmp_path / "runs")
        until(lambda: under_way(simulation) and generator.busy(), process)
        os.kill(process[0], signal.SIGKILL)
        assert processes.wait(process[0]) == -signal.SIGKILL
        assert generator.busy()  # 20 rows and a dark one take 0.34 s
        medium.played = None
        until(lambda: not generator.busy())
        assert medium.played is not None and np.abs(medium.played).max() > 0.05
        assert not medium.played[:, -1].any()
        assert kinds(simulation)[-1] == "burst"  # nothing was cut, and nothing came after it
        on = [event for event in simulation.rig.log if event.kind == "on"][-1]
        assert on.peak == 0.0  # between bursts
        before = len(kinds(simulation))
        code, said = processes.run("resume", only_run(tmp_path))
        assert code == 0, said
        assert kinds(simulation)[before] == "off" and kinds(simulation)[-1] == "off"
