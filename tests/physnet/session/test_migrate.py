"""Sessions of older schemas, brought up to date."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from physnet.errors import SessionError
from physnet.session import Run, Session, layout, open_run
from physnet.session.migrate import upgraded
from physnet.session.recover import recover
from physnet.session.show import summary


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run that physnet recorded when its schema was 1."""
    packed = Path(__file__).with_name("schema_1.h5.gz").read_bytes()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "session.h5").write_bytes(gzip.decompress(packed))
    return tmp_path / "run"


@pytest.fixture
def resumed(tmp_path: Path) -> Path:
    """A run that physnet recorded when its schema was 2: interrupted after 4 steps, and gone on with from 2."""
    packed = Path(__file__).with_name("schema_2.h5.gz").read_bytes()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "session.h5").write_bytes(gzip.decompress(packed))
    return tmp_path / "run"


def test_a_session_of_schema_1_holds_the_same_afterwards(old: Path) -> None:
    before, bytes_before = open_run(old), (old / "session.h5").read_bytes()
    report = recover(old)
    after = open_run(old)
    assert (before.schema, after.schema) == (1, layout.SCHEMA)
    for field in dataclasses.fields(Run):
        if field.name not in ("schema", "identifier"):
            assert repr(getattr(before, field.name)) == repr(getattr(after, field.name)), field.name
    assert summary(before) == summary(after)
    assert len(after.identifier) == 32
    assert not report.lost and report.kept == [old / "session.h5.schema-1"]
    assert (old / "session.h5.schema-1").read_bytes() == bytes_before
    assert recover(old).sound


def test_a_session_of_schema_2_holds_the_same_afterwards(resumed: Path) -> None:
    before = open_run(resumed)
    report = recover(resumed)
    after = open_run(resumed)
    assert (before.schema, after.schema) == (2, layout.SCHEMA)
    for field in dataclasses.fields(Run):
        if field.name != "schema":
            assert repr(getattr(before, field.name)) == repr(getattr(after, field.name)), field.name
    assert not report.lost and report.kept == [resumed / "session.h5.schema-2"]
    for run in (before, after):  # there was nothing to count, and that is known
        assert run.steps["step"].tolist() == [0, 1, 2, 3, 4, 5]
        assert run.steps["parameter_writes"].tolist() == run.steps["cache_hits"].tolist() == [0] * 6
    assert recover(resumed).sound


def test_what_was_not_recorded_then_is_not_made_up(old: Path) -> None:
    recover(old)
    with h5py.File(old / "session.h5", "r") as file:
        entry = file["entry"]
        assert file.attrs["physnet_schema"] == layout.SCHEMA
        for name in ("digital_seconds", "log_seconds", "idle_seconds", "joules"):
            assert np.isnan(entry["steps"][name][()]).all()
        assert entry["epochs/attempt"][()].tolist() == [0, 0, 0]
        assert [len(entry[name]["crc32"]) for name in ("attempts", "sentinels")] == [0, 0]
        assert len(entry["steps/crc32"]) == 6


def test_a_killed_session_of_schema_1_is_given_an_end_as_well(old: Path) -> None:
    with h5py.File(old / "session.h5", "r+") as file:
        file["entry/result/status"][()] = b"running"
        file["entry/end_time"][()] = b""
        file["entry/steps/crc32"][5] = 7
    report = recover(old)
    run = open_run(old)
    assert (run.status, run.result, run.schema) == ("killed", None, layout.SCHEMA)
    assert "step 5 of 6" in report.lost and len(run.steps["step"]) == 5


def test_one_that_is_damaged_is_refused_and_left_alone(old: Path) -> None:
    path = old / "session.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SessionError, match=r"it is cut, .* a file of this age can't be taken apart"):
        recover(old)
    assert path.read_bytes() == whole[: len(whole) // 2]
    path.write_bytes(whole[:2000] + bytes(3000) + whole[5000:])
    with pytest.raises(SessionError, match="a file of this age can't be taken apart"):
        recover(old)
    assert [path.name for path in old.iterdir()] == ["session.h5"]


def test_a_newer_schema_is_left_to_a_newer_physnet(tmp_path: Path, small_run: ModuleType) -> None:
    Session.create(tmp_path / "run", small_run.plan()).abort("interrupted", "at once")
    with h5py.File(tmp_path / "run" / "session.h5", "r+") as file:
        file.attrs["physnet_schema"] = layout.SCHEMA + 1
    with pytest.raises(SessionError, match=r"schema 4.*Update physnet"):
        recover(tmp_path / "run")


def test_rows_are_upgraded_column_by_column() -> None:
    old_columns, columns = layout.epoch_columns(2, 1), layout.epoch_columns(2)
    rows = np.zeros(3, upgraded(None, old_columns).dtype)
    rows["epoch"] = [0, 1, 2]
    made = upgraded(rows, columns)
    assert made["epoch"].tolist() == [0, 1, 2] and made["attempt"].tolist() == [0, 0, 0]
    assert len(upgraded(None, columns)) == 0
