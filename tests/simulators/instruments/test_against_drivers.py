"""The drivers of the generator and the oscilloscope against their simulation: two codes that share nothing."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.instruments.keysight_infiniivision import KeysightInfiniiVision
from physnet.drivers.roles import DetectorSetup, SourceSetup
from physnet.drivers.transport import Deadline
from physnet.errors import TransportError
from physnet.simulators.instruments.faults import FaultPlan
from physnet.simulators.instruments.generator import Generator
from physnet.simulators.instruments.medium import Wire
from physnet.simulators.instruments.oscilloscope import Oscilloscope
from physnet.simulators.instruments.rig import Rig
from physnet.simulators.instruments.server import InstrumentServer

RATE = 64e3
PLAYS = SourceSetup(channels=(1, 2), sample_rate=RATE, peak=(0.2, 0.3), load=(50.0, np.inf))
LISTENS = DetectorSetup(channels=(2, 1), sample_rate=RATE, points=900, segments=1, full_scale=(0.5, 0.25))


@contextlib.contextmanager
def bench(
    *, faults: FaultPlan | None = None, **generator: Any
) -> Iterator[tuple[Rig, Keysight33500B, KeysightInfiniiVision]]:
    rig = Rig(Wire(gains=((1.0, 0.0), (0.5, 1.0)), span=2e-3), sources=(1, 2), detectors=(1, 2))
    playing = Generator(rig, load=(50.0, np.inf), **generator)
    listening = Oscilloscope(rig, noise=0.0, faults=faults)
    with (
        InstrumentServer(playing) as one,
        InstrumentServer(listening, faults=faults) as two,
        Keysight33500B(resource=one.resource, timeout=0.5) as source,
        KeysightInfiniiVision(resource=two.resource, timeout=0.5) as detector,
    ):
        yield rig, source, detector


def rows(seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    wave_NCT = np.zeros((2, 2, 400))
    wave_NCT[:, :, 1:-1] = np.random.default_rng(seed).uniform(-1, 1, (2, 2, 398))
    wave_NCT *= np.array([0.15, 0.3])[:, None]
    return wave_NCT


@pytest.mark.parametrize("scaling", ["waveform", "converter"])
def test_a_burst_comes_back_as_it_was_asked_for(scaling: str) -> None:
    with bench(scaling=scaling) as (rig, source, detector):
        assert source.simulated and detector.simulated
        source.setup(PLAYS)
        made = detector.setup(LISTENS)
        for seed in range(2):  # the second burst spans something else
            wave_CS = rows(seed).transpose(1, 0, 2).reshape(2, -1) * (1 - 0.7 * seed)
            source.load(wave_CS.reshape(2, 2, -1).transpose(1, 0, 2))
            detector.arm()
            source.arm()
            source.fire()
            assert detector.wait(Deadline.after(5)) == 1
            source.finish(Deadline.after(5))
            capture = detector.fetch()
            assert not capture.clipped().any()
            first = round(-capture.start * made.sample_rate)
            two, one = capture.volts()[0, :, first : first + wave_CS.shape[1]]
            # Half a code of the oscilloscope (range / 256 / 2), and of the generator: its codes, and the four digits of
            # an amplitude, 5e-4 of the voltage, of which the driver knows what was made of it but rounds to codes.
            assert np.abs(one - wave_CS[0]).max() < 0.5 / 512 + 0.15 * 5e-4 + 1e-5
            assert np.abs(two - 0.5 * wave_CS[0] - wave_CS[1]).max() < 1.0 / 512 + 0.3 * 5e-4 + 1e-5
        source.make_safe()
        assert rig.log[-1].kind == "off"
        source.check_errors()
        detector.check_errors()


def test_each_cycle_of_a_marked_burst_is_a_segment_and_a_missed_one_is_counted() -> None:
    faults = FaultPlan(script=[(1, "missed_trigger")])
    with bench(faults=faults) as (_, source, detector):
        source.setup(PLAYS)
        detector.setup(dataclasses.replace(LISTENS, segments=3, points=300))
        source.session.write("OUTP:SYNC:MODE CARR", "SOUR1:BURS:NCYC 4", "SOUR2:BURS:NCYC 4")
        source.load(rows())
        detector.arm(3)
        source.arm()
        source.fire()
        assert detector.wait(Deadline.after(5)) == 3
        source.finish(Deadline.after(5))
        capture = detector.fetch()
        assert capture.codes_NCT.shape[0] == capture.counted == 3
        # The wire has no memory: all cycles are alike.
        assert np.array_equal(capture.codes_NCT[0], capture.codes_NCT[2])
        detector.arm(3)
        source.arm()
        source.session.write("SOUR1:BURS:NCYC 2", "SOUR2:BURS:NCYC 2")
        source.fire()
        assert detector.wait(Deadline.after(0.1)) == 2


@pytest.mark.parametrize(
    "kind", ["truncated", "wrong_length", "stale", "garbage", "extra", "stall", "dropped", "refused", "overload"]
)
def test_a_fault_while_a_record_is_read_is_noticed_and_recovered_from(kind: str) -> None:
    plan = FaultPlan()
    with bench(faults=plan) as (_, source, detector):
        source.setup(PLAYS)
        detector.setup(LISTENS)
        source.load(rows())
        detector.arm()
        source.arm()
        source.fire()
        detector.wait(Deadline.after(5))
        plan.add(kind)
        with pytest.raises(TransportError):
            detector.fetch()
            detector.check_errors()
        assert sum(plan.counts.values()) == 1
        detector.recover()
        detector.setup(LISTENS)
        source.finish(Deadline.after(5))
        source.load(rows())
        detector.arm()
        source.arm()
        source.fire()
        assert detector.wait(Deadline.after(5)) == 1
        assert detector.fetch().counted == 1
