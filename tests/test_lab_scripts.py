"""Every lab script runs as it stands, in a process of its own, from another folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from physnet.records import EpochRecord, PassCount, RunPlan, StepRecord
from physnet.session import Session, open_run

SCRIPTS = Path(__file__).parents[1] / "lab_scripts"
ARGUMENTS = {
    "train_default.py": (["--epochs", "1"], "test accuracy"),
    "train_own_system.py": ([], "test accuracy"),
    "train_on_recorded_pairs.py": ([], "none was measured"),
    "characterise_bench.py": (["--passes", "1000"], "What a network can learn"),
    # Not run: listing VISA resources asks the network.
    "find_instruments.py": (["--help"], "ports and VISA names to open and ask"),
    "bring_up_bench.py": ([str(SCRIPTS / "benches" / "cavity.toml"), "--simulated", "--rows=4"], "faults     none"),
    "train_on_bench.py": (
        [
            str(SCRIPTS / "benches" / "digits.toml"),
            "--simulated",
            "--set=training.epochs=1",
            "--set=training.standardise_rows=40",
            "--set=data.train_limit=60",
            "--set=data.test_limit=40",
            "--set=data.validation_fraction=0",
        ],
        "test accuracy",
    ),
}


def test_every_script_is_run_here() -> None:
    assert {path.name for path in SCRIPTS.glob("*.py")} == {*ARGUMENTS, "analyse_runs.py"}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_lab_script_runs(name: str, tmp_path: Path) -> None:
    words, expected = ARGUMENTS[name]
    done = run(name, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert not [path for path in tmp_path.iterdir() if path.name != "runs"]


@pytest.mark.parametrize("kind", ["npz", "csv", "h5"])
def test_pairs_of_any_size_with_labels_of_any_kind_are_trained_on(kind: str, tmp_path: Path) -> None:
    # Three species that differ in which of five drives is strong, behind a medium that loses the sign.
    random = np.random.default_rng(0)
    label = np.array(["setosa", "versicolor", "virginica"])[np.arange(150) % 3]
    volts = random.normal(0, 0.4, (150, 5)) + 2.0 * np.eye(3, 5)[np.arange(150) % 3]
    current = np.abs(volts @ random.normal(size=(5, 9)))
    path = tmp_path / f"pairs.{kind}"
    if kind == "npz":
        np.savez(path, volts=volts, current=current, species=label, other=np.zeros(7))
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["volts"], file["current"], file["species"] = volts, current, label.tolist()
    else:
        names = [*(f"volts_{n}" for n in range(5)), "species", *(f"current_{n}" for n in range(9))]
        rows = [",".join(map(str, [*v, s, *c])) for v, s, c in zip(volts, label, current, strict=True)]
        path.write_text("\n".join([",".join(names), *rows]))
    words = ["--drive=volts", "--response=current", "--label=species", "--width=20", "--epochs=60", "--seed=3"]
    done = run("train_on_recorded_pairs.py", path.name, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "150 pairs of 5 drives and 9 responses, 3 classes" in done.stdout
    accuracy = float(done.stdout.partition("test accuracy ")[2].partition("%")[0])
    # Chance is 33 % of 30 test rows, with a deviation of 8.6 %: five of them above.
    assert accuracy > 76
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_runs_are_analysed_without_physnet(tmp_path: Path) -> None:
    plan = small_plan()
    for name, steps in (("whole", 20), ("torn", 20), ("empty", 0)):
        with Session.create(tmp_path / name, plan) as session:
            for number in range(steps):
                session.step(
                    StepRecord(
                        step=number,
                        epoch=0,
                        time=1.7e9 + number,
                        metrics={"loss": (1 / (number + 1), 2.0)},
                        count=PassCount(passes=5, clipped_response=1, seconds=0.25),
                        seconds=0.5,
                    )
                )
            if steps:
                record = {"seconds": 1.0, "passes": 100, "validation_accuracy": 0.75, "layer_accuracy": (0.5, 0.75)}
                session.epoch(EpochRecord(epoch=0, step=steps, time=1.7e9, **record))  # type: ignore[arg-type]
    with h5py.File(tmp_path / "torn" / "session.h5", "r+") as file:
        file["entry/steps/loss"][7, 0] = 9.0
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "session.h5").write_bytes(b"text")
    done = run("analyse_runs.py", ".", "--csv=runs.csv", "--plot=runs.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "broken" in done.stderr and "left out" in done.stderr
    table = pd.read_csv(tmp_path / "runs.csv", index_col="run")
    assert table["steps"].to_dict() == {"empty": 0, "torn": 19, "whole": 20}
    assert table["torn_rows"].to_dict() == {"empty": 0, "torn": 1, "whole": 0}
    assert table["training_passes"].to_dict() == {"empty": 0, "torn": 95, "whole": 100}
    assert set(table["kind"]) == {"measured and simulated"}
    assert table.loc["whole", "best_validation"] == 0.75
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    code = "import sys; sys.argv = ['x', '--help']; runpy = __import__('runpy')\n"
    code += f"try: runpy.run_path({str(SCRIPTS / 'analyse_runs.py')!r}, run_name='__main__')\n"
    code += "except SystemExit: assert not [name for name in sys.modules if name.startswith('physnet')]"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    empty = run("analyse_runs.py", "broken", folder=tmp_path)
    assert empty.returncode == 1 and "no run was found" in empty.stderr


def test_a_resumed_run_is_analysed_as_physnet_reads_it(tmp_path: Path) -> None:
    def record(step: int, attempt: int) -> StepRecord:
        count = PassCount(passes=5 + attempt)
        metrics = {"loss": (1.0, 2.0)}
        return StepRecord(step=step, attempt=attempt, epoch=0, time=1.7e9, metrics=metrics, count=count, seconds=0.5)

    folder, plan = tmp_path / "run", small_plan()
    session = Session.create(folder, plan)
    for step in range(10):
        session.step(record(step, 0))
    session.close()
    session = Session.resume(folder, plan, step=6)
    session.step(record(6, 1))
    session.close()
    assert run("analyse_runs.py", "run", "--csv=runs.csv", folder=tmp_path).returncode == 0
    (row,) = pd.read_csv(tmp_path / "runs.csv").to_dict("records")
    steps = open_run(folder).steps
    assert row["steps"] == len(steps["step"]) == 7
    assert row["training_passes"] == steps["passes"].sum() == 36


def small_plan() -> RunPlan:
    return RunPlan(
        title="two layers",
        configuration={"rule": {"name": "phyll"}},
        seed=0,
        layers=("layer0", "layer1"),
        metrics={"loss": "1"},
        classes=("a", "b"),
        systems={"slab": {"kind": "simulated"}, "bench": {"kind": "measured"}},
        layer_systems=("slab", "bench"),
        response_channels=(8, 8),
        tensors={"W": np.zeros(3)},
        data={},
    )


def run(name: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / name), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
