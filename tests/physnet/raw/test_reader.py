"""A damaged or hostile folder costs the rows that are damaged, and never more than an error."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from physnet.errors import SessionError, SpecError
from physnet.raw import RawWriter, open_raw
from physnet.raw.layout import inspect
from physnet.raw.reader import check_owner
from physnet.raw.repair import trim
from physnet.raw.spec import spec_from_json, spec_to_json

ROWS = 40


@pytest.fixture
def segment(tmp_path: Path, raw: ModuleType) -> Path:
    """A finished segment of 40 rows."""
    with RawWriter(tmp_path, {"bench": raw.spec()}) as writer:
        writer.observer("bench")(raw.exchange(0, ROWS))
    (path,) = (tmp_path / "raw").iterdir()
    return path


def test_a_changed_bit_costs_its_row_and_no_other(segment: Path, raw: ModuleType, tmp_path: Path) -> None:
    places = inspect(segment).places
    data = bytearray(segment.read_bytes())
    for row, column in enumerate(places):  # one flip a row, each in another column
        place = places[column]
        data[place.offset + row * place.row_bytes] ^= 1 << row % 8
    segment.write_bytes(data)
    system = open_raw(tmp_path).system()
    assert system.damaged == len(places)
    rows = system.arrays()
    np.testing.assert_array_equal(rows.pass_number, np.arange(len(places), ROWS))
    np.testing.assert_array_equal(rows.drive, raw.exchange(0, ROWS).drive[len(places) :])


def test_rows_never_written_are_not_damaged(tmp_path: Path, raw: ModuleType) -> None:
    with RawWriter(tmp_path, {"bench": raw.spec()}) as writer:
        writer.observer("bench")(raw.exchange(0, 3))
        writer.flush()
        system = open_raw(tmp_path).system()
        assert (system.rows, system.damaged) == (3, 0)
        assert system.segments[0].rows > 1000


def test_a_row_that_changes_while_it_is_read_is_refused(segment: Path, tmp_path: Path) -> None:
    system = open_raw(tmp_path).system()
    assert len(system.take(np.arange(ROWS))) == ROWS
    place = system.segments[0].places["response"]
    data = bytearray(segment.read_bytes())
    data[place.offset] ^= 1
    segment.write_bytes(data)
    with pytest.raises(SessionError, match="was changed while it was read"):
        system.take(np.arange(ROWS))
    os.truncate(segment, place.offset)
    with pytest.raises(SessionError, match="cut short"):
        system.take(np.arange(ROWS))


def test_no_change_of_the_structure_gets_further_than_an_error(segment: Path) -> None:
    sound, good = inspect(segment), segment.read_bytes()
    first = min(place.offset for place in sound.places.values())
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for where in random.integers(0, first, random.integers(1, 4)):
            data[where] = random.integers(256)
        segment.write_bytes(data)
        try:
            found = inspect(segment)
        except SessionError:
            refused += 1
        else:
            assert found == sound
    # most of the first bytes are metadata under checksums, the rest is the spec and room
    assert refused > 50
    for length in (0, 7, 8, 100, first, len(good) - 1):
        segment.write_bytes(good[:length])
        with pytest.raises(SessionError):
            inspect(segment)


def rebuilt(path: Path, change: Callable[[h5py.Group], None]) -> None:
    """Write a segment again with h5py, its checksums right, with something changed."""
    with h5py.File(path) as old, h5py.File(path.with_name("new"), "w", libver=("v108", "latest")) as file:
        for name, value in old.attrs.items():
            file.attrs[name] = value
        for name in old:
            old.copy(name, file)
        change(file)
    os.replace(path.with_name("new"), path)


def _soft(file: h5py.File) -> None:
    file["entry/elsewhere"] = file["entry/data/drive"]
    del file["entry/data/drive"]
    file["entry/data/drive"] = h5py.SoftLink("/entry/elsewhere")


def _outside(file: h5py.File) -> None:
    del file["entry/data"]
    file["entry/data"] = h5py.ExternalLink("secret.h5", "/entry/data")


def _external_storage(file: h5py.File) -> None:
    del file["entry/data/drive"]
    plan = [("/etc/hostname", 0, ROWS * 24)]
    file["entry/data"].create_dataset("drive", (ROWS, 6), "<f4", external=plan)


def _virtual(file: h5py.File) -> None:
    del file["entry/data/drive"]
    layout = h5py.VirtualLayout((ROWS, 6), "<f4")
    layout[...] = h5py.VirtualSource("secret.h5", "/entry/data/drive", (ROWS, 6))
    file["entry/data"].create_virtual_dataset("drive", layout)


def _bomb(file: h5py.File) -> None:
    del file["entry/data/response"]
    file["entry/data"].create_dataset("response", (ROWS, 1 << 40), "<f4", chunks=(1, 1 << 20), compression="gzip")


def _unallocated(file: h5py.File) -> None:
    del file["entry/data/response"]
    file["entry/data"].create_dataset("response", (ROWS, 1 << 40), "<f4")


def _text(file: h5py.File) -> None:
    del file["entry/data/response"]
    file["entry/data"].create_dataset("response", (ROWS, 8), h5py.string_dtype())


def _group(file: h5py.File) -> None:
    del file["entry/data/response"]
    file["entry/data"].create_group("response")


def _short(file: h5py.File) -> None:
    del file["entry/data/crc32"]
    file["entry/data"]["crc32"] = np.zeros(3, "<u4")


def _other_type(file: h5py.File) -> None:
    del file["entry/data/position"]
    file["entry/data"]["position"] = np.zeros(ROWS)


def _no_spec(file: h5py.File) -> None:
    del file["entry/system/spec"]


def _long_attribute(file: h5py.File) -> None:
    file["entry/system"].attrs["name"] = np.zeros(1000, "S8")


def _elsewhere(file: h5py.File) -> None:
    file["entry/data"].attrs["segment"] = 7


CHANGES = [
    _soft,
    _outside,
    _external_storage,
    _virtual,
    _bomb,
    _unallocated,
    _text,
    _group,
    _short,
    _other_type,
    _no_spec,
    _long_attribute,
    _elsewhere,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_another_program_made_of_a_segment_is_refused(
    segment: Path, tmp_path: Path, change: Callable[[h5py.File], None]
) -> None:
    shutil.copy(segment, segment.with_name("secret.h5"))
    rebuilt(segment, change)
    with pytest.raises(SessionError, match="has no raw data that can be read"):
        open_raw(tmp_path)


def test_a_segment_written_again_unchanged_is_still_one(segment: Path, tmp_path: Path) -> None:
    rebuilt(segment, lambda file: None)
    assert open_raw(tmp_path).system().rows == ROWS


def test_a_newer_schema_asks_for_an_update(segment: Path, tmp_path: Path) -> None:
    rebuilt(segment, lambda file: file.attrs.modify("physnet_raw_schema", 99))
    with pytest.raises(SessionError, match="Update physnet"):
        open_raw(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"drive": {"shape": [1 << 40]}},
        {"response": {"shape": [-1]}},
        {"kind": "mystery"},
        {"drive": 3},
        {"nonlinearity": ["magic"]},
        {"cost": {"per_year": 3}},
        {"response": {"shape": [8], "unit": "mV", "dtype": "object", "axes": [], "full_scale": None}},
    ],
)
def test_a_spec_that_declares_what_is_not_there_is_refused(
    segment: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    def replace(file: h5py.File) -> None:
        values = json.loads(file["entry/system/spec"][()])
        for key, value in change.items():
            values[key] = {**values[key], **value} if isinstance(value, dict) and key != "cost" else value
        del file["entry/system/spec"]
        encoded = json.dumps(values).encode()
        file["entry/system/spec"] = np.bytes_(encoded)
        file["entry/system/spec"].attrs["crc32"] = zlib.crc32(encoded)

    rebuilt(segment, replace)
    with pytest.raises(SessionError):
        open_raw(tmp_path)


def test_text_that_is_no_spec_is_refused() -> None:
    for text in ("", "[" * 100_000, "3", "{}", '{"drive": {"shape": [1]}}', "1" * 10_000):
        with pytest.raises(SpecError):
            spec_from_json(text)


def test_a_spec_comes_back_as_it_was(raw: ModuleType) -> None:
    spec = raw.spec(drive=(2, 3), nonlinearity=frozenset({"detector"}), repeatable=True, max_batch=9, resource="bench")
    back = spec_from_json(spec_to_json(spec))
    assert back == spec and back.identity == spec.identity


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_links_and_pipes_in_the_place_of_files_are_not_followed(segment: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.h5"
    os.rename(segment, moved)
    os.symlink(moved, segment)
    with pytest.raises(SessionError, match="can't be read"):
        open_raw(tmp_path)
    segment.unlink()
    os.mkfifo(segment)
    with pytest.raises(SessionError, match="not a plain file"):
        open_raw(tmp_path)
    segment.unlink()
    segment.mkdir()
    with pytest.raises(SessionError):
        open_raw(tmp_path)
    os.rename(segment.parent, tmp_path / "real")
    os.symlink(tmp_path / "real", tmp_path / "raw")
    with pytest.raises(SessionError, match="it is a link"):
        open_raw(tmp_path)
    with pytest.raises(SessionError, match="it is a link"):
        RawWriter(tmp_path, {}, reopen=True)


def test_one_bad_segment_does_not_cost_the_others(tmp_path: Path, raw: ModuleType) -> None:
    for number in range(3):
        with RawWriter(tmp_path, {"bench": raw.spec()}, reopen=True) as writer:
            writer.observer("bench")(raw.exchange(10 * number, 10))
    (tmp_path / "raw" / "00-bench-000002.h5").write_bytes(b"rubbish")
    (tmp_path / "raw" / "notes.txt").write_text("mine", encoding="utf-8")
    data = open_raw(tmp_path)
    assert len(data.unreadable) == 1 and "000002" in data.unreadable[0]
    assert data.system().arrays().pass_number.tolist() == [*range(10), *range(20, 30)]


def test_segments_of_two_runs_in_one_folder_are_refused(tmp_path: Path, raw: ModuleType) -> None:
    for number, bench in enumerate((raw.spec(), raw.spec(response=(9,)))):
        with RawWriter(tmp_path, {"bench": bench}, reopen=True) as writer:
            writer.observer("bench")(raw.exchange(10 * number, 10, bench))
    with pytest.raises(SessionError, match="two runs"):
        open_raw(tmp_path)


def test_segments_that_name_another_run_are_refused(tmp_path: Path, raw: ModuleType) -> None:
    for run in ("a", "b"):
        with RawWriter(tmp_path / run, {"bench": raw.spec()}, run=run * 32) as writer:
            writer.observer("bench")(raw.exchange(0, 5))
    first = tmp_path / "a" / "raw" / "00-bench-000001.h5"
    assert inspect(first).run == "a" * 32
    second = first.with_name("00-bench-000002.h5")
    shutil.copy(tmp_path / "b" / "raw" / first.name, second)
    with h5py.File(second, "r+") as file:
        file["entry/data"].attrs["segment"] = 2
    with pytest.raises(SessionError, match=r"segments of 'bench' .* are of two runs"):
        open_raw(tmp_path / "a")
    check_owner(inspect(first), "a" * 32)
    check_owner(inspect(first), "")
    with pytest.raises(SessionError, match="belongs to another run"):
        check_owner(inspect(second), "a" * 32)


def test_segments_of_schema_1_can_be_read_and_gone_on_with(tmp_path: Path, raw: ModuleType) -> None:
    path = tmp_path / "raw" / "00-bench-000001.h5"
    path.parent.mkdir()
    path.write_bytes(gzip.decompress(Path(__file__).with_name("schema_1.h5.gz").read_bytes()))
    structure = inspect(path)
    assert (structure.run, structure.seed, structure.rows) == ("", 3, 5)
    check_owner(structure, "any")
    with RawWriter(tmp_path, {"bench": raw.spec()}, reopen=True, run="a" * 32) as writer:
        writer.observer("bench")(raw.exchange(15, 5))
    rows = open_raw(tmp_path).system().arrays()
    np.testing.assert_array_equal(rows.pass_number, np.arange(10, 20))
    np.testing.assert_array_equal(rows.drive[:5], raw.exchange(10, 5).drive)
    np.testing.assert_array_equal(rows.meta["position"], np.arange(10))


@pytest.mark.parametrize("spread", [False, True])
def test_trimming_keeps_every_row_that_was_begun(tmp_path: Path, raw: ModuleType, spread: bool) -> None:
    bench = raw.spec(response=(3, 4), dtype="complex64")
    exchange = raw.exchange(10, 9, bench, dtype="complex64")
    if spread:
        reading = dataclasses.replace(exchange.reading, spread=np.ones((9, 3, 4), np.float32))
        exchange = dataclasses.replace(exchange, reading=reading)
    with RawWriter(tmp_path / "run", {"bench": bench}, seed=7, run="c" * 32) as writer:
        writer.observer("bench")(exchange)
        writer.flush()
        shutil.copytree(tmp_path / "run", tmp_path / "killed")
    (path,) = (tmp_path / "killed" / "raw").iterdir()
    structure = inspect(path)
    with open(path, "r+b") as stream:  # the last row is torn: its checksum is wrong
        stream.seek(structure.places["crc32"].offset + 8 * 4)
        stream.write(b"\1\2\3\4")
    before = open_raw(tmp_path / "killed").system()
    assert (before.rows, before.damaged, structure.rows > 1000) == (8, 1, True)
    rows = before.arrays()
    assert trim(path)
    assert not trim(path)
    after = open_raw(tmp_path / "killed").system()
    assert (after.rows, after.damaged, after.spec) == (8, 1, before.spec)
    for name in ("meta", "drive", "response", "spread"):
        np.testing.assert_array_equal(getattr(after.arrays(), name), getattr(rows, name))
    found = inspect(path)
    assert (found.rows, found.spec, found.run, found.seed) == (9, structure.spec, "c" * 32, 7)
    assert path.stat().st_size < 20_000


def test_trimming_a_segment_without_rows_removes_it(segment: Path) -> None:
    structure = inspect(segment)
    data = bytearray(segment.read_bytes())
    for place in structure.places.values():
        data[place.offset : place.offset + ROWS * place.row_bytes] = bytes(ROWS * place.row_bytes)
    segment.write_bytes(data)
    assert trim(segment)
    assert not segment.exists()


def test_a_folder_without_raw_data_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"session\.raw"):
        open_raw(tmp_path)
    with pytest.raises(SessionError, match=r"session\.raw"):
        open_raw(tmp_path / "nowhere")
