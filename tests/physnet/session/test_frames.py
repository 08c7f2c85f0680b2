from __future__ import annotations

import builtins
import dataclasses
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from physnet.errors import InputError, SessionError
from physnet.records import SentinelRecord
from physnet.session import Run, Session, compare_runs, open_run
from physnet.session.comparison import FACTS, compared, flat, opened
from physnet.session.frames import dataset, frame
from physnet.session.timings import timings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Run:
    folder = tmp_path_factory.mktemp("frames") / "run"
    with Session.create(folder, small_run.plan()) as session:
        for number in range(20):
            session.step(dataclasses.replace(small_run.step(number), digital_seconds=0.125, log_seconds=0.0625))
        session.epoch(small_run.epoch(0, 0.5))
        session.epoch(small_run.epoch(1, 0.75))
        session.sentinel(SentinelRecord(epoch=1, step=10, system=1, time=1.7e9, difference=math.nan, drift=0.0))
        session.event("warning", "wärm")
        session.finish(small_run.result(), small_run.tensors(2.0))
    return open_run(folder)


def test_steps_are_a_frame_with_a_column_for_each_layer(run: Run) -> None:
    table = frame(run, "steps")
    assert table.index.name == "step" and len(table) == 20
    np.testing.assert_array_equal(table["goodness_gap/layer1"], run.steps["goodness_gap"][:, 1])
    assert table["time"].iloc[0] == pd.Timestamp(1.7e9, unit="s", tz="UTC")
    units = table.attrs["units"]
    assert (units["goodness_gap/layer0"], units["seconds"], units["passes"]) == ("V", "s", "1")
    assert table.attrs["physics"] == "measured and simulated"


def test_every_table_is_a_frame(run: Run) -> None:
    assert frame(run, "epochs")["validation_accuracy"].tolist() == [0.5, 0.75]
    assert frame(run, "events")[["level", "message"]].to_numpy().tolist() == [["warning", "wärm"]]
    assert frame(run, "sentinels")["system"].tolist() == [1]
    assert len(frame(run, "attempts")) == len(run.attempts["attempt"])
    with pytest.raises(InputError, match="must be one of steps, epochs"):
        frame(run, "weights")  # type: ignore[arg-type]


def test_a_table_that_was_not_recorded_is_an_empty_frame(run: Run) -> None:
    assert frame(dataclasses.replace(run, attempts={}), "attempts").empty


def test_a_run_is_a_dataset_with_named_dimensions(run: Run) -> None:
    pytest.importorskip("xarray")
    data = dataset(run)
    assert data["loss"].dims == ("step", "layer")
    assert data["goodness_gap"].attrs["units"] == "V"
    assert float(data["goodness_gap"].sel(step=3, layer="layer1")) == 3.5
    assert data["layer_accuracy"].dims == ("epoch", "layer")
    assert data["epoch_seconds"].attrs["units"] == "s"
    assert int(data["confusion"].sel(true="a", predicted="b")) == 2
    assert data["sentinel_drift"].dims == ("sentinel",)
    assert data["time"].dtype == np.dtype("datetime64[ns]")
    assert data.attrs["physics"] == "measured and simulated"
    assert data["step_epoch"].to_numpy().tolist() == run.steps["epoch"].tolist()


def test_a_killed_run_without_steps_has_frames_and_a_dataset(tmp_path: Path, small_run: ModuleType) -> None:
    Session.create(tmp_path / "run", small_run.plan()).close()
    empty = open_run(tmp_path / "run")
    assert frame(empty).empty and "loss/layer0" in frame(empty)
    assert "confusion" not in dataset(empty)
    assert timings(empty).total == 0 and math.isnan(timings(empty).measuring) is False
    assert compared({empty.folder: empty})[0]["weights_sha256"] == ""


@pytest.mark.parametrize(
    ("call", "name"), [(frame, "pandas"), (dataset, "xarray"), (lambda run: compare_runs([run.folder]), "pandas")]
)
def test_without_pandas_the_way_out_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, call: Any, name: str) -> None:
    real = builtins.__import__

    def without(wanted: str, *rest: Any, **more: Any) -> Any:
        if wanted.partition(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(wanted, *rest, **more)

    import importlib

    monkeypatch.setattr(importlib, "import_module", lambda wanted: without(wanted))
    with pytest.raises(InputError, match=rf"{name} must be installed.*pip install 'physnet\[analysis\]'"):
        call(run)


def test_timings_add_up_to_the_run(run: Run) -> None:
    found = timings(run)
    assert (found.steps, found.measuring, found.digital, found.log) == (10.0, 5.0, 2.5, 1.25)
    assert math.isnan(found.idle) and "idle" not in found.parts
    assert sum(found.parts.values()) == found.total == 12.5
    stopped = timings(dataclasses.replace(run, result=None))
    assert stopped.total == 11.25  # the steps, and the log between them


def test_runs_are_compared_with_what_differs(run: Run, tmp_path: Path, small_run: ModuleType) -> None:
    other = dataclasses.replace(
        small_run.plan(), configuration={**small_run.plan().configuration, "rule": {"name": "phyll", "rate": 0.02}}
    )
    Session.create(tmp_path / "other", other).close()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "session.h5").write_bytes(b"text")
    table = compare_runs([run.folder, tmp_path])
    assert table["status"].to_dict() == {"run": "done", "broken": "unreadable", "other": "killed"}
    assert table.loc["run", "test_accuracy"] == 0.8 and table.loc["run", "test_samples"] == 20
    assert table.loc["run", "baseline/raw_logistic_regression"] == 0.7
    assert (table.loc["run", "rule.rate"], table.loc["other", "rule.rate"]) == (0.01, 0.02)
    assert "rule.name" not in table
    assert "is not an HDF5 file" in table.loc["broken", "message"]


def test_every_fact_is_a_known_column(run: Run) -> None:
    row = compared({run.folder: run})[0]
    assert {name for name in row if not name.startswith("baseline/")} == set(FACTS)


def test_runs_of_the_same_name_are_told_apart(run: Run) -> None:
    elsewhere = run.folder.parent / "b" / "run"
    names = [row["run"] for row in compared({run.folder: run, elsewhere: run})]
    assert names == [f"{run.folder.parent.name}/run", "b/run"]


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="is not a run folder"):
        opened([tmp_path])
    with pytest.raises(InputError, match="got none"):
        opened([])


def test_nested_values_have_dotted_names() -> None:
    nested = {"a": {"b": 1}, "c": [{"d": 2}, {"d": 3}], "e": [1, 2], "f": None}
    assert flat(nested) == {"a.b": 1, "c.0.d": 2, "c.1.d": 3, "e": "[1, 2]", "f": None}
