"""Runs that are killed, stopped or broken, and gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physnet.session import Run, checkpoint, open_run

from .processes import Processes

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
Start = Callable[..., subprocess.Popen[str]]
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and fork")
TIMES = {"time", "seconds", "system_seconds", "digital_seconds", "log_seconds", "idle_seconds", "joules", "attempt"}
# Two layers with noise on a drifting medium: what is remembered between rows has to come back too.
EXPERIMENT = """\
title = "Tiny digits"
data = { name = "digits", train_limit = 80, test_limit = 40 }
rule.name = "RULE"
training = { epochs = 24, batch_size = 20, validate_every = 3, patience = 9 }
layers = [{ system = "lower", width = 12, skip = true }, { system = "upper", width = 12 }]
session.checkpoint_seconds = 0.05

[systems.lower]
type = "scattering"
responses = 16

[systems.lower.impairments]
noise = 0.02
adc_bits = 8
full_scale = "auto"
seconds_per_pass = 0.01
gain_drift = { profile = "linear", rate = 1e-3 }

[systems.upper]
type = "scattering"
responses = 16
impairments.noise = 0.02
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = Processes(tmp_path_factory.mktemp("printed"))
    yield made
    made.close()


def only_run(folder: Path) -> Path | None:
    found = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
    return found[0] if found else None


def assert_same_run(found: Run, expected: Run) -> None:
    """All that a run recorded must be that of the undisturbed one, times aside."""
    assert found.status == expected.status == "done"
    assert found.result is not None
    assert expected.result is not None
    assert found.result.weights_sha256 == expected.result.weights_sha256
    for name in ("test_accuracy", "validation_accuracy", "layer_accuracy", "epochs", "steps", "kept_epoch"):
        assert getattr(found.result, name) == getattr(expected.result, name), name
    np.testing.assert_array_equal(found.result.confusion, expected.result.confusion)
    passes = {name: count for name, count in found.result.passes.items() if name != "repeated"}
    assert passes == expected.result.passes
    for one, other in ((found.steps, expected.steps), (found.epochs, expected.epochs)):
        for name in set(other) - TIMES:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@POSIX
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", ["phyll", "mono_forward"])
def test_killed_runs_end_as_if_they_had_not_been(
    processes: Processes, tmp_path: Path, rule: str, thorough: bool
) -> None:
    kills = 20 if thorough else 4
    experiment = tmp_path / "tiny.toml"
    experiment.write_text(EXPERIMENT.replace("RULE", rule), encoding="utf-8")
    durations = []
    for name in ("whole", "twin"):
        began = time.monotonic()
        code, said = processes.run("train", experiment, "--output", tmp_path / name)
        durations.append(time.monotonic() - began)
        assert code == 0, said
    whole = only_run(tmp_path / "whole")
    assert whole is not None
    expected = open_run(whole)
    most = 0.9 * min(durations)  # the first moments go into reading data: a later kill is a more interesting one

    generator = random.Random(rule)
    killed = again = number = 0
    while killed < kills or again < 1:
        number += 1
        assert number <= 3 * kills + 10
        output = tmp_path / str(number)
        process, _ = processes.start("train", experiment, "--output", output)
        kill_after(process, generator.uniform(0.1, 0.8) * most)
        once = False
        if processes.ended(process):
            most *= 0.8  # the machine has less else to do than when the whole run was timed
        while processes.wait(process) == -signal.SIGKILL:
            killed += not once
            again += once
            once = True
            folder = only_run(output)
            if folder is None:  # killed before there was a folder: begun anew
                process, _ = processes.start("train", experiment, "--output", output)
                continue
            if open_run(folder).status == "done":  # killed between the end of the run and that of the process
                break
            process, _ = processes.start("resume", folder)
            if generator.random() < 0.5:
                kill_after(process, generator.uniform(0.1, 0.5) * most)
        folder = only_run(output)
        assert folder is not None
        assert_same_run(open_run(folder), expected)


def kill_after(process: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_from_the_very_step(processes: Processes, tmp_path: Path, number: signal.Signals) -> None:
    experiment = tmp_path / "tiny.toml"
    # No checkpoint in an epoch but the one that is made because of the signal.
    text = EXPERIMENT.replace("RULE", "mono_forward").replace(
        "session.checkpoint_seconds = 0.05", "session = { checkpoint_seconds = 1e6, checkpoint_share = 1.0 }"
    )
    text = text.replace("validate_every = 3", "validate_every = 12")  # a validation is stopped in its middle
    experiment.write_text(text, encoding="utf-8")
    code, said = processes.run("train", experiment, "--output", tmp_path / "whole")
    assert code == 0, said
    process, _ = processes.start("train", experiment, "--output", tmp_path / "cut")
    deadline = time.monotonic() + 60
    while not any((tmp_path / "cut").glob("*/checkpoints/epoch-000001.npz")):
        assert time.monotonic() < deadline
    os.kill(process, number)
    assert processes.wait(process) == 128 + number
    folder = only_run(tmp_path / "cut")
    assert folder is not None
    stopped = open_run(folder)
    assert stopped.status == {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    newest = checkpoint.load(stopped.checkpoints[-1])
    assert newest.step == len(stopped.steps["step"])
    code, said = processes.run("resume", folder, "--json")
    assert code == 0, said
    values = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert values["passes"]["repeated"] == 0
    whole = only_run(tmp_path / "whole")
    assert whole is not None
    run = open_run(folder)
    assert_same_run(run, open_run(whole))
    assert run.attempts["step"].tolist() == [newest.step]
    assert any("resumed from step" in event.message for event in run.events)


def interrupted_run(call: Call, tiny: Path, runs: Path, *, sentinels: int = 0) -> Path:
    """Make a run that ended early, in this process: its system fails for good after a few calls, until it is mended."""
    np.save(tiny.with_name("matrix.npy"), np.random.default_rng(7).standard_normal((64, 30)) / 8)
    tiny.with_name("bench.py").write_text(
        """\
import itertools, pathlib, numpy as np, physnet
HERE = pathlib.Path(__file__).parent
def bench():
    matrix, calls = np.load(HERE / "matrix.npy"), itertools.count()
    def speckle(drive):
        if next(calls) >= 8 and not (HERE / "mended").exists():
            raise OSError("the cable was pulled")
        return np.abs(drive @ matrix)
    return physnet.system(speckle, drives=64, responses=30, reproducible=True)
""",
        encoding="utf-8",
    )
    experiment = tiny.with_name("bench.toml")
    experiment.write_text(
        f"""\
data = {{ name = "digits", train_limit = 200, test_limit = 60 }}
rule.name = "mono_forward"
training = {{ epochs = 3, batch_size = 50 }}
layers = [{{ system = "bench", width = 20 }}]
systems.bench.type = "bench.py:bench"
session = {{ sentinels = {sentinels}, checkpoint_share = 1.0 }}
""",
        encoding="utf-8",
    )
    answer = call("train", experiment, "--output", runs)
    assert answer.returncode == 3, answer.stderr
    (folder,) = runs.iterdir()
    tiny.with_name("mended").touch()
    return folder


def test_changed_code_is_refused_with_the_difference_or_accepted_and_recorded(
    call: Call, tiny: Path, runs: Path
) -> None:
    folder = interrupted_run(call, tiny, runs)
    before = (folder / "session.h5").read_bytes()
    bench = tiny.with_name("bench.py")
    bench.write_text(bench.read_text() + "# a remark\n", encoding="utf-8")
    refused = call("resume", folder)
    assert refused.returncode == 2
    words = " ".join(refused.stderr.split())
    assert "these differ" in words
    assert "code: bench.py was" in words
    assert "--accept-changes" in words
    assert (folder / "session.h5").read_bytes() == before
    accepted = call("resume", folder, "--accept-changes", "--json")
    assert accepted.returncode == 0, accepted.stderr
    run = open_run(folder)
    assert run.status == "done"
    assert "code: bench.py was" in run.attempts["changes"][0].decode()
    assert any(event.message.startswith("accepted: code: bench.py") for event in run.events)
    assert run.steps["attempt"].tolist() != [0] * len(run.steps["step"])


def test_a_changed_configuration_needs_the_flag_and_some_of_it_can_not_change(
    call: Call, tiny: Path, runs: Path
) -> None:
    folder = interrupted_run(call, tiny, runs)
    refused = call("resume", folder, "--set", "training.epochs=4")
    assert refused.returncode == 2
    assert "configuration: training.epochs was 3, and is 4" in " ".join(refused.stderr.split())
    for fixed in ("training.batch_size=10", "seed=3", "data.train_limit=100"):
        answer = call("resume", folder, "--set", fixed, "--accept-changes")
        assert answer.returncode == 2
        assert "can't change within a run" in " ".join(answer.stderr.split())
    answer = call("resume", folder, "--set", "layers.0.width=21", "--accept-changes")
    assert answer.returncode == 2
    assert "tensor" in answer.stderr
    assert call("resume", folder, "--set", "training.epochs=4", "--accept-changes").returncode == 0
    assert len(open_run(folder).epochs["epoch"]) == 4


def test_a_bench_that_answers_its_sentinels_otherwise_is_refused_or_accepted(
    call: Call, tiny: Path, runs: Path
) -> None:
    folder = interrupted_run(call, tiny, runs, sentinels=6)
    matrix = np.load(tiny.with_name("matrix.npy"))
    np.save(tiny.with_name("matrix.npy"), np.roll(matrix, 1, axis=1))  # another bench under the same name
    refused = call("resume", folder)
    assert refused.returncode == 2
    assert "must answer its sentinels as before, within 0.2" in " ".join(refused.stderr.split())
    assert open_run(folder).status == "fault"
    accepted = call("resume", folder, "--accept-changes")
    assert accepted.returncode == 0, accepted.stderr
    assert any("must answer its sentinels as before" in event.message for event in open_run(folder).events)


def test_a_bench_that_is_as_it_was_goes_on(call: Call, tiny: Path, runs: Path) -> None:
    folder = interrupted_run(call, tiny, runs, sentinels=6)
    answer = call("resume", folder, "--json")
    assert answer.returncode == 0, answer.stderr
    run = open_run(folder)
    # At the beginning, at the resumption, and after each epoch: the bench never changes.
    assert run.sentinels["epoch"].tolist() == [0, 0, 1, 2, 3] or run.sentinels["epoch"].tolist() == [0, 1, 1, 2, 3]
    np.testing.assert_array_equal(run.sentinels["drift"], 0)
    assert _last(answer)["passes"]["sentinel"] == 6 * 5


def test_a_finished_run_is_not_gone_on_with(call: Call, trained: tuple[Path, Answer]) -> None:
    answer = call("resume", trained[0])
    assert answer.returncode == 2
    assert "is done" in " ".join(answer.stderr.split())


def test_a_damaged_checkpoint_gives_way_to_the_one_before(call: Call, tiny: Path, runs: Path) -> None:
    folder = interrupted_run(call, tiny, runs)
    newest, *_ = reversed(open_run(folder).checkpoints)
    newest.write_bytes(newest.read_bytes()[:-500])
    answer = call("resume", folder, "--json")
    assert answer.returncode == 0, answer.stderr
    assert f"not used: checkpoint {newest}" in " ".join(answer.stderr.split())
    assert _last(answer)["status"] == "done"


def test_without_a_sound_checkpoint_nothing_is_pretended(call: Call, tiny: Path, runs: Path) -> None:
    folder = interrupted_run(call, tiny, runs)
    for path in open_run(folder).checkpoints:
        path.write_bytes(b"PK nothing")
    answer = call("resume", folder)
    assert answer.returncode == 2
    assert "no checkpoint is sound" in " ".join(answer.stderr.split())


def _last(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return values
