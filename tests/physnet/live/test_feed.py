"""A feed and its viewers over real sockets, with a trainer that only counts."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from physnet.errors import SessionError, Stopped
from physnet.live import Address, Connection, LiveFeed, Moment, find_live, server
from physnet.live.client import Ended
from physnet.live.protocol import EVENTS, FILE, POINTS, greeting, order, read_moment
from physnet.live.server import Server

Seen = Callable[[Connection, Callable[[Moment], bool]], Moment]
Trainer = Any


def raw(folder: Path) -> tuple[socket.socket, Address]:
    """Connect without a word."""
    address = Address.read(folder)
    assert address is not None
    return socket.create_connection(("127.0.0.1", address.port), 10), address


def heard(connected: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    data = b""
    try:
        while piece := connected.recv(1 << 16):
            data += piece
    except ConnectionError:
        pass
    return data


def test_a_viewer_sees_the_run_from_before_its_first_step_to_its_end(
    feed: LiveFeed, trainer: Trainer, connection: Connection, seen: Seen, tmp_path: Path
) -> None:
    first = seen(connection, lambda moment: True)
    assert (first.state, first.title, first.seed) == ("starting", "A run to watch", 7)
    assert first.layers == ("lower", "upper")
    assert first.kinds == ("measured", "simulated")
    feed.on_start(trainer)
    for epoch in range(2):
        for _ in range(5):
            trainer.step(feed)
        trainer.epoch(feed, 0.8 - epoch / 10)
    feed.on_event(trainer, "warning", "the lamp flickers")
    feed.on_event(trainer, "fault", "the lamp is out")
    moment = seen(connection, lambda moment: moment.faults > 0)
    assert moment.state == "running"
    assert (moment.epoch, moment.epochs, moment.step, moment.steps) == (2, 4, 10, 20)
    assert [curve.points for curve in moment.metrics["loss"]] == [(0.5,) * 10, (0.25,) * 10]
    assert moment.metrics["loss"][1].latest == 0.25
    assert moment.validation.latest == pytest.approx(0.7)
    assert (moment.best, moment.best_epoch) == (0.8, 1)
    assert moment.layer_validation == pytest.approx((0.35, 0.7))
    assert moment.passes == {"train": 200}
    assert moment.physical_passes == 200
    assert (moment.retries, moment.warnings) == (10, 1)
    assert (moment.parameter_writes, moment.cache_hits) == (20, 30)
    assert [(event.level, event.message) for event in moment.events] == [
        ("warning", "the lamp flickers"),
        ("fault", "the lamp is out"),
    ]
    assert moment.seconds == 3.0
    assert moment.seconds_left is not None
    trainer.end(feed)
    last = seen(connection, lambda moment: moment.state == "finished")
    assert (last.status, last.message, last.test_accuracy) == ("done", "all epochs done", 0.9)
    with pytest.raises(Ended):
        connection.receive(10)
    assert not (tmp_path / FILE).exists()


def test_passes_are_counted_within_a_step_and_from_before_this_process(
    feed: LiveFeed, trainer: Trainer, connection: Connection, seen: Seen
) -> None:
    trainer.passes["calibrate"] = 1000
    feed.on_start(trainer)
    trainer.network.count = replace(trainer.network.count, passes=17)
    assert seen(connection, lambda moment: moment.state == "running").physical_passes == 1017


def test_what_a_moment_holds_is_bounded(feed: LiveFeed, trainer: Trainer, connection: Connection, seen: Seen) -> None:
    feed.on_start(trainer)
    for number in range(3 * POINTS):
        trainer.step(feed)
        feed.on_event(trainer, "info", f"{number} " + 5000 * "x")
    moment = seen(connection, lambda moment: moment.step == 3 * POINTS)
    assert len(moment.metrics["loss"][0].points) <= POINTS
    assert len(moment.events) == EVENTS
    assert moment.events[-1].message.startswith(str(3 * POINTS - 1))
    assert all(len(event.message) <= 1000 for event in moment.events)


def test_time_left_ends_with_the_budget(feed: LiveFeed, trainer: Trainer) -> None:
    feed.on_start(trainer)
    assert feed.moment().seconds_left is None
    trainer.step(feed)
    trainer.options.budget_minutes = 3.0 / 60
    assert feed.moment().seconds_left == 0
    trainer.options.budget_minutes = None
    assert feed.moment().seconds_left is not None


def test_a_viewer_holds_the_run_and_lets_it_go_on(
    feed: LiveFeed, trainer: Trainer, connection: Connection, seen: Seen
) -> None:
    feed.on_start(trainer)
    assert feed.hold(trainer) == ""
    connection.ask("pause")
    seen(connection, lambda moment: moment.asked == "pause" and moment.state == "running")
    reason = feed.hold(trainer)
    assert "physnet watch" in reason
    feed.on_pause(trainer, reason)
    paused = seen(connection, lambda moment: moment.state == "paused")
    assert (paused.asked, paused.reason) == ("", reason)
    assert paused.passes_per_second is None
    connection.ask("continue")
    deadline = time.monotonic() + 20
    while feed.hold(trainer):
        assert time.monotonic() < deadline
    feed.on_continue(trainer)
    assert seen(connection, lambda moment: moment.state == "running").reason == ""


def test_finishing_stops_the_trainer_even_out_of_a_pause(
    feed: LiveFeed, trainer: Trainer, connection: Connection, seen: Seen
) -> None:
    feed.on_start(trainer)
    connection.ask("pause")
    connection.ask("finish")
    seen(connection, lambda moment: moment.asked == "finish")
    assert trainer.stop_reason == ""
    assert feed.hold(trainer) == ""
    assert "physnet watch" in trainer.stop_reason
    trainer.stop_reason = ""
    trainer.step(feed)
    assert trainer.stop_reason
    feed.check()


def test_interrupting_is_a_ctrl_c_and_switches_nothing_on_again(
    feed: LiveFeed, trainer: Trainer, connection: Connection, seen: Seen
) -> None:
    feed.check()
    connection.ask("pause")
    connection.ask("interrupt")
    seen(connection, lambda moment: moment.asked == "interrupt")
    assert feed.hold(trainer)
    with pytest.raises(Stopped) as stopped:
        feed.check()
    assert stopped.value.signal_number == signal.SIGINT


def test_who_does_not_know_the_token_hears_nothing(feed: LiveFeed, connection: Connection, tmp_path: Path) -> None:
    for token in ("", "guess", "é\ud800"):
        with raw(tmp_path)[0] as stranger:
            stranger.sendall(greeting(token) + order("interrupt"))
            assert heard(stranger) == b""
    feed.check()
    assert connection.receive(10) is not None


@pytest.mark.parametrize(
    "words",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff\n", b"[1]\n", b'{"do": "pause"}\n', 10_000 * b"x", 100_000 * b"[" + b"\n"],
)
def test_nonsense_is_dropped(feed: LiveFeed, trainer: Trainer, tmp_path: Path, words: bytes) -> None:
    with raw(tmp_path)[0] as stranger:
        try:
            stranger.sendall(words)
        except ConnectionError:  # dropped before it had said all
            return
        assert heard(stranger) == b""
    assert feed.hold(trainer) == ""


def test_a_viewer_that_talks_nonsense_or_too_much_is_dropped_too(feed: LiveFeed, tmp_path: Path) -> None:
    for words in (b'{"do": "dance"}\n', 10_000 * order("continue")):
        connected, address = raw(tmp_path)
        with connected:
            connected.sendall(greeting(address.token))
            try:
                connected.sendall(words)
            except ConnectionError:
                continue
            heard(connected)  # returns, so the other side closed


def test_silence_is_dropped(monkeypatch: pytest.MonkeyPatch, feed: LiveFeed, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "_GREETING", 0.0)
    with raw(tmp_path)[0] as stranger:
        assert heard(stranger) == b""


def test_more_viewers_than_seats_are_turned_away_and_take_nobodys_seat(
    feed: LiveFeed, connection: Connection, trainer: Trainer, seen: Seen, tmp_path: Path
) -> None:
    strangers = [raw(tmp_path)[0] for _ in range(server._VIEWERS)]
    try:
        assert heard(strangers[-1]) == b""
        feed.on_start(trainer)
        seen(connection, lambda moment: moment.state == "running")
    finally:
        for stranger in strangers:
            stranger.close()


def test_another_version_is_told_so(feed: LiveFeed, tmp_path: Path) -> None:
    connected, address = raw(tmp_path)
    with connected:
        connected.sendall(greeting(address.token).replace(b'"physnet": 1', b'"physnet": 99'))
        assert b"version" in heard(connected)


def test_a_viewer_that_does_not_read_holds_up_nobody_and_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def line() -> bytes:
        sent.append(time.monotonic())
        return b"x" * (1 << 20) + b"\n"  # more than the system keeps for a reader that sleeps

    monkeypatch.setattr(server, "_PACE", 0.001)
    monkeypatch.setattr(server, "_STALLED", 0.2)
    live = Server("secret", line, lambda: len(sent), lambda action: None)
    with (
        socket.create_connection(("127.0.0.1", live.port), 10) as sleeper,
        socket.create_connection(("127.0.0.1", live.port), 10) as reader,
    ):
        for connected in (sleeper, reader):
            connected.sendall(greeting("secret"))
        got, deadline = 0, time.monotonic() + 20
        while got < 64 << 20 or len(live._viewers) > 1:
            got += len(reader.recv(1 << 20))
            assert time.monotonic() < deadline
        queued = len(heard(sleeper))
    live.close()
    assert queued < got / 2  # what the system has room for: nothing more was kept for it


def test_a_feed_that_nobody_can_reach_stops_no_run(tmp_path: Path, trainer: Trainer) -> None:
    with LiveFeed().serve(tmp_path / "missing", trainer) as feed:
        assert "can't be watched" in feed.problem
        feed.on_start(trainer)
        trainer.step(feed)
        trainer.epoch(feed, 0.5)
        trainer.end(feed)


def test_closing_twice_is_once(feed: LiveFeed, tmp_path: Path) -> None:
    feed.close()
    feed.close()
    assert list(tmp_path.iterdir()) == []


def test_a_viewer_in_the_middle_of_a_line_gets_the_end_whole(feed: LiveFeed, trainer: Trainer, tmp_path: Path) -> None:
    connected, address = raw(tmp_path)
    with connected:
        connected.sendall(greeting(address.token))
        first = connected.recv(10)
        trainer.end(feed)
        *_, last, rest = (first + heard(connected)).split(b"\n")
    assert rest == b""
    assert read_moment(last).status == "done"


def test_runs_are_found_newest_first(feed: LiveFeed, trainer: Trainer, tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    with (
        LiveFeed(title="b").serve(tmp_path / "b", trainer),
        LiveFeed(title="a").serve(tmp_path / "a", trainer),
        LiveFeed().serve(tmp_path / ".hidden", trainer),
    ):
        assert [folder.name for folder, _ in find_live(tmp_path)] == ["a", "b", tmp_path.name]
    assert find_live(tmp_path / "nothing") == []


def test_a_run_on_another_machine_is_watched_there(feed: LiveFeed, tmp_path: Path) -> None:
    ((folder, address),) = find_live(tmp_path)
    with pytest.raises(SessionError, match="a run on cluster7"):
        Connection(folder, replace(address, machine="cluster7"))


def test_a_port_that_went_to_another_program_is_nobody(tmp_path: Path, feed: LiveFeed) -> None:
    ((folder, address),) = find_live(tmp_path)
    with pytest.raises(Ended):
        Connection(folder, replace(address, token="that of the run before"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(Ended):
        Connection(folder, replace(address, port=port))
