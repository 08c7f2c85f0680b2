"""What a run does to look after itself: its clock, its energy meter, its sentinels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import physnet
from physnet.encoders import Affine
from physnet.energy import EnergyMeter
from physnet.errors import SessionError
from physnet.network import Network
from physnet.sentinels import Sentinels, change
from physnet.standing import Kept, Standing
from physnet.stopwatch import Stopwatch


def network(gain: list[float]) -> Network:
    matrix = np.random.default_rng(0).standard_normal((4, 6))
    bench = physnet.system(lambda drive: gain[0] * drive @ matrix, drives=4, responses=6, drive_range=(0, 1))
    port = physnet.Port(bench)
    return Network([physnet.PhysicalLayer(port=port, inputs=4, width=3, encoder=Affine(), seed=0)], features=4)


def test_nested_sections_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("physnet.stopwatch.time.perf_counter", lambda: now[0])
    watch = Stopwatch()
    with watch.section("log"):
        now[0] += 2
        with watch.section("idle"):
            now[0] += 5
        now[0] += 1
    assert watch.take() == (3, 5)
    assert watch.take() == (0, 0)
    watch.logged(lambda seconds: now.__setitem__(0, now[0] + seconds))(4)
    assert watch.take() == (4, 0)


def test_a_processor_s_counter_that_begins_again_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package: not counted again
    (package / "max_energy_range_uj").write_text("1000000\n")
    (package / "energy_uj").write_text("900000\n")
    meter = EnergyMeter(network([1.0]), rapl=tmp_path)
    assert math.isnan(meter.joules())  # too soon
    monkeypatch.setattr("physnet.energy._PAUSE", 0.0)
    (package / "energy_uj").write_text("100000\n")
    assert meter.joules() == pytest.approx(0.2, abs=2e-6)  # 1 000 001 values a turn
    (package / "energy_uj").write_text("350000\n")
    assert meter.joules() == pytest.approx(0.25)


def test_without_a_counter_nothing_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("physnet.energy._PAUSE", 0.0)
    assert math.isnan(EnergyMeter(network([1.0]), rapl=tmp_path).joules())


def test_sentinels_tell_a_change_and_go_on_after_a_restart() -> None:
    gain = [1.0]
    subject = network(gain)
    sentinels = Sentinels(subject, rows=5, seed=3)
    with subject:
        (first,) = sentinels.look(epoch=0, step=0)
        (again,) = sentinels.look(epoch=1, step=10)
        assert math.isnan(first.difference)
        assert (first.drift, again.difference, again.drift) == (0, 0, 0)
        after = Sentinels(subject, rows=5, seed=3)
        after.restore(sentinels.arrays())
        gain[0] = 1.1
        (changed,) = after.look(epoch=1, step=10, look=1)
    # A gain of 1.1 adds a tenth of each response: a tenth of their spread and of what they have in common.
    assert 0.1 <= changed.difference == changed.drift
    (text,) = after.changed([changed], 0.05)
    assert "must answer its sentinels as before, within 0.05" in text
    assert after.changed([changed], changed.difference) == []
    assert subject.count.passes == 15


def test_a_change_that_can_not_be_told_is_not_none() -> None:
    same = np.ones((3, 2))
    assert math.isnan(change(same, same))
    assert math.isnan(change(np.ones((2, 2)), same))


def test_where_a_run_stands_comes_back() -> None:
    weights = {"W": np.arange(3.0)}
    standing = Standing(steps=7, epochs=2, without_gain=1, passes_per_sample=2.5, seconds=3.5)
    standing.passes["train"] = 99
    standing.best = Kept(accuracy=0.5, epoch=1, tensors={"W": np.ones(3)})
    back = Standing.restored(standing.state(), standing.arrays(weights), weights)
    assert (back.steps, back.epochs, back.passes, back.passes_per_sample) == (7, 2, standing.passes, 2.5)
    assert back.best is not None
    np.testing.assert_array_equal(back.best.tensors["W"], np.ones(3))
    standing.best = Kept(accuracy=0.5, epoch=1, tensors=dict(weights))
    assert standing.arrays(weights) == {}  # the present weights are the best: they are in the checkpoint already
    back = Standing.restored(standing.state(), {}, weights)
    assert back.best is not None
    np.testing.assert_array_equal(back.best.tensors["W"], weights["W"])
    with pytest.raises(SessionError, match="where the run stood"):
        Standing.restored({"steps": 3}, {}, weights)
