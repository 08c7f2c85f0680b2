from __future__ import annotations

import numpy as np
import pytest

from physnet.errors import SpecError
from physnet.simulators.instruments.acoustic_medium import AcousticMedium
from physnet.simulators.instruments.medium import Wire
from physnet.simulators.instruments.rig import Burst, Rig, Trace


class Ear:
    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def hear(self, trace: Trace) -> None:
        self.traces.append(trace)


def test_a_burst_goes_through_the_medium_to_the_channels_it_is_connected_to() -> None:
    wire = Wire(gains=((0.5, 0.0), (1.0, -1.0)), delay=2e-3, span=3e-3)
    rig, ear = Rig(wire, sources=(2, 1), detectors=(3, 4)), Ear()
    rig.connect(ear)
    one, two = np.arange(1.0, 11.0), np.full(10, 2.0)
    rig.play(Burst(volts={1: one, 2: two}, sample_rate=1e3, rises=(0,), falls=(10,)))
    (trace,) = ear.traces
    # 2 samples late, and 3 more than the burst's 10.
    assert np.array_equal(trace.volts[3], [0, 0, *(0.5 * two), 0])
    assert np.array_equal(trace.volts[4], [0, 0, *(two - one), 0])
    assert (trace.rises[0], trace.falls[0], trace.number) == (0.0, 0.01, 0)
    # A channel that is not connected is at 0 V, and so is every one before and after the burst.
    assert not trace.at(1, np.array([5e-3])).any()
    assert np.array_equal(trace.at(3, np.array([-1e-3, 5e-3, 1.0])), [0.0, 1.0, 0.0])


def test_between_samples_a_tone_is_itself() -> None:
    rate, tone = 64e3, 2200.0
    time_T = np.arange(640) / rate
    trace = Trace(
        volts={1: np.sin(2 * np.pi * tone * time_T)}, sample_rate=rate, rises=np.zeros(1), falls=np.zeros(1), number=0
    )
    between_T = np.asarray(
        (np.arange(50, 590) + 0.37) / rate, np.float64
    )  # off the ends, where a spline knows one side only
    # What the docstring of `at` says, and rounding.
    bound = (2 * np.pi * tone / rate) ** 4 / 384 + 1e-12
    assert np.abs(trace.at(1, between_T) - np.sin(2 * np.pi * tone * between_T)).max() < bound


def test_alternating_coupling_takes_a_constant_away_with_the_time_of_its_corner() -> None:
    trace = Trace(volts={1: np.ones(10_000)}, sample_rate=1e5, rises=np.zeros(1), falls=np.zeros(1), number=0)
    corner = 100.0
    time_T = np.asarray(np.arange(100, 2000, 100) / 1e5, np.float64)
    # A first-order high-pass answers a step with exp(-2 pi f t). The bilinear transform is off by (pi f / rate)^2 / 3,
    # 3e-6, and its step is half a sample wide: pi f / rate = 3e-3.
    assert np.allclose(trace.at(1, time_T, corner=corner), np.exp(-2 * np.pi * corner * time_T), atol=4e-3)


def test_crossings_are_found_between_samples() -> None:
    wave_T = np.array([0.0, 0.0, 1.0, 3.0, 1.0, -1.0, 0.0])
    trace = Trace(volts={1: wave_T}, sample_rate=10.0, rises=np.zeros(1), falls=np.zeros(1), number=0)
    rises, falls = trace.crossings(1, 0.5)
    assert np.allclose(rises, [0.15], atol=1e-12)
    assert np.allclose(falls, [0.425], atol=1e-12)


def test_a_medium_with_other_channels_is_refused() -> None:
    with pytest.raises(SpecError, match="as many"):
        Rig(Wire(), sources=(1, 2))


@pytest.mark.parametrize("options", [{"gains": ()}, {"gains": ((1.0,), (1.0, 2.0))}, {"delay": -1.0}, {"span": np.inf}])
def test_a_wire_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="wire"):
        Wire(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [16e3, 64e3])
def test_sound_of_an_earlier_row_is_there_in_a_later_one_and_has_decayed_at_the_end(rate: float) -> None:
    medium = AcousticMedium(sources=1, detectors=2, reverberation=0.01, seed=2, loudspeaker=3.0, microphone=0.5)
    row = round(5e-3 * rate)
    volts_ST = np.zeros((1, 2 * row))
    volts_ST[0, :row] = 0.2 * np.sin(2 * np.pi * 1000 * np.arange(row) / rate)
    heard_CT = medium.respond(volts_ST, rate)
    assert heard_CT.shape == (2, 2 * row + round(0.02 * rate))
    # 60 dB in 10 ms: 5 ms after its end sound is 30 dB quieter, and 25 ms after it 150 dB; walls take some more.
    loudest = np.abs(heard_CT[:, :row]).max()
    assert 1e-3 * loudest < np.abs(heard_CT[:, row : 2 * row]).max() < loudest
    assert np.abs(heard_CT[:, -round(1e-3 * rate) :]).max() < 1e-6 * loudest
    twice_CT = medium.respond(2 * volts_ST, rate)
    # Linear: what double precision rounds in a convolution of some 10^3 numbers.
    assert np.allclose(twice_CT, 2 * heard_CT, rtol=0, atol=1e-12 * loudest)


def test_an_acoustic_medium_refuses_what_belongs_to_the_instruments() -> None:
    with pytest.raises(SpecError, match="leave out slots"):
        AcousticMedium(sources=1, detectors=1, slots=3)
    with pytest.raises(SpecError, match="no such option"):
        AcousticMedium(sources=1, detectors=1, colour="blue")
    with pytest.raises(SpecError, match="microphone"):
        AcousticMedium(sources=1, detectors=1, microphone=0.0)
