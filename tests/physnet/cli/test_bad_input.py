"""Mistakes a new user makes: each a short paragraph, exit code 2, and no run folder left."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]

BENCH = Path(__file__).with_name("bench.py")


def one_layer(system: str, *, encoder: str = "") -> str:
    return f"""\
data = {{ name = "digits", train_limit = 100, test_limit = 30 }}
rule.name = "mono_forward"
training = {{ epochs = 1, batch_size = 50 }}

[systems.bench]
type = "{system}"

[[layers]]
system = "bench"
width = 5
{encoder}
"""


def assert_refused(answer: Answer, *mentions: str, runs: Path | None = None) -> None:
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert 1 <= len(answer.stderr.splitlines()) <= 8, answer.stderr
    words = " ".join(answer.stderr.split())
    for text in mentions:
        assert text in words
    if runs is not None and runs.exists():
        assert list(runs.iterdir()) == []


def test_a_missing_experiment_names_the_shipped_ones(call: Call, tmp_path: Path, runs: Path) -> None:
    answer = call("train", tmp_path / "nowhere.toml", "--output", runs)
    assert_refused(answer, "nowhere.toml", "digits-scattering", runs=runs)


def test_a_folder_is_no_experiment(call: Call, tmp_path: Path, runs: Path) -> None:
    assert_refused(call("train", tmp_path, "--output", runs), "folder", runs=runs)


@pytest.mark.parametrize("content", [b"[data\nname = 1", b"\x89PNG\r\n\x1a\n\x00\x00", b"name: digits\n"])
def test_what_is_not_an_experiment_is_refused(call: Call, tiny: Path, runs: Path, content: bytes) -> None:
    tiny.write_bytes(content)
    assert_refused(call("train", tiny, "--output", runs), "tiny.toml", runs=runs)


def test_an_empty_experiment_is_told_all_that_it_lacks(call: Call, tiny: Path, runs: Path) -> None:
    tiny.write_bytes(b"")
    answer = call("train", tiny, "--output", runs)
    assert answer.returncode == 2
    words = " ".join(answer.stderr.split())
    for section in ("data", "systems", "layers", "rule", "training"):
        assert f"{section} is missing" in words
    assert not runs.exists()


@pytest.mark.parametrize(
    ("right", "wrong", "mentions"),
    [
        ("train_limit", "train_limt", ("tiny.toml:5", "'train_limit'")),
        ('"scattering"', '"scatering"', ("tiny.toml:9", "'scattering'")),
        ('"mono_forward"', '"mono_forwrd"', ("rule.name", "'mono_forward'")),
        ("width = 20", 'width = 20\nencoder = "splt"', ("layers[0].encoder", "'split'")),
        ("epochs = 2", "epochs = 0", ("training.epochs must be >= 1, got 0",)),
        ('"digits"', '"digit"', ("data.name", "'digits'")),
        ('system = "lower"', 'system = "lowr"', ("layers[0].system", "'lower'")),
        ("noise", "nosie", ("systems.lower.impairments", "'noise'")),
        ('name = "mono_forward"', 'name = "mono_forward"\ntheta = 8', ("rule.theta", "not a known key")),
        ("epochs = 2", 'epochs = "2"', ("training.epochs", "whole number")),
    ],
)
def test_a_mistake_in_an_experiment_is_named_with_its_line_and_the_way_out(
    call: Call, tiny: Path, runs: Path, right: str, wrong: str, mentions: tuple[str, ...]
) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").replace(right, wrong, 1), encoding="utf-8")
    assert_refused(call("train", tiny, "--output", runs), "tiny.toml:", *mentions, runs=runs)


def test_all_mistakes_are_told_at_once(call: Call, tiny: Path, runs: Path) -> None:
    text = tiny.read_text(encoding="utf-8")
    for right, wrong in (("epochs = 2", "epochs = 0"), ("train_limit", "limit"), ('"mono_forward"', '"backprop"')):
        text = text.replace(right, wrong)
    tiny.write_text(text, encoding="utf-8")
    assert_refused(call("train", tiny, "--output", runs), "data.limit", "training.epochs", "'backprop'", runs=runs)


@pytest.mark.parametrize(
    ("words", "mention"),
    [
        (("--seed", "-1"), "--seed must be >= 0, got -1"),
        (("--set", "nonsense"), "section.key=value"),
        (("--set", "training.epochs=many"), "training.epochs"),
        (("--set", "=3"), "=3"),
        (("--set", "layers.7.width=3"), "layers"),
        (("--output", ""), "output.folder"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(
    call: Call, tiny: Path, runs: Path, words: tuple[str, ...], mention: str
) -> None:
    assert_refused(call("train", tiny, "--output", runs, *words), mention, runs=runs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(call: Call, tiny: Path, runs: Path) -> None:
    assert_refused(call("train", tiny, "--output", runs, "--device", "cuda"), "--device cpu", runs=runs)


@pytest.mark.parametrize(
    ("system", "mentions"),
    [
        ("nan", ("nan", "not finite (NaN or infinite)")),
        ("wrong_shape", ("must have shape (85, 30), got (85, 29)",)),
        ("rows_lost", ("must have shape (85, 30), got (84, 30)",)),
        ("scalar", ("response",)),
        ("nothing", ("response",)),
        ("objects", ("must be numbers, got dtype object",)),
        ("text", ("must be numbers",)),
        ("complex_numbers", ("must be real",)),
        ("other_width", ("64", "65")),
        ("not_a_system", ("physnet.system", "got int")),
        ("wrong_shap", ("must define 'wrong_shap'", "Did you mean 'wrong_shape'?")),
        ("Unplugged", ("no instrument at 10.0.0.5",)),
        ("absent", ("no instrument at 10.0.0.5",)),
    ],
)
def test_a_system_that_does_not_work_is_refused_before_anything_is_trained(
    call: Call, tmp_path: Path, runs: Path, system: str, mentions: tuple[str, ...]
) -> None:
    shutil.copy(BENCH, tmp_path)
    experiment = tmp_path / "own.toml"
    experiment.write_text(one_layer(f"bench.py:{system}"), encoding="utf-8")
    assert_refused(call("train", experiment, "--output", runs), *mentions, runs=runs)


def test_a_drive_out_of_range_is_refused_before_it_is_sent(call: Call, tmp_path: Path, runs: Path) -> None:
    shutil.copy(BENCH, tmp_path)
    experiment = tmp_path / "own.toml"
    encoder = 'encoder = "affine"\nencoder_options = { low = 0.0, high = 0.5 }'
    experiment.write_text(one_layer("bench.py:plain", encoder=encoder), encoding="utf-8")
    assert_refused(call("train", experiment, "--output", runs), "0 to 0.5", "nothing was sent", "clip", runs=runs)


@pytest.mark.parametrize("content", ["import nowhere_to_be_found\n", "def bench(:\n", "raise SystemExit(1)\n"])
def test_a_bench_file_that_does_not_run_is_refused(call: Call, tmp_path: Path, runs: Path, content: str) -> None:
    (tmp_path / "bench.py").write_text(content, encoding="utf-8")
    experiment = tmp_path / "own.toml"
    experiment.write_text(one_layer("bench.py:bench"), encoding="utf-8")
    assert_refused(call("train", experiment, "--output", runs), "bench.py", "can't be run", runs=runs)


def test_an_output_that_is_a_file_is_refused_and_left_alone(call: Call, tiny: Path) -> None:
    before = tiny.read_bytes()
    assert_refused(call("train", tiny, "--output", tiny), "tiny.toml", "can't be made")
    assert tiny.read_bytes() == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_an_output_that_may_not_be_written_is_refused(call: Call, tiny: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert_refused(call("train", tiny, "--output", locked), "can't be made", runs=locked)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses every new folder")
def test_an_output_on_a_disk_that_takes_nothing_is_refused(call: Call, tiny: Path) -> None:
    assert_refused(call("train", tiny, "--output", "/proc/physnet"), "can't be made")


def test_a_run_folder_that_exists_is_refused_and_left_alone(
    call: Call, tiny: Path, trained: tuple[Path, Answer]
) -> None:
    run = trained[0]
    before = (run / "session.h5").read_bytes()
    answer = call("train", tiny, "--output", run.parent, "--set", f"output.name={run.name}")
    assert_refused(answer, "exists already")
    assert (run / "session.h5").read_bytes() == before


def test_a_damaged_data_file_is_refused_with_its_path_and_checksum(
    call: Call, tiny: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data" / "mnist" / "train-images-idx3-ubyte.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x1f\x8b tampered with")
    monkeypatch.setenv("PHYSNET_DATA_DIR", str(tmp_path / "data"))
    answer = call("train", tiny, "--output", runs, "--set", "data.name=mnist")
    assert_refused(answer, str(file), "checksum", "f68b3c2dcbeaaa9fbdd348bbdeb94873", runs=runs)


@pytest.mark.parametrize(
    ("cell", "mention"), [("nan", "line 3"), ("", "line 3"), ("1,5", "line 3"), ("inf", "line 3"), ("abc", "line 3")]
)
def test_a_table_with_a_cell_that_is_no_number_is_refused_with_its_line(
    call: Call, tmp_path: Path, runs: Path, cell: str, mention: str
) -> None:
    (tmp_path / "mine.csv").write_text(f"a,b,label\n1,2,x\n3,{cell},y\n4,5,x\n", encoding="utf-8")
    experiment = tmp_path / "table.toml"
    text = one_layer("scattering").replace('name = "digits", train_limit = 100, test_limit = 30', "TABLE")
    text = text.replace("TABLE", 'name = "table", path = "mine.csv", label = "label"')
    experiment.write_text(text.replace('"scattering"', '"scattering"\nresponses = 8'), encoding="utf-8")
    assert_refused(call("train", experiment, "--output", runs), "mine.csv", mention, runs=runs)


@pytest.mark.parametrize("command", ["show", "evaluate", "predict"])
def test_what_is_not_a_run_is_refused(call: Call, tiny: Path, tmp_path: Path, command: str) -> None:
    more = (tiny,) if command == "predict" else ()
    for path in (tmp_path, tiny, tmp_path / "nowhere"):
        assert_refused(call(command, path, *more), str(path))


def test_a_session_that_was_cut_short_is_refused(call: Call, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    with (run / "session.h5").open("r+b") as stream:
        stream.truncate(3000)
    assert_refused(call("show", run), "session.h5")


def test_samples_with_another_number_of_columns_are_refused(
    call: Call, trained: tuple[Path, Answer], tmp_path: Path
) -> None:
    np.savez(tmp_path / "few.npz", x=np.zeros((3, 63), np.float32))
    assert_refused(call("predict", trained[0], tmp_path / "few.npz"), "few.npz", "64 features", "got 63")


@pytest.mark.parametrize("name", ["tets", "nowhere.csv", "."])
def test_a_data_set_that_is_neither_split_nor_file_is_refused(
    call: Call, trained: tuple[Path, Answer], name: str
) -> None:
    assert_refused(call("evaluate", trained[0], "--dataset", name))


def test_figures_that_can_not_be_written_are_refused(call: Call, trained: tuple[Path, Answer], tiny: Path) -> None:
    answer = call("show", trained[0], "--figures", tiny)
    assert answer.returncode == 2
    assert "figures can't be written" in answer.stderr
