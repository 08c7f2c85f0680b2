"""A bench of tones around a linear medium that is known: what it answers, what it refuses, and how it comes back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.contracts import Flag
from physnet.drivers.benches.config import ToneBenchFile, bench_from
from physnet.drivers.benches.rack import Rack
from physnet.drivers.benches.tones import ToneBench
from physnet.errors import DriveError, InputError, MeasurementError, SpecError
from physnet.testing import check_system

from .double import Loop

RATE = 64e3
FILE = """\
name = "loop"
kind = "tones"
[source]
type = "loop"
resource = "LOOP"
load = ["high"]
[detector]
type = "source"
full_scale = [0.5, 0.5]
channels = [1, 2]
sample_rate = 64e3
[codec]
sample_rate = 64e3
tones = [1000.0, 1600.0, 2200.0]
phases = [0.3, 1.2, 2.5]
amplitude = 0.02
drives = 9
slot = 5e-3
spacing = 2.5e-3
ramp = 1e-3
guard_level = 1e-2
[calibration]
longest_guard = 0.05
[limits]
peak = [0.5]
[chunk]
seconds = 60.0
"""


def impulses(seed: int = 0, ring: float = 2e-3) -> NDArray[np.float64]:
    """Two paths with an exponential decay, each with its own echoes."""
    time_T = np.arange(round(12 * ring * RATE)) / RATE
    rng = np.random.default_rng(seed)
    impulse_MCT = rng.standard_normal((2, 1, len(time_T))) * np.exp(-time_T / ring)
    return np.asarray(impulse_MCT / np.sqrt((impulse_MCT**2).sum(2, keepdims=True)))


def made(loop: Loop, text: str = FILE) -> ToneBench:
    file = bench_from(text)
    assert isinstance(file, ToneBenchFile)
    rack = Rack("loop", {"source": loop}, simulated=True)
    return ToneBench(file, source=loop, detector=loop, rack=rack, simulated=True, name="loop")


def expected(bench: ToneBench, loop: Loop, drive_ND: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The lock-in of each row, played alone, by a convolution written out here."""
    codec = bench._codec
    words = np.full(len(drive_ND), codec.all_on)
    window = codec.layout.window
    rows = []
    for row_CT in codec.encode(drive_ND, words):
        row_CT = row_CT.copy()
        row_CT[:, : codec.layout.drive] = 0  # no pilot
        heard_MT = np.stack([np.convolve(row_CT[0], impulse_CT[0]) for impulse_CT in loop.impulse_MCT])
        time_W = (np.arange(window.first, window.first + window.samples) - window.origin) / RATE
        phasor_JW = np.exp(-2j * math.pi * np.array(codec.options.tones)[:, None] * time_W)
        rows.append(2 / window.samples * heard_MT[:, window.first : window.first + window.samples] @ phasor_JW.T)
    return np.asarray(np.stack(rows).reshape(len(drive_ND), -1), np.complex128)


def drives(rows: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, 1, (rows, 9))


@pytest.mark.parametrize("marks", ["row", "burst"])
def test_responses_are_those_of_the_medium_within_quantisation_and_what_still_rings(marks: Any) -> None:
    loop = Loop(impulses(), marks=marks, bits=14)
    with made(loop) as bench:
        drive_ND = drives(20)
        reading = bench.measure(drive_ND, np.arange(20))
        wanted = expected(bench, loop, drive_ND)
        found = bench.spec.identity["found"]
    # One sample is rounded by at most half a step, q / 2; a lock-in, (2 / W) sum of W samples times a phasor, by q at
    # most. What rings of the pilot is a hundredth of it, guard_level, which is 12 tones of 0.02 V through a gain of
    # about 1: 2 / pi of the sum in the worst phase, so below 0.01 * 12 * 0.02 V.
    bound = 0.5 / 2**13 + 1e-2 * 12 * 0.02
    assert reading.valid is not None and reading.valid.all()
    assert np.abs(reading.response - wanted).max() < bound
    # With a decay of 2 ms the whole decay to a hundredth takes 9 ms; the fit of a random response may be off by a half.
    assert 0.5 * 2e-3 < found["calibration"]["decay_time"] < 2 * 2e-3
    assert found["instruments"] == {"source": loop.identity}


def test_it_keeps_to_the_contract() -> None:
    check_system(lambda: made(Loop(impulses(), noise=1e-4)))


def test_a_stale_capture_is_refused_and_counted() -> None:
    loop = Loop(impulses())
    with made(loop) as bench:
        bench.measure(drives(10), np.arange(10))
        loop.tricks = ["stale"]
        with pytest.raises(MeasurementError, match="none of 10 rows was recorded as it was played"):
            bench.measure(drives(10, seed=2), np.arange(10))
        assert bench.faults["stale"] == 11  # ten rows and a dark one
        assert bench.measure(drives(10, seed=2), np.arange(10)).valid is not None


def test_rows_behind_a_missing_trigger_find_their_places() -> None:
    loop = Loop(impulses(), bits=14)
    with made(loop) as bench:
        whole = bench.measure(drives(10), np.arange(10))
        loop.tricks = ["missing trigger"]
        part = bench.measure(drives(10), np.arange(10))
        assert bench.faults["miscounted"] == 1
    assert part.valid is not None
    # The row without a record may be the dark one.
    assert part.valid.sum() >= 9
    # Twice the bound of quantisation, for both are rounded; the pilots differ: see above.
    bound = 2 * (0.5 / 2**13 + 1e-2 * 12 * 0.02)
    assert np.abs(part.response[part.valid] - whole.response[part.valid]).max() < bound


def test_a_burst_without_a_trigger_is_a_fault_that_a_retry_mends() -> None:
    loop = Loop(impulses())
    with made(loop) as bench:
        loop.tricks = ["no trigger"]
        with pytest.raises(MeasurementError, match="none of 4 rows"):
            bench.measure(drives(4), np.arange(4))
        assert bench.measure(drives(4), np.arange(4)).valid is not None


def test_without_a_pilot_a_miscounted_burst_is_not_used_at_all() -> None:
    loop = Loop(impulses())
    with made(loop, FILE.replace("drives = 9", 'drives = 9\nidentity = "none"')) as bench:
        assert bench.measure(drives(5), np.arange(5)).valid is not None
        loop.tricks = ["missing trigger"]
        with pytest.raises(MeasurementError, match="6 triggers were given and 5 counted"):
            bench.measure(drives(5), np.arange(5))


@pytest.mark.parametrize("what", ["load", "arm", "fire", "wait", "finish", "fetch", "errors"])
def test_a_fault_makes_safe_first_and_then_sets_up_again(what: str) -> None:
    loop = Loop(impulses())
    with made(loop) as bench:
        loop.log.clear()
        loop.broken.append(what)
        with pytest.raises(MeasurementError, match=r"it is broken.*made safe and set up again"):
            bench.measure(drives(3), np.arange(3))
        after = loop.log[loop.log.index(what) + 1 :]
        assert after[:2] == ["recover", "safe"]
        assert "setup" in after and "fire" not in after
        assert bench.measure(drives(3), np.arange(3)).valid is not None
    assert loop.log[-2:] == ["safe", "close"]


def test_an_exception_in_the_middle_leaves_safe_outputs() -> None:
    loop = Loop(impulses())
    bench = made(loop)
    with pytest.raises(KeyboardInterrupt), bench:
        loop.log.clear()
        raise KeyboardInterrupt
    assert loop.log == ["safe", "close"]


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf])
def test_nothing_is_sent_for_a_drive_out_of_range(value: float) -> None:
    loop = Loop(impulses())
    with made(loop) as bench:
        loop.log.clear()
        drive_ND = drives(3)
        drive_ND[1, 2] = value
        with pytest.raises(DriveError):
            bench.measure(drive_ND, np.arange(3))
        assert "load" not in loop.log


def test_a_limit_of_the_device_becomes_a_joint_limit_of_the_drive() -> None:
    # The pilot, 12 tones of 0.02 V, stays below 0.24 V; three tones in two slots could reach 0.12 V: 0.09 V is broken
    # by some drives only.
    text = FILE.replace("peak = [0.5]", "peak = [0.09]").replace("drives = 9", "drives = 9\npilot_amplitude = 0.005")
    loop = Loop(impulses(), bits=16)
    with made(loop, text) as bench:
        most = bench.spec.drive.max_sum
        assert most is not None and most < 9
        with pytest.raises(DriveError, match="sum"):
            bench.measure(np.ones((1, 9)), np.arange(1))
        assert bench.measure(np.full((1, 9), most / 9), np.arange(1)).valid is not None


def test_clipped_rows_are_flagged() -> None:
    # The drive may reach 8 * 6 * 0.02 V, the pilot 8 * 12 * 0.004 V only: its tones are told, and stronger than ever.
    loop = Loop(impulses())
    with made(loop, FILE.replace("drives = 9", "drives = 9\nguard = 0.03\npilot_amplitude = 0.004")) as bench:
        loop.impulse_MCT = 8 * loop.impulse_MCT
        reading = bench.measure(np.ones((2, 9)), np.arange(2))
        assert reading.flags is not None and (reading.flags & Flag.CLIPPED).all()


def test_rows_as_weak_as_a_dark_one_are_flagged() -> None:
    loop = Loop(impulses(), noise=3e-4)
    with made(loop, FILE.replace("drives = 9", "drives = 9\nguard = 0.01")) as bench:
        drive_ND = drives(4)
        drive_ND[2] = 0.0
        reading = bench.measure(drive_ND, np.arange(4))
    assert reading.flags is not None
    assert [bool(flag & Flag.LOW_SIGNAL) for flag in reading.flags] == [False, False, True, False]


def test_dark_rows_take_the_noise_off_an_energy() -> None:
    text = FILE.replace("drives = 9", 'drives = 9\nguard = 0.01\nresponse = "energy"')
    noise, rows = 5e-3, 100
    results = {}
    for dark in (0, 20):
        loop = Loop(impulses(), noise=noise)
        with made(loop, text + f"dark = {dark}\n") as bench:
            results[dark] = bench.measure(np.zeros((rows, 9)), np.arange(rows)).response.mean()
    window = 5e-3
    # A window of 320 samples holds an energy of noise^2 * 5 ms, to 1 part in sqrt(320 * 200 / 2) = 0.6 %; dark rows
    # take it off to 1 part in sqrt(320 * 40 / 2) = 1.3 %. Five standard deviations each.
    assert results[0] == pytest.approx(noise**2 * window, rel=0.03)
    assert abs(results[20]) < 0.07 * noise**2 * window


@pytest.mark.parametrize("mode", ["coherent", "incoherent"])
def test_shots_are_averaged_and_their_spread_told(mode: str) -> None:
    noise, shots = 2e-3, 16
    text = FILE.replace("drives = 9", "drives = 9\nguard = 0.01") + f'[averaging]\nshots = {shots}\nmode = "{mode}"\n'
    loop = Loop(impulses(), noise=noise, bits=14)
    with made(loop, text) as bench:
        drive_ND = drives(12)
        reading = bench.measure(drive_ND, np.arange(12))
        wanted = expected(bench, loop, drive_ND)
    assert reading.shots == shots and reading.spread is not None
    # A lock-in over W = 320 samples has a complex standard deviation of noise * sqrt(4 / W); its root mean square over
    # 12 rows, 6 responses and 15 degrees of freedom is known to 1 / sqrt(2 * 1080) = 2 %: five of them.
    one = noise * math.sqrt(4 / 320)
    assert math.sqrt(np.mean(np.square(reading.spread))) == pytest.approx(one, rel=0.11)
    left = reading.response - wanted
    # The mean of 16 scatters 4 times less, and what rings of the pilot comes on top: see above.
    assert np.abs(left - left.mean(0)).max() < 5 * one / 4 + 1e-2 * 12 * 0.02


def test_a_latency_is_found_where_it_is_asked_for() -> None:
    text = FILE.replace("longest_guard = 0.05", 'longest_guard = 0.05\ndelay = "measured"')
    impulse_MCT = np.zeros((2, 1, 400))
    impulse_MCT[:, 0, 0] = 1.0
    impulse_MCT[:, 0, 40:] = 0.3 * impulses()[:, 0, :360]
    loop = Loop(impulse_MCT, latency=130)
    with made(loop, text) as bench:
        delay = bench.spec.identity["found"]["calibration"]["delay"]
        reading = bench.measure(drives(4), np.arange(4))
    # The probe's band is some 2 kHz wide: its arrival is known to a small part of 0.5 ms; a tenth of a sample is asked.
    assert delay * RATE == pytest.approx(130, abs=0.3)
    assert reading.valid is not None and reading.valid.all()


def test_a_guard_that_is_too_short_is_refused_when_the_bench_is_opened() -> None:
    loop = Loop(impulses(ring=10e-3))
    with (
        pytest.raises(InputError, match=r"a guard of 0\.004 s must leave at most"),
        made(loop, FILE.replace("drives = 9", "drives = 9\nguard = 4e-3")),
    ):
        pass
    assert loop.log[-2:] == ["safe", "close"]


def test_a_medium_that_rings_too_long_is_refused() -> None:
    loop = Loop(impulses(ring=30e-3))
    with pytest.raises(InputError, match="the bench must be as its file says"), made(loop):
        pass


def test_a_weak_pilot_is_refused_with_the_way_out() -> None:
    loop = Loop(impulses(), noise=2e-2)
    with (
        pytest.raises(InputError, match=r"pilot_amplitude|above the noise"),
        made(loop, FILE.replace("drives = 9", "drives = 9\nguard = 0.02\npilot_amplitude = 0.001")),
    ):
        pass


def test_a_burst_must_hold_a_row() -> None:
    with pytest.raises(SpecError, match=r"must hold 2 rows, the dark ones included, and by chunk.seconds"):
        made(Loop(impulses()), FILE.replace("seconds = 60.0", "seconds = 0.01"))


def test_a_fault_while_it_is_opened_costs_an_attempt() -> None:
    loop = Loop(impulses())
    loop.broken += ["fetch", "arm"]
    with made(loop) as bench:
        assert bench.faults["timeout"] == 2
        assert bench.measure(drives(2), np.arange(2)).valid is not None
