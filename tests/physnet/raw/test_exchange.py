"""What the port shows of each call, and what of it is kept."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.contracts import Flag, Passes, Reading, SystemSpec
from physnet.errors import MeasurementError, ResponseError
from physnet.exchange import Exchange
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.raw import RawRows, RawWriter, open_raw


class Scripted:
    """A system that answers by script: one function a call, the last for all that follow."""

    def __init__(self, spec: SystemSpec, *answers: Any) -> None:
        self.spec = spec
        self._answers = list(answers)

    def measure(self, drive: Any, passes: Passes) -> Reading:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        reading: Reading = answer(drive)
        return reading

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


def codes(drive: Any) -> Reading:
    response = np.round(np.repeat(np.asarray(drive)[:, :1], 8, axis=1) * 1000).astype(np.int16)
    return Reading(response=response, shots=3)


def played(folder: Path, port: Port, drive: NDArray[Any], passes: Passes, **options: Any) -> RawRows:
    """Measure, and return what was kept of it."""
    with RawWriter(folder, {"bench": port.spec}, **options) as writer:
        port.on_exchange = writer.observer("bench")
        port.measure(drive, passes)
    return open_raw(folder).system().arrays(superseded=True)


def test_every_row_is_kept_in_the_order_played_with_its_codes(tmp_path: Path, raw: ModuleType) -> None:
    port = Port(Scripted(raw.spec(dtype="int16"), codes), chunk=7)
    drive = np.random.default_rng(0).random((20, 6))
    passes = pass_numbers(Purpose.TRAIN, epoch=2, step=5, layer=1, rows=20)
    rows = played(tmp_path, port, drive, passes)
    order = port.play_order(passes)
    assert rows.drive.dtype == np.float32 and rows.response.dtype == np.int16
    np.testing.assert_array_equal(rows.drive, drive.astype(np.float32)[order])
    np.testing.assert_array_equal(rows.response[:, 0], np.round(rows.drive[:, 0] * 1000))
    np.testing.assert_array_equal(rows.pass_number, passes[order])
    np.testing.assert_array_equal(rows.meta["position"], np.arange(20))
    for name, value in {"purpose": Purpose.TRAIN, "epoch": 2, "step": 5, "layer": 1, "shots": 3, "attempt": 0}.items():
        assert set(rows.meta[name].tolist()) == {value}, name
    assert rows.valid.all() and rows.meta["answered"].all()
    assert len(set(rows.meta["time"].tolist())) == 3 and (rows.meta["duration"] >= 0).all()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float16", "float32", "float64", "complex64", "bool"])
def test_a_response_keeps_its_own_type_to_the_bit(tmp_path: Path, raw: ModuleType, dtype: str) -> None:
    declared = "complex64" if dtype == "complex64" else "float32"
    answer = raw.values((9, 8), dtype.replace("bool", "uint8"), 1).astype(dtype)
    port = Port(Scripted(raw.spec(dtype=declared), lambda drive: Reading(response=answer)))
    rows = played(tmp_path, port, np.zeros((9, 6)), np.arange(9))
    assert rows.response.dtype == np.dtype(dtype.replace("bool", "uint8"))
    np.testing.assert_array_equal(rows.response, answer)


def test_big_endian_blocks_views_and_torch_are_kept_as_their_values(tmp_path: Path, raw: ModuleType) -> None:
    block = raw.values((5, 8), "int16", 3)
    answers = (block.astype(">i2"), np.asfortranarray(block), torch.from_numpy(block.copy()).T.contiguous().T)
    port = Port(Scripted(raw.spec(dtype="int16"), *[lambda drive, a=a: Reading(response=a) for a in answers]))
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        for call in range(3):
            port.measure(np.zeros((5, 6)), np.arange(5) + 5 * call)
    rows = open_raw(tmp_path).system().arrays()
    np.testing.assert_array_equal(rows.response.reshape(3, 5, 8), np.stack([block] * 3))


def test_images_and_complex_drives_are_kept(tmp_path: Path, raw: ModuleType) -> None:
    spec = raw.spec(drive=(2, 3), response=(4, 5), dtype="complex128")
    answer = raw.values((6, 4, 5), "complex128", 2)
    rows = played(tmp_path, Port(Scripted(spec, lambda drive: Reading(response=answer))), np.ones((6, 6)), np.arange(6))
    assert rows.drive.shape == (6, 2, 3)
    np.testing.assert_array_equal(rows.response, answer)


def test_a_row_that_is_measured_again_is_kept_twice_and_the_last_one_counts(tmp_path: Path, raw: ModuleType) -> None:
    def spoilt(drive: Any) -> Reading:
        valid = np.ones(len(drive), np.bool_)
        valid[2] = False
        flags = np.full(len(drive), Flag.CLIPPED, np.uint8)
        return Reading(response=np.zeros((len(drive), 8), np.int16), valid=valid, flags=flags)

    port = Port(Scripted(raw.spec(dtype="int16"), spoilt, codes))
    rows = played(tmp_path, port, np.ones((5, 6)), np.arange(5))
    assert rows.valid.tolist() == [True, True, False, True, True, True]
    assert rows.pass_number[5] == rows.pass_number[2]
    assert rows.meta["flags"].tolist() == [Flag.CLIPPED] * 5 + [0]
    last = open_raw(tmp_path).system().arrays()
    assert len(last) == 5 and last.valid.all()
    assert last.meta["position"].tolist() == [0, 1, 3, 4, 5]


def test_a_call_that_breaks_half_way_is_kept_as_far_as_it_came(tmp_path: Path, raw: ModuleType) -> None:
    def broken(drive: Any) -> Reading:
        raise MeasurementError("the trigger was lost", reading=codes(drive[:2]))

    def dead(drive: Any) -> Reading:
        raise OSError("cable")

    told: list[Exchange] = []
    port = Port(Scripted(raw.spec(dtype="int16"), broken, dead, codes))
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        keep = writer.observer("bench")

        def observe(exchange: Exchange) -> None:
            told.append(exchange)
            keep(exchange)

        port.on_exchange = observe
        port.measure(np.full((5, 6), 0.5), np.arange(5))
    assert [(len(one.passes), one.fault) for one in told] == [(3, "the trigger was lost"), (3, "cable"), (3, "")]
    assert [None if one.reading is None else len(one.reading) for one in told] == [2, None, 3]
    rows = open_raw(tmp_path).system().arrays(superseded=True)
    assert rows.meta["answered"].tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 1]
    assert rows.meta["valid"].tolist() == rows.meta["answered"].tolist()
    assert (rows.response[rows.meta["answered"] == 0] == 0).all()


def test_a_response_of_no_use_is_shown_and_its_drives_are_kept(tmp_path: Path, raw: ModuleType) -> None:
    port = Port(Scripted(raw.spec(), lambda drive: Reading(response=np.zeros((len(drive), 3)))))
    told: list[Exchange] = []
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        keep = writer.observer("bench")

        def observe(exchange: Exchange) -> None:
            told.append(exchange)
            keep(exchange)

        port.on_exchange = observe
        with pytest.raises(ResponseError):
            port.measure(np.ones((4, 6)), np.arange(4))
    assert told[0].fault.startswith("ResponseError") and not told[0].usable.any()
    rows = open_raw(tmp_path).system().arrays()
    assert len(rows) == 4 and not rows.meta["answered"].any()
    assert (rows.drive == 1).all()


def test_a_spread_is_kept_where_there_is_one_even_if_it_comes_late(tmp_path: Path, raw: ModuleType) -> None:
    def spread(drive: Any) -> Reading:
        response = np.ones((len(drive), 8), np.float32)
        return Reading(response=response, spread=response / 4)

    plain = Scripted(raw.spec(), lambda drive: Reading(response=np.zeros((len(drive), 8), np.float32)), spread, spread)
    port = Port(plain)
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        for call in range(3):
            port.measure(np.ones((2, 6)), np.arange(2) + 2 * call)
    system = open_raw(tmp_path).system()
    assert len(system.segments) == 2
    rows = system.arrays()
    assert rows.spread is not None
    np.testing.assert_array_equal(rows.spread[:, 0], [np.nan, np.nan, 0.25, 0.25, 0.25, 0.25])


def test_a_sample_does_not_depend_on_chunks_and_a_retried_row_stays_in_it(tmp_path: Path, raw: ModuleType) -> None:
    kept = []
    passes = pass_numbers(Purpose.TRAIN, rows=4000)
    for chunk in (None, 37):
        lost = Scripted(raw.spec(), lambda drive: Reading(response=np.full((len(drive), 8), np.nan)), codes)
        port = Port(lost, chunk=chunk)
        rows = played(tmp_path / str(chunk), port, np.ones((4000, 6)), passes, share=0.1, seed=5)
        counts = dict(zip(*np.unique(rows.pass_number, return_counts=True), strict=True))
        first = port.play_order(passes)[:chunk]
        assert all(counts[number] == 2 for number in passes[first] if number in counts)
        kept.append(sorted(counts))
    assert kept[0] == kept[1]
    # 4000 draws with probability 0.1: deviation sqrt(4000 * 0.1 * 0.9) = 19; five of them leave 1 in 10^6
    assert abs(len(kept[0]) - 400) < 95
