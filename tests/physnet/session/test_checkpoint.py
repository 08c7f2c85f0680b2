from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.errors import SessionError
from physnet.records import Snapshot, Tensors
from physnet.session.checkpoint import RECORD, listed, load, prune, save
from physnet.weights import sha256


def snapshot(tensors: Tensors, *, epoch: int, step: int, complete: bool = True) -> Snapshot:
    return Snapshot(
        epoch=epoch + complete, step=step, complete=complete, tensors=tensors, state={"steps": step}, arrays={}
    )


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path, small_run: ModuleType) -> None:
    weights = small_run.tensors()
    path = save(tmp_path, snapshot(weights, epoch=12, step=240))
    assert path.name == "epoch-000012.npz"
    found = load(path)
    assert (found.epoch, found.step, found.sha256) == (12, 240, sha256(weights))
    assert found.tensors.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found.tensors[name], array)
        assert found.tensors[name].dtype == array.dtype
    assert os.listdir(tmp_path) == [path.name]


def test_numpy_reads_a_checkpoint(tmp_path: Path, small_run: ModuleType) -> None:
    with np.load(save(tmp_path, snapshot(small_run.tensors(), epoch=0, step=1)), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["layer0/W"], small_run.tensors()["layer0/W"])
        assert json.loads(archive[RECORD].tobytes())["step"] == 1


def test_arrays_come_back_whatever_their_order_in_memory(tmp_path: Path) -> None:
    square = np.arange(12.0).reshape(3, 4)
    arrays = {"turned": square.T, "columns": np.asfortranarray(square), "every other": square[:, ::2]}
    arrays["big-endian"] = square.astype(">f8")
    found = load(save(tmp_path, snapshot(arrays, epoch=0, step=1))).tensors
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_equal_weights_make_equal_files(tmp_path: Path, small_run: ModuleType) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (save(tmp_path / name, snapshot(small_run.tensors(), epoch=0, step=1)).read_bytes() for name in "ab")
    assert one == two


def test_a_failed_save_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, snapshot({"W": np.zeros(3)}, epoch=0, step=1))

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, snapshot({"W": np.ones(3)}, epoch=0, step=2))
    monkeypatch.undo()
    assert load(path).step == 1
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("tensors", [{RECORD: np.zeros(1)}, {"W": np.array([object()])}])
def test_what_cannot_be_stored_is_refused(tmp_path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    with pytest.raises((ValueError, TypeError)):
        save(tmp_path, snapshot(tensors, epoch=0, step=0))
    with pytest.raises(ValueError, match="epoch must be >= 0"):
        save(tmp_path, snapshot({}, epoch=-1, step=0))
    assert os.listdir(tmp_path) == []


def _rewrite(path: Path, change: dict[str, NDArray[Any] | None]) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{name: array for name, array in (arrays | change).items() if array is not None})


def test_each_kind_of_damage_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, snapshot({"W": np.zeros(3), "b": np.ones(2)}, epoch=0, step=1))
    whole = path.read_bytes()
    with pytest.raises(SessionError, match="there is no checkpoint"):
        load(tmp_path / "epoch-000001.npz")
    path.write_bytes(b"text")
    with pytest.raises(SessionError, match="is not a zip file"):
        load(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SessionError, match="is cut short"):
        load(path)
    path.write_bytes(whole)
    _rewrite(path, {"b": None})
    with pytest.raises(SessionError, match="lacks tensor b"):
        load(path)
    path.write_bytes(whole)
    _rewrite(path, {"b": np.zeros(2)})
    with pytest.raises(SessionError, match=r"hash .* expected"):
        load(path)
    _rewrite(path, {RECORD: None})
    with pytest.raises(SessionError, match="does not describe itself"):
        load(path)
    np.savez(path, W=np.array([{}], dtype=object))
    with pytest.raises(SessionError, match="can't be read"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(SessionError, match="can't be read"):
        load(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_flipped_bytes_give_the_weights_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    weights = {"W": np.arange(6.0), "b": np.ones(2)}
    path = save(tmp_path_factory.mktemp("flip"), snapshot(weights, epoch=0, step=1))
    whole = bytearray(path.read_bytes())
    flips = data.draw(st.dictionaries(st.integers(0, len(whole) - 1), st.integers(1, 255), min_size=1, max_size=5))
    for place, mask in flips.items():
        whole[place] ^= mask
    path.write_bytes(whole)
    try:
        found = load(path)
    except SessionError:
        return
    assert sha256(found.tensors) == sha256(weights)


def test_only_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for epoch in (2, 10, 1, 11, 9):
        save(tmp_path, snapshot({}, epoch=epoch, step=0))
    (tmp_path / "epoch-x.npz").write_text("not ours")
    prune(tmp_path, last=2, best=1)
    assert [path.name for path in listed(tmp_path)] == [f"epoch-{n:06d}.npz" for n in (1, 10, 11)]
    assert (tmp_path / "epoch-x.npz").exists()
