from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.errors import SessionError
from physnet.session import Run, Session, layout, open_run
from physnet.session.show import summary


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    with Session.create(folder, small_run.plan()) as session:
        for number in range(20):
            session.step(small_run.step(number))
        session.epoch(small_run.epoch(0))
        session.checkpoint(small_run.snapshot(small_run.tensors(3.0), step=20))
        session.finish(small_run.result(), small_run.tensors(2.0))
    return folder


def _copy(run: Path, to: Path) -> Path:
    shutil.copytree(run, to, dirs_exist_ok=True)
    return to / "session.h5"


def test_sessions_are_read_and_written_without_torch() -> None:
    # Its import takes most of a short program's time.
    code = "import sys, physnet.session; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr


def test_a_run_opens_by_folder_and_by_file(finished: Path) -> None:
    assert open_run(finished).folder == open_run(str(finished / "session.h5")).folder == finished


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="is not a run folder"):
        open_run(tmp_path)
    with pytest.raises(SessionError, match="is not a run folder"):
        open_run(tmp_path / "missing")
    (tmp_path / "session.h5").write_text("text")
    with pytest.raises(SessionError, match="is not an HDF5 file"):
        open_run(tmp_path)
    with h5py.File(tmp_path / "session.h5", "w") as file:
        file["entry"] = 1
    with pytest.raises(SessionError, match="not a session of physnet"):
        open_run(tmp_path)


def test_a_newer_schema_is_refused(finished: Path, tmp_path: Path) -> None:
    with h5py.File(_copy(finished, tmp_path), "r+") as file:
        file.attrs["physnet_schema"] = layout.SCHEMA + 1
    with pytest.raises(SessionError, match=r"schema 4.*Update physnet"):
        open_run(tmp_path)


@pytest.mark.parametrize("name", ["entry/steps", "entry/title", "entry/systems/slab/spec", "entry/layers/layer0"])
def test_nothing_is_read_without_the_description(finished: Path, tmp_path: Path, name: str) -> None:
    with h5py.File(_copy(finished, tmp_path), "r+") as file:
        del file[name]
    with pytest.raises(SessionError, match=r"is damaged .*physnet recover"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("entry/result/status", "how the run ended"),
        ("entry/configuration", "configuration"),
        ("entry/steps/crc32", "all steps"),
        ("entry/layers/layer1/response/mean", "responses of layer1"),
    ],
)
def test_a_part_that_is_missing_is_named(finished: Path, tmp_path: Path, name: str, part: str) -> None:
    with h5py.File(_copy(finished, tmp_path), "r+") as file:
        del file[name]
    run = open_run(tmp_path)
    assert run.damaged_parts == (part,)
    assert f"damaged, and left out: {part}" in " ".join(summary(run).split())
    assert run.classes == open_run(finished).classes


def test_a_running_session_is_not_read_by_its_own_process(tmp_path: Path, small_run: ModuleType) -> None:
    with (
        Session.create(tmp_path / "run", small_run.plan()),
        pytest.raises(SessionError, match="still going on"),
    ):
        open_run(tmp_path / "run")


def test_weights_that_changed_give_way_to_a_checkpoint(finished: Path, tmp_path: Path, small_run: ModuleType) -> None:
    with h5py.File(_copy(finished, tmp_path), "r+") as file:
        file["entry/weights/layer0|W"][0, 0] = 99
    kept = open_run(tmp_path).weights()
    assert kept.source == "checkpoint of epoch 1"
    np.testing.assert_array_equal(kept.tensors["layer0/W"], small_run.tensors(3.0)["layer0/W"])
    (tmp_path / "checkpoints" / "epoch-000000.npz").write_bytes(b"PK")
    with pytest.raises(SessionError, match=r"neither final weights.*epoch-000000.npz is cut short"):
        open_run(tmp_path).weights()


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(finished: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    whole = (finished / "session.h5").read_bytes()
    path = tmp_path_factory.mktemp("cut") / "session.h5"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(SessionError, match=r"cut short|is not an HDF5 file|can't be opened"):
        open_run(path)


def _rows(path: Path, group: str) -> list[int]:
    """Offsets of every byte that holds rows."""
    with h5py.File(path, "r") as file:
        return [
            offset
            for dataset in file["entry"][group].values()
            for info in map(dataset.id.get_chunk_info, range(dataset.id.get_num_chunks()))
            for offset in range(info.byte_offset, info.byte_offset + info.size)
        ]


@pytest.fixture(scope="module")
def places(finished: Path) -> list[int]:
    """Where the rows of the steps are in the file."""
    return _rows(finished / "session.h5", "steps")


@pytest.fixture(scope="module")
def original(finished: Path) -> Run:
    return open_run(finished)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_flipped_bytes_never_pass_for_a_row(
    finished: Path,
    places: list[int],
    original: Run,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    whole = bytearray((finished / "session.h5").read_bytes())
    flips = data.draw(st.dictionaries(st.sampled_from(places), st.integers(1, 255), min_size=1, max_size=20))
    for place, mask in flips.items():
        whole[place] ^= mask
    path = tmp_path_factory.mktemp("flipped") / "session.h5"
    path.write_bytes(whole)
    run = open_run(path)
    assert len(run.steps["step"]) + run.damaged_rows == 20
    kept = np.isin(original.steps["step"], run.steps["step"])
    for name, values in run.steps.items():
        np.testing.assert_array_equal(values, original.steps[name][kept])


@pytest.fixture(scope="module")
def around_a_step(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> tuple[bytes, bytes, list[int]]:
    """The file before and after its second step, and where the two differ."""
    path = tmp_path_factory.mktemp("step") / "run" / "session.h5"
    with Session.create(path.parent, small_run.plan()) as session:
        session.step(small_run.step(0))
        before = path.read_bytes()
        session.step(small_run.step(1))
        after = path.read_bytes()
    return before, after, [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_step_torn_in_the_middle_costs_that_step_alone(
    tmp_path_factory: pytest.TempPathFactory, around_a_step: tuple[bytes, bytes, list[int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    before, after, changed = around_a_step
    written = data.draw(st.sets(st.sampled_from(changed)))
    torn = bytearray(before)
    for place in written:
        torn[place] = after[place]
    (folder / "session.h5").write_bytes(torn)
    run = open_run(folder)
    assert run.status == "killed"
    assert run.steps["step"].tolist() == ([0, 1] if len(written) == len(changed) else [0])
    assert run.damaged_rows == (0 < len(written) < len(changed))
