"""How a run may end before it is done: Ctrl-C, SIGTERM, kill -9, a full disk. Its folder always opens."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.session import open_run

from .processes import Process, Start, Until

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]

BENCH = Path(__file__).with_name("bench.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and tmpfs")
LONG = ("--set", "training.epochs=16384")


def visible(runs: Path) -> list[Path]:
    return [path for path in runs.iterdir() if not path.name.startswith(".")] if runs.exists() else []


def read_epochs(process: Process, count: int) -> None:
    """Wait until the progress lines of so many epochs came, or the process ended."""
    assert process.stderr is not None
    while count and process.stderr.readline():
        count -= 1


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_the_run_after_the_step_and_leaves_weights_to_evaluate(
    call: Call, fork: Start, tiny: Path, runs: Path, number: signal.Signals, code: int, status: str
) -> None:
    with fork("train", tiny, "--json", "--output", runs, *LONG) as process:
        read_epochs(process, 3)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    (folder,) = runs.iterdir()
    *_, complaint, hint, way_on = err.splitlines()
    assert complaint == f"physnet: stopped by {number.name}"
    assert hint == f"What it recorded: physnet show {folder}"
    assert way_on == f"To go on with it: physnet resume {folder}"
    run = open_run(folder)
    assert run.status == status
    assert len(run.epochs["epoch"]) >= 3
    shown = call("show", folder, "--plot")
    assert shown.returncode == 0
    assert status.upper() in shown.stdout
    assert call("evaluate", folder, "--dataset", "test").returncode == 0


def test_a_signal_while_another_run_goes_on_leaves_that_one_alone(
    call: Call, fork: Start, tiny: Path, runs: Path
) -> None:
    with fork("train", tiny, "--output", runs, *LONG) as process:
        read_epochs(process, 1)
        (folder,) = visible(runs)
        shown = call("show", folder)
        process.terminate()
        process.communicate()
    assert shown.returncode == 2
    assert "still going on" in " ".join(shown.stderr.split())
    assert call("show", folder).returncode == 0


# Where the clock of a kill starts, how long it then runs at most in s, and how many kills. Imports take 3 s, making
# a folder 50 ms, an epoch 10 ms, the end of a run 50 ms.
STAGES = {
    "process started": (4.0, 3, 1),
    "folder made": (0.1, 7, 3),
    "epochs done": (0.05, 5, 2),
    "about to finish": (0.06, 5, 2),
}


@pytest.mark.timeout(120)
def test_runs_killed_at_random_moments_open(
    call: Call, start: Start, fork: Start, until: Until, tiny: Path, tmp_path: Path, thorough: bool
) -> None:
    generator = random.Random(20)
    epochs = 3

    def kill(name: str, stage: str, delay: float, after: int) -> Path:
        output = tmp_path / name
        words = ("--set", f"training.epochs={epochs}") if stage == "about to finish" else LONG
        begin = start if stage == "process started" else fork  # imports are a part of that stage alone
        with begin("train", tiny, "--output", output, *words) as process:
            if stage == "folder made":
                # hidden or not: the kill may fall between the two
                until(lambda: output.exists() and any(output.iterdir()), process)
            elif stage == "epochs done":
                read_epochs(process, after)
            elif stage == "about to finish":
                read_epochs(process, epochs)
            moment = time.monotonic() + delay
            until(lambda: time.monotonic() >= moment, process)
            process.kill()
            process.communicate()
        return output

    draws = [
        (f"{stage} {number}", stage, generator.uniform(0, most), generator.randrange(1, 50))
        for stage, (most, all_of_them, few) in STAGES.items()
        for number in range(all_of_them if thorough else few)
    ]
    outputs = [kill(*draw) for draw in draws]
    assert len(outputs) == (20 if thorough else 8)
    opened = 0
    for output, draw in zip(outputs, draws, strict=True):
        for folder in visible(output):
            shown = call("show", folder)
            assert shown.returncode == 0, (draw, shown.stderr)
            assert open_run(folder).status in ("killed", "done")
            opened += 1
        if draw[1] in ("epochs done", "about to finish"):
            assert len(visible(output)) == 1
    assert opened >= len(outputs) // 2


def on_a_small_disk(
    tmp_path: Path, system: str, wait: float, *, schedule: str = "simultaneous", raw: bool = False
) -> tuple[int, str, str, str]:
    """Train on a disk of a few MB with a system that fills it; return exit code, output, errors, and what show says.

    With `raw`, raw data are what finds it full: a checkpoint comes at the end only.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "bench.py").write_bytes(BENCH.read_bytes())
    experiment = tmp_path / "hog.toml"
    experiment.write_text(
        f"""\
data = {{ name = "digits", train_limit = 200, test_limit = 60 }}
rule.name = "mono_forward"
training = {{ epochs = 12, batch_size = 50, schedule = "{schedule}", validate_every = 12 }}
session = {{ wait_for_room = {wait}, checkpoint_seconds = {1e9 if raw else 1e-9}, raw = "{"all" if raw else "none"}" }}
layers = [{{ system = "bench", width = 10 }}, {{ system = "upper", width = 10 }}]

[systems.bench]
type = "bench.py:{system}"
folder = "{disk}"

[systems.upper]
type = "scattering"
responses = 30
""",
        encoding="utf-8",
    )
    # Both commands in one process: the disk is gone when the process that mounted it ends.
    code = (
        "import contextlib, io, json, sys; from physnet.cli import main; from physnet.raw import writer\n"
        # Raw data take room and meet the full disk at once, not megabytes and a quarter of a second later.
        "writer.RawWriter.__init__.__kwdefaults__['segment_bytes'] = 1 << 16; writer._GATHER = 0.0\n"
        "answers = []\n"
        "for words in (['train', sys.argv[1], '--output', sys.argv[2]], ['show', sys.argv[2]]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:\n"
        "        answers.append([main(words)])\n"
        "    answers[-1] += [out.getvalue(), err.getvalue()]\n"
        "print(json.dumps(answers))"
    )
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    script = 'mount -t tmpfs -o size=6m none "$1" && exec "$2" -c "$3" "$4" "$1"'
    done = subprocess.run(
        [*namespace, "sh", "-c", script, "sh", str(disk), sys.executable, code, str(experiment)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (code_of_training, out, err), (code_of_show, shown, _) = json.loads(done.stdout)
    assert code_of_show == 0
    return code_of_training, out, err, shown


def test_a_disk_that_fills_up_during_the_run_is_a_fault_with_a_way_out(needs_tmpfs: None, tmp_path: Path) -> None:
    code, out, err, shown = on_a_small_disk(tmp_path, "hog", wait=0.5)
    assert code == 3
    assert out == ""
    assert "Traceback" not in err
    words = " ".join(err.split())
    assert "the disk is full" in words
    assert "Free some space" in words
    assert "What it recorded: physnet show" in words
    assert "physnet resume" in words
    assert "STOPPED BY A FAULT" in shown
    assert "the disk is full" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("schedule", "raw"), [("simultaneous", False), ("pipelined", True)], ids=["session", "raw data in a pipeline"]
)
def test_a_run_waits_for_room_with_its_outputs_safe_and_goes_on(
    needs_tmpfs: None, tmp_path: Path, schedule: str, raw: bool
) -> None:
    # The system makes room when it is left: only if the run leaves it while it waits does the run come to its end.
    code, out, err, _ = on_a_small_disk(tmp_path, "Tidy", wait=120, schedule=schedule, raw=raw)
    assert code == 0, err
    assert "all epochs done: 12 epochs" in out
