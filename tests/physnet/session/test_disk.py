"""Files are what they should be, on disks that set room aside and on those that don't."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physnet.session import disk

SIZE = (1 << 20) + 12_345
PIECES: list[tuple[int, bytes | memoryview[int]]] = [(0, b"head"), (5000, memoryview(b"middle")), (SIZE - 4, b"tail")]


@pytest.fixture(params=["as it is", "unsupported", "only says so"])
def kind_of_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A disk that can set room aside, can't, and takes the call without doing so."""

    def unsupported(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    if request.param == "unsupported":
        monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    if request.param == "only says so":
        if os.name == "nt":
            pytest.skip("needs st_blocks")
        monkeypatch.setattr(os, "posix_fallocate", lambda handle, _, size: os.ftruncate(handle, size), raising=False)
    return str(request.param)


@pytest.mark.usefixtures("kind_of_disk")
def test_a_new_file_is_zeros_but_for_its_pieces(tmp_path: Path) -> None:
    expected = bytearray(SIZE)
    for offset, data in PIECES:
        expected[offset : offset + len(data)] = data
    disk.write_new(tmp_path / "new", iter(PIECES), SIZE)
    assert (tmp_path / "new").read_bytes() == expected


@pytest.mark.skipif(os.name == "nt", reason="needs st_blocks")
def test_room_is_taken_and_not_merely_promised(tmp_path: Path, kind_of_disk: str) -> None:
    disk.take_room(tmp_path / "room", SIZE)
    stat = (tmp_path / "room").stat()
    assert stat.st_size == SIZE
    assert stat.st_blocks * 512 >= SIZE
    noise = np.frombuffer((tmp_path / "room").read_bytes(), np.uint8)
    # zeros take no room on a disk that compresses; of noise one byte in 256 is zero
    assert (np.mean(noise == 0) < 0.01) == (kind_of_disk != "as it is")


def test_a_changed_copy_holds_what_no_piece_covers_and_zeros_beyond_what_is_kept(tmp_path: Path) -> None:
    whole = np.random.default_rng(1).integers(1, 256, SIZE, np.uint8).tobytes()
    (tmp_path / "old").write_bytes(whole)
    kept = SIZE - 1000
    expected = bytearray(whole[:kept] + bytes(2000))
    for offset, data in PIECES:
        expected[offset : offset + len(data)] = data
    disk.write_changed(tmp_path / "new", tmp_path / "old", iter(PIECES), SIZE + 1000, kept)
    assert (tmp_path / "new").read_bytes() == expected


@pytest.mark.usefixtures("kind_of_disk")
def test_a_changed_copy_of_a_file_that_is_mostly_room_is_the_same_file(tmp_path: Path) -> None:
    disk.write_new(tmp_path / "old", PIECES, SIZE)
    expected = bytearray((tmp_path / "old").read_bytes())
    expected[700_000:700_003] = b"new"
    disk.write_changed(tmp_path / "new", tmp_path / "old", [(700_000, b"new")], SIZE, SIZE)
    assert (tmp_path / "new").read_bytes() == expected
    if os.name != "nt":  # the room is there, whatever is in it
        assert (tmp_path / "new").stat().st_blocks * 512 >= SIZE


def test_a_full_disk_is_told_by_every_kind_of_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a disk that is always full")
    monkeypatch.setattr(disk, "_allocated", lambda *_: False)
    full = Path("/dev/full")
    (tmp_path / "old").write_bytes(b"old")
    writes: list[Callable[[], object]] = [
        lambda: disk.write_whole(full, b"data"),
        lambda: disk.write_new(full, PIECES, SIZE),
        lambda: disk.write_changed(full, tmp_path / "old", PIECES, SIZE, 3),
        lambda: disk.take_room(full, SIZE),
    ]
    for write in writes:
        with pytest.raises(OSError, match="No space left"):
            write()
