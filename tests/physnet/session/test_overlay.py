from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.session.disk import write_changed
from physnet.session.overlay import Overlay, changed

OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 200_000), st.binary(max_size=300)),
    st.tuples(st.just("truncate"), st.integers(0, 200_000), st.just(b"")),
    st.tuples(st.just("read"), st.integers(0, 200_000), st.just(b"")),
)


@settings(max_examples=150, deadline=None)
@given(content=st.integers(0, 150_000), operations=st.lists(OPERATIONS, max_size=12))
def test_an_overlay_reads_as_the_file_would_and_its_pieces_make_that_file(
    tmp_path_factory: object, content: int, operations: list[tuple[str, int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("overlay")  # type: ignore[attr-defined]
    whole = np.random.default_rng(content).integers(1, 256, content, np.uint8).tobytes()
    (folder / "base").write_bytes(whole)
    expected = io.BytesIO(whole)
    with io.FileIO(folder / "base") as base:
        overlay = Overlay(base)
        for kind, place, data in operations:
            if kind == "truncate":
                overlay.truncate(place)
                grown = len(expected.getvalue()) < place
                expected.truncate(place)
                if grown:
                    expected.seek(0, io.SEEK_END)
                    expected.write(bytes(place - len(expected.getvalue())))
            elif kind == "write":
                overlay.seek(place)
                overlay.write(data)
                if data:
                    size = len(expected.getvalue())
                    expected.seek(0, io.SEEK_END)
                    expected.write(bytes(max(0, place - size)))
                    expected.seek(place)
                    expected.write(data)
            else:
                overlay.seek(place)
                buffer = bytearray(500)
                count = overlay.readinto(buffer)
                assert bytes(buffer[:count]) == expected.getvalue()[place : place + 500]
        write_changed(folder / "new", folder / "base", overlay.pieces(), overlay.size, overlay.kept)
    assert (folder / "new").read_bytes() == expected.getvalue()
    assert (folder / "base").read_bytes() == whole


def test_hdf5_changes_a_file_in_memory_and_not_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100_000.0), maxshape=(None,), chunks=(1000,))
    before = path.read_bytes()

    def grow(file: h5py.File) -> None:
        file["x"].resize(101_000, axis=0)
        file["x"][100_000:] = 7

    with io.FileIO(path) as base:
        overlay = changed(base, grow)
        pieces = list(overlay.pieces())
    assert path.read_bytes() == before
    # What was not touched is not in memory: most of 800 kB.
    assert sum(len(data) for _, data in pieces) < len(before) / 2
    write_changed(tmp_path / "b.h5", path, pieces, overlay.size, overlay.kept)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["x"][:100_000], np.arange(100_000.0))
        np.testing.assert_array_equal(file["x"][100_000:], np.full(1000, 7.0))
