"""What of a resumed run's rows counts."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from physnet.errors import SessionError
from physnet.session import Session, open_run


def _steps(session: Session, small_run: ModuleType, numbers: range) -> None:
    for number in numbers:
        session.step(small_run.step(number))


def test_rows_that_were_lost_stay_in_the_file_and_are_shown_no_more(tmp_path: Path, small_run: ModuleType) -> None:
    folder = tmp_path / "run"
    session = Session.create(folder, small_run.plan())
    _steps(session, small_run, range(10))
    session.epoch(small_run.epoch(0))  # after ten steps
    _steps(session, small_run, range(10, 17))
    session.abort("fault", "a cable")
    session = Session.resume(folder, small_run.plan(), step=12)
    assert session.attempt == 1
    _steps(session, small_run, range(12, 15))
    session.abort("interrupted", "Ctrl-C")  # before it got as far as the first attempt
    run = open_run(folder)
    assert run.steps["step"].tolist() == list(range(15))
    assert run.steps["attempt"].tolist() == [0] * 12 + [1] * 3
    assert run.epochs["epoch"].tolist() == [0]
    assert (run.superseded_steps, run.superseded_passes) == (5, 5 * 20)
    session = Session.resume(folder, small_run.plan(), step=5, changes="the bench was moved")
    _steps(session, small_run, range(5, 20))
    session.epoch(small_run.epoch(0, accuracy=0.9))
    session.finish(small_run.result(), small_run.tensors(2.0))
    run = open_run(folder)
    assert run.status == "done"
    assert run.steps["step"].tolist() == list(range(20))
    assert run.epochs["validation_accuracy"].tolist() == [0.9]
    assert run.attempts["attempt"].tolist() == [1, 2]
    assert run.attempts["step"].tolist() == [12, 5]
    assert run.attempts["changes"].tolist() == [b"", b"the bench was moved"]
    assert run.superseded_steps == 5 + 3 + 7


def test_a_torn_row_at_the_end_is_written_over(tmp_path: Path, small_run: ModuleType) -> None:
    folder = tmp_path / "run"
    session = Session.create(folder, small_run.plan())
    _steps(session, small_run, range(4))
    row = [[0] * column.width if column.width else 0 for column in session._tables.columns["steps"]]
    places = session._tables.place("steps").pieces(4, row)
    session._file.put(places[:3])  # a kill came in the middle of the fifth row
    session.close()
    assert open_run(folder).damaged_rows == 1
    session = Session.resume(folder, small_run.plan(), step=4)
    _steps(session, small_run, range(4, 6))
    session.close()
    run = open_run(folder)
    assert run.damaged_rows == 0
    assert run.steps["step"].tolist() == list(range(6))


def test_a_session_of_another_network_is_not_taken_up(tmp_path: Path, small_run: ModuleType) -> None:
    folder = tmp_path / "run"
    Session.create(folder, small_run.plan()).close()
    before = (folder / "session.h5").read_bytes()
    with pytest.raises(SessionError, match="its layers are layer0, layer1"):
        Session.resume(folder, small_run.plan(layers=3), step=0)
    assert (folder / "session.h5").read_bytes() == before
    with pytest.raises(SessionError, match="can't be written to"):
        Session.resume(tmp_path / "nothing", small_run.plan(), step=0)


def test_a_run_that_goes_on_is_not_taken_up(tmp_path: Path, small_run: ModuleType) -> None:
    with (
        Session.create(tmp_path / "run", small_run.plan()),
        pytest.raises(SessionError, match="still going on"),
    ):
        Session.resume(tmp_path / "run", small_run.plan(), step=0)


def test_a_table_grows_by_a_bounded_number_of_rows(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from physnet.session import layout

    monkeypatch.setitem(layout.ROOM, "steps", (16, 16))
    monkeypatch.setattr(layout, "MOST_ROOM", 32)
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        _steps(session, small_run, range(150))
        assert session._tables.place("steps").capacity == 16 + 16 + 32 * 4
    np.testing.assert_array_equal(open_run(tmp_path / "run").steps["step"], np.arange(150))
