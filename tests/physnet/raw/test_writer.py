"""Raw data reach the disk, all of them, whatever the disk and the process do."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from physnet.errors import SessionError, StorageError
from physnet.raw import RawWriter, open_raw
from physnet.raw import segment as segments
from physnet.raw.blocks import rows_begun
from physnet.raw.track import Track

CHILD = Path(__file__).with_name("raw_child.py")
ROOT = CHILD.parents[3]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}


def test_a_finished_segment_is_plain_hdf5_with_names_units_and_no_spare_room(tmp_path: Path, raw: ModuleType) -> None:
    bench = raw.spec(response=(3, 4), dtype="complex64")
    with RawWriter(tmp_path, {"left wing/1": bench}, seed=2**70) as writer:
        writer.attempt = 2
        writer.observer("left wing/1")(raw.exchange(10, 5, bench, dtype="complex64"))
    (path,) = (tmp_path / "raw").iterdir()
    assert path.name == "00-left-wing-1-000001.h5"
    with h5py.File(path) as file:
        data = file["entry/data"]
        assert file[file.attrs["default"]].attrs["NX_class"] == b"NXentry"
        assert data.attrs["NX_class"] == b"NXdata" and data.attrs["signal"] == b"response"
        assert data["response"].attrs["units"] == b"mV" and data["drive"].attrs["units"] == b"V"
        assert b"1970" in data["time"].attrs["units"]
        assert file["entry/system"].attrs["kind"] == b"measured"
        assert json.loads(file["entry/system/spec"][()])["identity"] == {"idn": "ACME,1"}
        assert data["response"].shape == (5, 3, 4) and data["response"].dtype == np.complex64
        assert data["attempt"][()].tolist() == [2] * 5
        assert all(dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS for dataset in data.values())
        headers = path.stat().st_size - sum(dataset.nbytes for dataset in data.values())
    assert headers < 16_000
    system = open_raw(tmp_path).system("left wing/1")
    assert system.spec == bench and system.spec.identity == bench.identity
    assert system.kind == "measured"


def test_many_segments_and_systems_come_back_in_order(tmp_path: Path, raw: ModuleType) -> None:
    systems = {"a": raw.spec(), "b": raw.spec(drive=(2,), response=(300,))}
    with RawWriter(tmp_path, systems, segment_bytes=1 << 14) as writer:
        for call in range(40):
            for name, bench in systems.items():
                writer.observer(name)(raw.exchange(call * 11, 11, bench))
        writer.flush()
        assert writer.rows == 880
        live = open_raw(tmp_path)
        assert [live.systems[name].rows for name in "ab"] == [440, 440]
    data = open_raw(tmp_path)
    for name, bench in systems.items():
        system = data.system(name)
        assert len(system.segments) > 2
        rows = system.arrays()
        np.testing.assert_array_equal(rows.pass_number, np.arange(440))
        for call in range(40):
            expected = raw.exchange(call * 11, 11, bench)
            np.testing.assert_array_equal(rows.drive[call * 11 :][:11], expected.drive)
            np.testing.assert_array_equal(rows.response[call * 11 :][:11], expected.reading.response)
        blocks = list(system.blocks(block_bytes=5000))
        assert sum(map(len, blocks)) == 440 and max(map(len, blocks)) <= 64
        which = np.array([439, 0, 7, 8, 9, 200, 7])
        np.testing.assert_array_equal(system.take(which).pass_number, which)
    with pytest.raises(SessionError, match="are of a, b"):
        data.system()


def test_a_full_queue_makes_the_one_who_measures_wait_and_drops_nothing(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, write = threading.Event(), Track.write
    told: list[str] = []

    def slow(track: Track, pending: Any) -> None:
        assert gate.wait(30)
        write(track, pending)

    monkeypatch.setattr(Track, "write", slow)
    with RawWriter(tmp_path, {"bench": raw.spec()}, queue_bytes=5000, on_wait=told.append) as writer:

        def measure() -> None:
            for call in range(20):
                writer.observer("bench")(raw.exchange(10 * call, 10))

        thread = threading.Thread(target=measure)
        thread.start()
        try:
            until(lambda: writer.waits > 0 or not thread.is_alive())
            assert thread.is_alive()
        finally:
            gate.set()
        thread.join()
        writer.flush()
        assert writer.waited > 0
    assert len(told) == 1 and "No row is dropped" in told[0]
    np.testing.assert_array_equal(open_raw(tmp_path).system().arrays().pass_number, np.arange(200))


def test_rows_that_come_in_small_portions_are_written_together(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, gate, write = threading.Event(), threading.Event(), Track.write
    portions: list[int] = []

    def slow(track: Track, pending: Sequence[Any]) -> None:
        portions.append(len(pending))
        started.set()
        assert gate.wait(30)
        write(track, pending)

    monkeypatch.setattr(Track, "write", slow)
    with RawWriter(tmp_path, {"a": raw.spec(), "b": raw.spec()}) as writer:
        a, b = writer.observer("a"), writer.observer("b")
        a(raw.exchange(0, 2))
        assert started.wait(30)
        for call in range(1, 20):
            a(raw.exchange(2 * call, 2))
            b(raw.exchange(2 * call, 2))
        gate.set()
        writer.flush()
    assert portions == [1, 19, 19]
    data = open_raw(tmp_path)
    np.testing.assert_array_equal(data.system("a").arrays().pass_number, np.arange(40))
    np.testing.assert_array_equal(data.system("b").arrays().pass_number, np.arange(2, 40))


def test_the_disk_is_made_to_take_rows_as_they_come_and_its_refusal_writes_none_twice(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    real, refusals = getattr(os, sync), [True]

    def refuse(handle: int) -> None:
        if refusals:
            refusals.pop()
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(segments, "_BEHIND", 1000)
    with RawWriter(tmp_path, {"bench": raw.spec()}) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(os, sync, refuse)
            writer.observer("bench")(raw.exchange(0, 30))
            with pytest.raises(StorageError, match="Input/output error"):
                writer.flush()
            assert not refusals
            writer.retry()
        writer.observer("bench")(raw.exchange(30, 30))
    np.testing.assert_array_equal(open_raw(tmp_path).system().arrays().pass_number, np.arange(60))


def test_a_writer_that_has_ended_takes_no_more_and_gives_back_room_until_it_is_closed(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, cut = threading.Event(), Track._cut

    def slow(track: Track, segment: Any) -> None:
        assert gate.wait(30)
        cut(track, segment)

    monkeypatch.setattr(Track, "_cut", slow)
    writer = RawWriter(tmp_path, {"bench": raw.spec()})
    observe = writer.observer("bench")
    observe(raw.exchange(0, 30))
    writer.end()
    (path,) = (tmp_path / "raw").iterdir()
    roomy = path.stat().st_size
    with pytest.raises(SessionError, match="closed"):
        observe(raw.exchange(30, 1))
    assert open_raw(tmp_path).system().rows == 30
    gate.set()
    writer.close()
    assert path.stat().st_size < roomy / 100
    assert open_raw(tmp_path).system().rows == 30


def test_segments_grow_with_what_there_is(tmp_path: Path, raw: ModuleType) -> None:
    with RawWriter(tmp_path, {"bench": raw.spec()}, segment_bytes=1 << 13) as writer:
        for call in range(100):
            writer.observer("bench")(raw.exchange(100 * call, 100))
    system = open_raw(tmp_path).system()
    rooms = [structure.rows for structure in system.segments]
    assert sum(rooms) == system.rows == 10_000
    least = rooms[0]
    assert rooms[:8] == [least] * 8  # of 8 segments and fewer an eighth is no more than one
    for number, room in enumerate(rooms[8:-1], 8):
        assert least <= room <= sum(rooms[:number]) / 8 + 1
    assert rooms[-2] > 2 * least
    assert max(rooms) <= 4 * (least + 1)


def test_a_call_larger_than_the_queue_goes_through(tmp_path: Path, raw: ModuleType) -> None:
    with RawWriter(tmp_path, {"bench": raw.spec()}, queue_bytes=10) as writer:
        for call in range(5):
            writer.observer("bench")(raw.exchange(100 * call, 100))
    assert open_raw(tmp_path).system().rows == 500


@pytest.mark.parametrize("when", ["at once", "at a new segment", "in the middle of a batch"])
def test_a_disk_that_refuses_for_a_while_costs_no_row(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    write, reserve, full = segments._write, segments._reserve, threading.Event()
    calls = {"left": 9}

    def refusing(stream: Any, offset: int, data: memoryview) -> None:
        calls["left"] -= 1
        if full.is_set() and (when == "at once" or calls["left"] < 0):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(stream, offset, data)

    def no_room(stream: Any, size: int) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(stream, size)

    monkeypatch.setattr(
        segments,
        "_reserve" if when == "at a new segment" else "_write",
        no_room if when == "at a new segment" else refusing,
    )
    with RawWriter(tmp_path, {"bench": raw.spec()}, segment_bytes=1 << 14) as writer:
        observe = writer.observer("bench")
        observe(raw.exchange(0, 30))
        writer.flush()
        calls["left"] = 9
        full.set()
        observe(raw.exchange(30, 400))
        with pytest.raises(StorageError, match=r"the disk is full.*none is lost"):
            writer.flush()
        with pytest.raises(StorageError):
            observe(raw.exchange(430, 10))  # kept as well
        with pytest.raises(StorageError):
            writer.retry()
        assert not list((tmp_path / "raw").glob(".*"))
        full.clear()
        writer.retry()
        observe(raw.exchange(440, 10))
    system = open_raw(tmp_path).system()
    np.testing.assert_array_equal(system.arrays().pass_number, np.arange(450))
    assert system.damaged == 0


def test_what_is_lost_at_the_end_on_a_full_disk_is_said(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RawWriter(tmp_path, {"bench": raw.spec()})
    writer.observer("bench")(raw.exchange(0, 30))
    writer.flush()

    def refusing(stream: Any, offset: int, data: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segments, "_write", refusing)
        writer.observer("bench")(raw.exchange(30, 12))
        with pytest.raises(StorageError, match="12 rows of raw data are lost"):
            writer.close()
    writer.close()
    with pytest.raises(SessionError, match="closed"):
        writer.flush()
    assert open_raw(tmp_path).system().rows == 30


def test_a_mistake_in_the_writer_is_heard_of(tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(track: Track, pending: Any) -> None:
        raise TypeError("no such thing")

    with RawWriter(tmp_path, {"bench": raw.spec()}) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(Track, "write", mistaken)
            writer.observer("bench")(raw.exchange(0, 3))
            with pytest.raises(StorageError, match="TypeError: no such thing"):
                writer.flush()
        writer.retry()
    assert open_raw(tmp_path).system().rows == 3


def test_a_fault_in_the_block_is_not_hidden_by_the_disk(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(stream: Any, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(segments, "_reserve", refusing)
    with pytest.raises(ZeroDivisionError) as caught, RawWriter(tmp_path, {"bench": raw.spec()}) as writer:
        writer.observer("bench")(raw.exchange(0, 3))
        raise ZeroDivisionError
    assert "3 rows of raw data are lost" in caught.value.__notes__[0]


def test_a_disk_without_reservation_is_written_full_of_zeros(
    tmp_path: Path, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    with RawWriter(tmp_path, {"bench": raw.spec()}, segment_bytes=3 << 20) as writer:
        writer.observer("bench")(raw.exchange(0, 3))
        writer.flush()
        (path,) = (tmp_path / "raw").iterdir()
        assert path.stat().st_size > 3_000_000
    assert open_raw(tmp_path).system().rows == 3


def test_going_on_begins_new_segments_and_leaves_the_old_ones(tmp_path: Path, raw: ModuleType) -> None:
    bench = {"bench": raw.spec()}
    with RawWriter(tmp_path, bench) as writer:
        writer.observer("bench")(raw.exchange(0, 30))
    (first,) = (tmp_path / "raw").iterdir()
    before = first.read_bytes()
    (tmp_path / "raw" / f".{first.name}.part-1").write_bytes(b"left over")
    with pytest.raises(SessionError, match="holds raw data already"):
        RawWriter(tmp_path, bench)
    with RawWriter(tmp_path, bench, reopen=True) as writer:
        writer.attempt = 1
        writer.observer("bench")(raw.exchange(20, 20))
    assert first.read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "00-bench-000001.h5",
        "00-bench-000002.h5",
    ]
    system = open_raw(tmp_path).system()
    rows = system.arrays(superseded=True)
    np.testing.assert_array_equal(rows.meta["position"], np.arange(50))
    latest = system.arrays()
    np.testing.assert_array_equal(np.sort(latest.pass_number), np.arange(40))
    np.testing.assert_array_equal(latest.meta["attempt"], [0] * 20 + [1] * 20)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, raw: ModuleType, share: float) -> None:
    with pytest.raises(SessionError, match="above 0 and at most 1"):
        RawWriter(tmp_path, {"bench": raw.spec()}, share=share)
    assert not (tmp_path / "raw").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_process_loses_no_flushed_row_and_can_be_gone_on_with(tmp_path: Path, raw: ModuleType) -> None:
    generator = random.Random(3)
    damaged = 0
    for _ in range(3):
        target = generator.randrange(1, 40)
        command = [sys.executable, str(CHILD), "record", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(target)]
            child.send_signal(signal.SIGKILL)
            # the last line may be cut, which makes it a smaller number or none
            lines += child.stdout.read().split()
        acknowledged = max(int(line) for line in lines)
        system = open_raw(tmp_path).system()
        rows = system.arrays(superseded=True)
        np.testing.assert_array_equal(rows.pass_number[:acknowledged], np.arange(acknowledged))
        assert acknowledged <= len(rows) <= acknowledged + 21
        assert (np.diff(rows.meta["position"]) > 0).all()
        damaged += 21  # what is not flushed yet is written together
        assert system.damaged <= damaged
    # each that went on gave back the room that the one before had left
    assert [rows_begun(structure) == structure.rows for structure in system.segments[:-1]] == [True] * (
        len(system.segments) - 1
    )
    before = {one.path: one.path.stat().st_size for one in system.segments}
    with RawWriter(tmp_path, {"bench": raw.spec()}, reopen=True):
        after = {path: path.stat().st_size for path in before if path.exists()}
    last = system.segments[-1].path
    assert {**before, last: 0} == {**after, last: 0} and after.get(last, 0) < before[last]
    found = open_raw(tmp_path).system()
    assert (found.index.digest, found.damaged) == (system.index.digest, system.damaged)
    assert all(rows_begun(structure) == structure.rows for structure in found.segments)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small disk of its own")
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path: Path) -> None:
    probe = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o size=4m none /mnt"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this machine lets no user mount a tmpfs")
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" "$3" fill "$1/run"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable, str(CHILD)], capture_output=True, text=True, env=environment()
    )
    assert (done.stderr, done.returncode) == ("", 0)
    answer = json.loads(done.stdout)
    assert answer["faults"] == 2 and "the disk is full" in answer["message"]
    assert 0 < answer["before"] <= answer["played"]
    # the last call before the fault was kept too, and one came after it
    assert answer["rows"] == answer["played"] + 7


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
def test_a_disk_that_takes_no_byte_beyond_a_point_is_a_fault(tmp_path: Path, raw: ModuleType) -> None:
    with RawWriter(tmp_path, {"bench": raw.spec()}, segment_bytes=1 << 15) as writer:
        with raw.file_limit(1 << 14):
            writer.observer("bench")(raw.exchange(0, 10))
            with pytest.raises(StorageError, match="none is lost"):
                writer.flush()
        writer.retry()
    assert open_raw(tmp_path).system().rows == 10
