from __future__ import annotations

import dataclasses
import itertools
import math
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.contracts import Cost, DriveSpec, Flag, Kind, Passes, Reading, ResponseSpec, SystemSpec
from physnet.errors import DriveError, MeasurementError, ResponseError, Stopped, TransportError
from physnet.port import Port

Answer = Callable[[int, Any], Reading]


def echo(call: int, drive: Any) -> Reading:
    return Reading(response=drive)


class Bench:
    """Answers by script and keeps what it was given."""

    def __init__(
        self,
        answer: Answer = echo,
        *,
        drive: DriveSpec | None = None,
        response: ResponseSpec | None = None,
        **options: Any,
    ) -> None:
        self._answer = answer
        self._spec = SystemSpec(
            name="bench",
            kind="simulated",
            drive=drive or DriveSpec(shape=(2,), high=1000.0),
            response=response or ResponseSpec(shape=(2,)),
            **options,
        )
        self.drives: list[Any] = []
        self.passes: list[Passes] = []
        self.opened = self.closed = 0

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        self.drives.append(drive.clone() if isinstance(drive, torch.Tensor) else drive.copy())
        self.passes.append(passes.copy())
        return self._answer(len(self.drives) - 1, drive)

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.closed += 1

    @property
    def played(self) -> list[int]:
        """The first channel of each row in the order of play: which row it was."""
        return [int(row[0]) for drive in self.drives for row in drive]


def numbered(rows: int) -> torch.Tensor:
    """Rows that say their own number in channel 0, so that a mix-up shows."""
    return torch.stack([torch.arange(rows), torch.arange(rows) % 7], dim=1).to(torch.float32)


@given(
    rows=st.integers(1, 40),
    chunk=st.none() | st.integers(1, 45),
    max_batch=st.none() | st.integers(1, 45),
    seed=st.integers(0, 2**32),
    first=st.integers(0, 2**62),
)
@settings(deadline=None, max_examples=60)
def test_responses_come_back_in_the_order_asked_for_whatever_order_was_played(
    rows: int, chunk: int | None, max_batch: int | None, seed: int, first: int
) -> None:
    bench = Bench(max_batch=max_batch)
    drive = numbered(rows)
    port = Port(bench, seed=seed, chunk=chunk)
    reading = port.measure(drive, np.arange(first, first + rows))
    assert torch.equal(torch.as_tensor(reading.response), drive)
    assert bench.played == port.play_order(np.arange(first, first + rows)).tolist()
    assert sorted(bench.played) == list(range(rows))
    largest = min(limit for limit in (chunk, max_batch, rows) if limit is not None)
    sizes = [len(drive) for drive in bench.drives]
    assert max(sizes) <= largest
    assert len(sizes) == math.ceil(rows / largest)


def test_each_row_is_played_with_its_own_pass_number() -> None:
    bench = Bench()
    numbers = np.arange(500, 530)
    Port(bench, chunk=4).measure(numbered(30), numbers)
    assert [int(n) for passes in bench.passes for n in passes] == [500 + row for row in bench.played]


def test_the_play_order_depends_on_the_seed_and_the_first_pass_number_alone() -> None:
    # Two random orders of 50 rows agree with probability 1 / 50!.
    def order(seed: int, first: int, **options: Any) -> list[int]:
        return [int(row) for row in Port(Bench(), seed=seed, **options).play_order(np.arange(first, first + 50))]

    reference = order(1, 100)
    port = Port(Bench(), seed=1)
    port.measure(numbered(9), np.arange(9))
    assert port.play_order(np.arange(100, 150)).tolist() == reference
    assert order(1, 100, chunk=7, retries=0) == reference
    changed = np.arange(100, 150)
    changed[1:] += 1000
    assert Port(Bench(), seed=1).play_order(changed).tolist() == reference
    assert order(2, 100) != reference
    assert order(1, 101) != reference
    assert reference != sorted(reference)


def test_positives_and_negatives_are_mixed_in_time() -> None:
    # Rows 0..99 carry the true label, 100..199 a false one. The mean place of 100 rows drawn at random among 200 has a
    # standard deviation of sqrt(201 * 100 / (12 * 100)) = 4.09; over 25 orders, 0.82. Five of them leave 1 in 10^6.
    places = []
    for first in range(25):
        order = Port(Bench(), seed=3).play_order(np.arange(first, first + 200))
        places.append(float(np.flatnonzero(order < 100).mean()))
    assert abs(np.mean(places) - 99.5) < 5 * 4.09 / math.sqrt(25)


def test_a_system_that_refuses_gradients_is_never_handed_a_graph() -> None:
    def answer(call: int, drive: Any) -> Reading:
        assert not drive.requires_grad
        return Reading(response=drive)

    drive = numbered(3).requires_grad_()
    for array in ("torch", "numpy"):
        bench = Bench(answer if array == "torch" else echo, array=array)
        reading = Port(bench).measure(drive * 2, np.arange(3))
        assert not torch.as_tensor(reading.response).requires_grad
    assert drive.grad is None


def test_a_response_with_a_graph_is_cut_off() -> None:
    weight = torch.ones(2, requires_grad=True)
    bench = Bench(lambda call, drive: Reading(response=drive * weight), array="torch")
    assert not torch.as_tensor(Port(bench).measure(numbered(3), np.arange(3)).response).requires_grad


def test_a_numpy_system_gets_numpy_in_its_own_dtype_and_the_port_answers_in_torch() -> None:
    bench = Bench()
    reading = Port(bench).measure(numbered(3), np.arange(3))
    assert isinstance(bench.drives[0], np.ndarray)
    assert bench.drives[0].dtype == np.float64
    assert isinstance(reading.response, torch.Tensor)
    assert reading.response.dtype == torch.float32


def test_a_torch_system_gets_torch_on_its_device_in_its_dtype() -> None:
    bench = Bench(array="torch", device="cpu", drive=DriveSpec(shape=(2,), high=9, dtype="float32"))
    Port(bench).measure(numbered(3).numpy().astype(np.float64), np.arange(3))
    assert isinstance(bench.drives[0], torch.Tensor)
    assert bench.drives[0].dtype == torch.float32
    assert bench.drives[0].device == torch.device("cpu")


@pytest.mark.parametrize("array", ["numpy", "torch"])
def test_a_drive_may_be_any_view_of_a_numpy_array(array: Any) -> None:
    rows = numbered(4).numpy()
    frozen = rows.copy()
    frozen.setflags(write=False)
    for drive in (rows[::-1], frozen, np.asfortranarray(rows), rows.astype(">f4")):
        reading = Port(Bench(array=array)).measure(drive, np.arange(4))
        np.testing.assert_array_equal(torch.as_tensor(reading.response).numpy(), drive)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float16", "float32", "float64", "bool", ">i2", ">f4", "<u4"])
def test_a_response_of_any_number_type_and_byte_order_is_understood(dtype: str) -> None:
    # Binary blocks of an oscilloscope are big-endian, and np.frombuffer makes them read-only.
    def answer(call: int, drive: Any) -> Reading:
        wire = (drive[:, :1] % 2).astype(dtype).tobytes()
        return Reading(response=np.frombuffer(wire, dtype).reshape(-1, 1))

    bench = Bench(answer, response=ResponseSpec(shape=(1,)))
    reading = Port(bench).measure(numbered(5), np.arange(5))
    assert torch.as_tensor(reading.response).flatten().tolist() == [0, 1, 0, 1, 0]


def test_a_complex_response_keeps_its_phase() -> None:
    bench = Bench(
        lambda call, drive: Reading(response=drive * 1j), response=ResponseSpec(shape=(2,), dtype="complex128")
    )
    reading = Port(bench).measure(numbered(3), np.arange(3))
    assert torch.equal(torch.as_tensor(reading.response), numbered(3) * 1j)
    assert Port(bench, dtype=torch.float64).dtype == torch.complex128


def test_a_batch_that_breaks_keeps_what_was_measured_and_presents_only_the_rest_again() -> None:
    def answer(call: int, drive: Any) -> Reading:
        if call == 0:
            raise MeasurementError("the trigger was lost", reading=Reading(response=drive[:4]))
        return Reading(response=drive)

    bench = Bench(answer)
    port = Port(bench)
    reading = port.measure(numbered(10), np.arange(10))
    assert torch.equal(torch.as_tensor(reading.response), numbered(10))
    assert [len(drive) for drive in bench.drives] == [10, 6]
    assert bench.played[10:] == bench.played[4:10]
    # A row measured again keeps its number: it keys the noise.
    assert bench.passes[1].tolist() == bench.passes[0][4:].tolist()
    # Four rows came back and a fifth failed; the five after it were never played.
    assert (port.count.passes, port.count.retries, port.count.invalid) == (11, 1, 1)
    assert reading.flags is not None
    assert np.flatnonzero(reading.flags & Flag.RETRIED).tolist() == [bench.played[4]]
    assert reading.valid is not None
    assert reading.valid.all()


@pytest.mark.parametrize(
    "fault",
    [
        OSError("cable"),
        TimeoutError("no answer"),
        MeasurementError("no reading"),
        TransportError("no answer", kind="timeout", resource="COM3"),
    ],
)
def test_a_batch_that_breaks_without_a_reading_is_presented_again_as_a_whole(fault: Exception) -> None:
    def answer(call: int, drive: Any) -> Reading:
        if call == 1:
            raise fault
        return Reading(response=drive)

    bench = Bench(answer, max_batch=3)
    port = Port(bench)
    reading = port.measure(numbered(9), np.arange(9))
    assert torch.equal(torch.as_tensor(reading.response), numbered(9))
    assert [len(drive) for drive in bench.drives] == [3, 3, 3, 3]
    assert bench.played[9:] == bench.played[3:6]
    assert (port.count.passes, port.count.retries, port.count.invalid) == (12, 3, 3)


def test_rows_that_are_nan_or_declared_invalid_are_measured_again() -> None:
    def answer(call: int, drive: Any) -> Reading:
        response = drive.copy()
        valid = np.ones(len(drive), np.bool_)
        if call == 0:
            response[drive[:, 0] == 2] = math.nan
            response[drive[:, 0] == 5, 1] = math.inf
            valid[drive[:, 0] == 7] = False
            response[drive[:, 0] == 7] = 99
        return Reading(response=response, valid=valid)

    bench = Bench(answer)
    port = Port(bench)
    reading = port.measure(numbered(9), np.arange(9))
    assert torch.equal(torch.as_tensor(reading.response), numbered(9))
    assert sorted(bench.played[9:]) == [2, 5, 7]
    assert (port.count.passes, port.count.retries, port.count.invalid) == (12, 3, 3)


def test_a_complex_response_that_is_half_nan_is_measured_again() -> None:
    def answer(call: int, drive: Any) -> Reading:
        response = drive + 0j
        response[0] = complex(1, math.nan) if call == 0 else response[0]
        return Reading(response=response)

    bench = Bench(answer, response=ResponseSpec(shape=(2,), dtype="complex128"))
    assert len(Port(bench).measure(numbered(4), np.arange(4))) == 4
    assert len(bench.played) == 5


def test_a_fault_that_stays_is_quoted_as_a_part_of_a_sentence() -> None:
    def answer(call: int, drive: Any) -> Reading:
        raise MeasurementError("row 0 was not resolved. Take more steps.")

    with pytest.raises(MeasurementError, match=r"not resolved\. Take more steps\. Check the system"):
        Port(Bench(answer), retries=1).measure(numbered(2), np.arange(2))


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_row_that_stays_nan_ends_in_an_error_that_carries_the_others(retries: int) -> None:
    def answer(call: int, drive: Any) -> Reading:
        return Reading(response=np.where(drive[:, :1] == 4, math.nan, drive))

    bench = Bench(answer)
    port = Port(bench, retries=retries)
    with pytest.raises(MeasurementError, match=f"1 of 6 rows after {retries} retries") as caught:
        port.measure(numbered(6), np.arange(6))
    assert bench.played.count(4) == retries + 1
    assert len(bench.played) == 6 + retries
    reading = caught.value.reading
    assert reading is not None
    assert reading.valid is not None
    assert reading.valid.tolist() == [True, True, True, True, False, True]
    response = torch.as_tensor(reading.response)
    assert torch.equal(response[[0, 1, 2, 3, 5]], numbered(6)[[0, 1, 2, 3, 5]])
    assert port.count.invalid == retries + 1


def test_a_cable_that_stays_off_ends_in_an_error_chained_to_its_cause() -> None:
    def answer(call: int, drive: Any) -> Reading:
        raise OSError("cable off")

    port = Port(Bench(answer), retries=2)
    with pytest.raises(MeasurementError, match="cable off") as caught:
        port.measure(numbered(3), np.arange(3))
    assert caught.value.reading is None
    assert isinstance(caught.value.__cause__, OSError)
    assert (port.count.passes, port.count.retries, port.count.invalid) == (9, 6, 9)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (np.zeros((4, 3)), r"must have shape \(4, 2\), got \(4, 3\)"),
        (np.zeros((3, 2)), r"must have shape \(4, 2\), got \(3, 2\)"),
        (np.zeros((5, 2)), r"must have shape \(4, 2\), got \(5, 2\)"),
        (np.zeros((4, 2, 1)), r"got \(4, 2, 1\)"),
        (np.zeros((4, 2), np.complex128), "must be real as its spec declares"),
        (torch.zeros((4, 2), dtype=torch.complex64), "must be real as its spec declares"),
        (np.full((4, 2), "x"), "must be numbers"),
    ],
)
def test_a_response_that_breaks_the_spec_is_refused_at_once(response: Any, message: str) -> None:
    bench = Bench(lambda call, drive: Reading(response=response))
    with pytest.raises(ResponseError, match=message):
        Port(bench).measure(numbered(4), np.arange(4))
    assert len(bench.drives) == 1


def test_a_partial_reading_longer_than_its_drive_is_refused() -> None:
    def answer(call: int, drive: Any) -> Reading:
        raise MeasurementError("stale rows", reading=Reading(response=np.zeros((9, 2))))

    bench = Bench(answer)
    with pytest.raises(ResponseError, match="at most 4"):
        Port(bench).measure(numbered(4), np.arange(4))
    assert len(bench.drives) == 1


@pytest.mark.parametrize("error", [TypeError("a bug"), KeyError("a bug"), ZeroDivisionError("a bug")])
def test_a_programming_error_is_passed_on_at_once(error: Exception) -> None:
    def answer(call: int, drive: Any) -> Reading:
        raise error

    bench = Bench(answer)
    with pytest.raises(type(error)):
        Port(bench).measure(numbered(4), np.arange(4))
    assert len(bench.drives) == 1


BINARY = DriveSpec(shape=(2,), low=-1, high=1, domain="binary")
UNSAFE: list[tuple[str, DriveSpec, Any]] = [
    ("above", DriveSpec(shape=(2,)), [[0.5, 1.001]]),
    ("below", DriveSpec(shape=(2,)), [[-0.001, 0.5]]),
    ("far above float32", DriveSpec(shape=(2,), dtype="float32"), [[0.5, 1e300]]),
    ("not a number", DriveSpec(shape=(2,)), [[0.5, math.nan]]),
    ("infinite", DriveSpec(shape=(2,)), [[math.inf, 0.5]]),
    ("too many channels", DriveSpec(shape=(2,)), [[0.5, 0.5, 0.5]]),
    ("transposed", DriveSpec(shape=(2, 3)), np.full((1, 3, 2), 0.5)),
    ("one channel of its own range", DriveSpec(shape=(2,), high=(1.0, 0.2)), [[0.5, 0.5]]),
    ("no level", BINARY, [[1.0, 0.0]]),
    ("root mean square", DriveSpec(shape=(2,), max_rms=0.5), [[0.6, 0.6]]),
    ("sum", DriveSpec(shape=(2,), max_sum=1.0), [[0.6, 0.6]]),
    ("slew", DriveSpec(shape=(2,), max_slew=0.5), [[0.1, 0.9]]),
    ("slew that overflows int8", DriveSpec(shape=(2,), low=-128, high=127, dtype="int8", max_slew=60), [[-100, 100]]),
    ("sum that overflows int8", DriveSpec(shape=(2,), low=-128, high=127, dtype="int8", max_sum=100), [[-128, -128]]),
    ("modulus", DriveSpec(shape=(2,), dtype="complex128"), [[0.8 + 0.8j, 0]]),
    ("complex into real", DriveSpec(shape=(2,)), [[0.3 + 0.4j, 0]]),
    *((f"above, as {dtype}", DriveSpec(shape=(2,), dtype=dtype), [[0.0, 1.9]]) for dtype in ("int8", "uint16")),
    *((f"wraps round as {dtype}", DriveSpec(shape=(2,), dtype=dtype), [[0.0, 257.0]]) for dtype in ("int8", "uint8")),
    *((f"NaN as {dtype}", DriveSpec(shape=(2,), dtype=dtype), [[0.0, math.nan]]) for dtype in ("int8", "int64")),
    ("an integer outside after rounding", DriveSpec(shape=(2,), low=0.2, high=0.8, dtype="int8"), [[0.5, 0.5]]),
]


@pytest.mark.parametrize("array", ["numpy", "torch"])
@pytest.mark.parametrize(("spec", "drive"), [case[1:] for case in UNSAFE], ids=[case[0] for case in UNSAFE])
def test_an_unsafe_drive_is_never_sent(spec: DriveSpec, drive: Any, array: Any) -> None:
    bench = Bench(drive=spec, array=array)
    port = Port(bench)
    rows = np.asarray(drive)
    for given_drive in (rows, torch.from_numpy(rows), torch.from_numpy(rows).requires_grad_(rows.dtype.kind == "f")):
        with pytest.raises(DriveError):
            port.measure(given_drive, np.arange(1))
    assert bench.drives == []
    assert port.count.passes == 0


@pytest.mark.parametrize(("rows", "numbers"), [(3, 4), (4, 3), (0, 0)])
def test_a_drive_without_one_pass_number_per_row_is_never_sent(rows: int, numbers: int) -> None:
    bench = Bench()
    with pytest.raises(DriveError, match="one row per pass number and at least one row"):
        Port(bench).measure(numbered(rows), np.arange(numbers))
    assert bench.drives == []


def test_one_bad_row_among_many_stops_the_whole_batch() -> None:
    bench = Bench(max_batch=2)
    drive = numbered(20)
    drive[17, 1] = -1
    with pytest.raises(DriveError, match="channel 1, got -1 in row 17"):
        Port(bench).measure(drive, np.arange(20))
    assert bench.drives == []


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_limit_that_single_precision_rounds_up_is_kept_to_the_bit(dtype: str) -> None:
    bench = Bench(drive=DriveSpec(shape=(2,), low=-0.7, high=0.1, dtype=dtype))
    # float32(0.1) = 0.100000001490..., float32(-0.7) = -0.699999988...; float16(-0.7) = -0.7002.
    Port(bench).measure(torch.tensor([[0.1, -0.7]]), np.arange(1))
    sent = bench.drives[0].astype(np.float64)
    assert sent[0, 0] <= 0.1
    assert sent[0, 1] >= -0.7
    # Not further away than one step of the type, or of the float32 that was asked for.
    eps = max(float(np.finfo(dtype).eps), float(np.finfo(np.float32).eps))
    np.testing.assert_allclose(sent, [[0.1, -0.7]], rtol=eps, atol=0)


@given(
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-3, 1e3),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    given_dtype=st.sampled_from([torch.float32, torch.float64]),
    share=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    array=st.sampled_from(["numpy", "torch"]),
)
@settings(deadline=None, max_examples=200)
def test_what_reaches_the_system_is_within_the_range_to_the_bit(
    low: float, width: float, dtype: str, given_dtype: torch.dtype, share: list[float], array: Any
) -> None:
    high = low + width
    # A narrow range far from zero may hold no value of a coarse type: that can't be driven and isn't the point here.
    if width < 8 * float(np.finfo(dtype).eps) * max(abs(low), abs(high)):
        return
    bench = Bench(
        drive=DriveSpec(shape=(4,), low=low, high=high, dtype=dtype), array=array, response=ResponseSpec(shape=(4,))
    )
    drive = torch.tensor([[low, high, *(low + part * width for part in share)]], dtype=torch.float64)
    Port(bench).measure(drive.clamp(low, high).to(given_dtype), np.arange(1))
    sent = np.asarray(bench.drives[0])
    assert sent.dtype == np.dtype(dtype)
    assert bool(np.all((sent.astype(np.float64) >= low) & (sent.astype(np.float64) <= high)))


@given(
    high=st.floats(1e-3, 1e3),
    phases=st.lists(st.floats(-4, 4), min_size=6, max_size=6),
    dtype=st.sampled_from(["complex64", "complex128"]),
    given_dtype=st.sampled_from([torch.complex64, torch.complex128]),
)
@settings(deadline=None, max_examples=200)
def test_the_modulus_that_reaches_the_system_is_within_the_range_to_the_bit(
    high: float, phases: list[float], dtype: str, given_dtype: torch.dtype
) -> None:
    bench = Bench(drive=DriveSpec(shape=(6,), high=high, dtype=dtype), response=ResponseSpec(shape=(6,), dtype=dtype))
    drive = torch.polar(torch.full((1, 6), high, dtype=torch.float64), torch.tensor([phases], dtype=torch.float64))
    Port(bench).measure(drive.to(given_dtype), np.arange(1))
    sent = bench.drives[0].astype(np.complex128)
    # Libraries disagree on the last bit of a modulus in double precision; in single precision that bit is exact here.
    assert bool(np.all(np.abs(sent) <= high * (1 + 2.0**-52 * (dtype == "complex128"))))
    # The modulus is pulled in by rounding alone: four roundings of 2^-24, as `drives` allows, and two in this test.
    np.testing.assert_allclose(sent, drive.numpy(), rtol=6 * 2.0**-24, atol=0)


def test_an_integer_drive_is_rounded_and_not_cut_off() -> None:
    # 0.99999994 is the float32 below 1: rounding noise of an encoder must not switch a binary channel off.
    bench = Bench(drive=DriveSpec(shape=(2,), dtype="uint8", domain="binary"))
    Port(bench).measure(torch.tensor([[0.99999994, 0.0]]), np.arange(1))
    assert bench.drives[0].tolist() == [[1, 0]]


@pytest.mark.parametrize("array", ["numpy", "torch"])
def test_a_system_can_not_change_the_drive_of_its_caller(array: Any) -> None:
    def answer(call: int, drive: Any) -> Reading:
        drive[...] = 0
        return Reading(response=drive)

    drive = numbered(5).to(torch.float64)
    kept = drive.clone()
    Port(Bench(answer, array=array), dtype=torch.float64).measure(drive, np.arange(5))
    Port(Bench(answer, array=array), dtype=torch.float64).measure(drive.numpy(), np.arange(5))
    assert torch.equal(drive, kept)


@pytest.mark.parametrize("array", ["numpy", "torch"])
def test_a_system_that_reuses_its_buffer_does_not_spoil_earlier_rows(array: Any) -> None:
    buffer: Any = np.zeros((2, 2)) if array == "numpy" else torch.zeros((2, 2), dtype=torch.float64)

    def answer(call: int, drive: Any) -> Reading:
        buffer[: len(drive)] = drive
        return Reading(response=buffer[: len(drive)])

    reading = Port(Bench(answer, array=array, max_batch=2), dtype=torch.float64).measure(numbered(7), np.arange(7))
    assert torch.equal(torch.as_tensor(reading.response), numbered(7).double())


def test_images_are_sent_in_the_systems_shape() -> None:
    bench = Bench(drive=DriveSpec(shape=(2, 3)), response=ResponseSpec(shape=(2, 3)))
    drive = torch.linspace(0, 1, 24).reshape(4, 6)
    reading = Port(bench).measure(drive, np.arange(4))
    assert bench.drives[0].shape == (4, 2, 3)
    assert torch.equal(torch.as_tensor(reading.response), drive.reshape(4, 2, 3))


def test_flags_times_shots_and_spread_are_kept_row_by_row() -> None:
    def answer(call: int, drive: Any) -> Reading:
        flags = np.where(drive[:, 0] % 3 == 0, Flag.CLIPPED, Flag.NONE).astype(np.uint8)
        return Reading(
            response=drive, flags=flags, started=10.0 + call, stopped=10.5 + call, shots=4, spread=drive / 100
        )

    port = Port(Bench(answer, max_batch=4))
    reading = port.measure(numbered(9), np.arange(9))
    assert reading.flags is not None
    assert reading.flags.tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0]
    assert (reading.started, reading.stopped, reading.shots) == (10.0, 12.5, 4)
    assert reading.spread is not None
    # float64 to float32: one rounding.
    np.testing.assert_allclose(np.asarray(reading.spread), numbered(9).numpy() / 100, rtol=2.0**-24)
    assert port.count.clipped_response == 3


def test_a_spread_that_only_some_chunks_know_is_nan_elsewhere() -> None:
    def answer(call: int, drive: Any) -> Reading:
        return Reading(response=drive, spread=drive if call == 1 else None)

    bench = Bench(answer, max_batch=2)
    reading = Port(bench).measure(numbered(4), np.arange(4))
    assert reading.spread is not None
    known = np.isfinite(np.asarray(reading.spread)).all(1)
    assert sorted(np.flatnonzero(known)) == sorted(bench.played[2:])


@pytest.mark.parametrize(
    "more", [{"valid": np.ones((4, 1), np.bool_)}, {"spread": np.ones((4, 3))}, {"flags": np.zeros((4, 2), np.uint8)}]
)
def test_a_reading_whose_parts_have_other_shapes_is_refused(more: Any) -> None:
    bench = Bench(lambda call, drive: Reading(response=drive, **more))
    with pytest.raises(ResponseError):
        Port(bench).measure(numbered(4), np.arange(4))


def test_counts_add_up_over_calls() -> None:
    port = Port(Bench(max_batch=3))
    port.measure(numbered(5), np.arange(5))
    port.measure(numbered(6), np.arange(6))
    assert (port.count.passes, port.count.retries, port.count.invalid) == (11, 0, 0)
    assert port.count.seconds >= 0


def test_entering_a_port_opens_its_system_and_leaving_it_closes_it_on_an_error_too() -> None:
    bench = Bench()
    with pytest.raises(RuntimeError), Port(bench):
        assert (bench.opened, bench.closed) == (1, 0)
        raise RuntimeError
    assert (bench.opened, bench.closed) == (1, 1)


def test_a_lost_exchange_in_every_hundred_rows_does_not_use_up_the_retries_of_the_others() -> None:
    played = itertools.count(1)

    def answer(call: int, drive: Any) -> Reading:
        for row in range(len(drive)):
            if next(played) % 100 == 0:
                raise MeasurementError("lost", reading=Reading(response=drive[:row]))
        return Reading(response=drive)

    port = Port(Bench(answer), retries=3)
    reading = port.measure(numbered(1000), np.arange(1000))
    assert torch.equal(torch.as_tensor(reading.response), numbered(1000))
    # 1000 rows, and one more for each that was lost: each hundredth row played
    assert port.count.passes == 1010
    assert port.count.retries == port.count.invalid == 10


def test_a_mistimed_row_is_measured_again_and_never_kept() -> None:
    def answer(call: int, drive: Any) -> Reading:
        late = np.full(len(drive), int(Flag.MISTIMED if call == 0 else Flag.UNSETTLED), np.uint8)
        return Reading(response=drive * (0 if call == 0 else 1), flags=late)

    port = Port(Bench(answer))
    reading = port.measure(numbered(5), np.arange(5))
    assert torch.equal(torch.as_tensor(reading.response), numbered(5))
    assert reading.flags is not None
    assert set(reading.flags.tolist()) == {int(Flag.UNSETTLED | Flag.RETRIED)}
    assert (port.count.passes, port.count.invalid) == (10, 5)


def test_rows_are_counted_even_when_what_came_back_is_refused() -> None:
    port = Port(Bench(lambda call, drive: Reading(response=drive[:, :1])))
    with pytest.raises(ResponseError):
        port.measure(numbered(10), np.arange(10))
    assert (port.count.passes, port.count.invalid) == (10, 10)


def test_a_stop_is_obeyed_between_two_chunks_and_every_fault_is_told() -> None:
    def answer(call: int, drive: Any) -> Reading:
        if call == 1:
            raise OSError("TRIGGER LOST ON CH2")
        return Reading(response=drive)

    bench = Bench(answer)
    port = Port(bench, chunk=2)
    told: list[str] = []
    port.on_fault = told.append

    def interrupted() -> None:
        if len(bench.drives) == 3:
            raise Stopped(signal.SIGTERM)

    port.interrupted = interrupted
    with pytest.raises(Stopped):
        port.measure(numbered(10), np.arange(10))
    assert len(bench.drives) == 3
    assert len(told) == 1
    assert "TRIGGER LOST ON CH2" in told[0]


def test_a_chunk_on_a_bench_takes_no_longer_than_a_person_waits() -> None:
    kinds: tuple[tuple[Kind, int], ...] = (("measured", 10), ("simulated", 100))
    for kind, longest in kinds:
        bench = Bench(cost=Cost(per_pass=0.05))
        bench._spec = dataclasses.replace(bench.spec, kind=kind)
        Port(bench).measure(numbered(100), np.arange(100))
        assert max(len(drive) for drive in bench.drives) == longest
