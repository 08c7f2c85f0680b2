from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.errors import SpecError
from physnet.simulators.acoustic import AcousticCavity

SMALL: dict[str, Any] = {
    "drives": 6, "responses": 2, "size": (0.3, 0.24), "pitch": 0.03, "scatterers": 1, "reverberation": 0.01,
    "sources": 2, "tones": (1000.0,), "slots": 3, "seed": 3,
}  # fmt: skip


def drives(rows: int, count: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).random((rows, count), np.float32))


def test_a_drives_own_waveform_gives_the_cavitys_own_signals_by_stepping() -> None:
    cavity = AcousticCavity(**SMALL, route="field", strength=2.0)
    drive = drives(3)
    wave = 2.0 * cavity._codec.waveforms(drive)
    # The same solver and the same numbers: to the bit.
    assert np.array_equal(cavity.propagate(wave.numpy()), cavity.signals(drive).numpy())


def test_both_routes_give_the_same_trace_however_long_it_is() -> None:
    rng = np.random.default_rng(2)
    source_NST = np.zeros((1, 2, 9000))
    source_NST[:, :, :6000] = rng.standard_normal((1, 2, 6000))
    stepped = AcousticCavity(**SMALL, route="field").propagate(source_NST)
    convolved = AcousticCavity(**SMALL, route="transfer").propagate(source_NST)
    # Single against double precision. A wave survives some 36 steps to 1/e (60 dB in 250 steps), each of which rounds
    # by 2^-24 of the field: a random walk of 3.6e-7, of which the largest of 36 000 values is four deviations, 1.4e-6.
    # Coefficients are off by up to 2^-24, which adds up along a wave's way: 36 * 6e-8 = 2.1e-6. Together 3.5e-6 of a
    # field that may exceed what the microphones show.
    assert np.abs(stepped - convolved).max() < 1e-5 * np.abs(convolved).max()


def test_sound_rings_on_after_a_burst_and_decays_as_declared() -> None:
    cavity = AcousticCavity(**{**SMALL, "reverberation": 0.05}, admittance=0.0, route="transfer")
    step = cavity.scheme.time_step
    source_NST = np.zeros((1, 2, round(0.2 / step)))
    source_NST[0, 0, : round(5e-3 / step)] = np.sin(2 * np.pi * 1000 * np.arange(round(5e-3 / step)) * step)
    trace_T = cavity.propagate(source_NST)[0, 0]
    parts = np.array_split(trace_T[round(0.02 / step) :], 9)[::2]  # each 0.02 s, 0.04 s apart
    levels = 20 * np.log10([np.sqrt(np.mean(part**2)) for part in parts])
    # 60 dB in 0.05 s are 48 dB in 0.04 s; all modes decay alike without losses in walls, and beat by some decibels.
    assert np.allclose(np.diff(levels[:3]), -48.0, atol=4.0)


def test_a_nonlinear_cavity_is_stepped() -> None:
    cavity = AcousticCavity(**SMALL, elements=3, stiffness_frequency=300.0, threshold=0.1)
    source_NST = np.zeros((1, 2, 400))
    source_NST[0, :, 0] = 1.0
    once, twice = cavity.propagate(source_NST), cavity.propagate(2 * source_NST)
    assert np.abs(twice - 2 * once).max() > 1e-3 * np.abs(once).max()


def test_a_cavity_that_rings_for_ever_has_no_impulse_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("physnet.simulators.acoustic_waveforms._PARTS", 2)
    cavity = AcousticCavity(**{**SMALL, "reverberation": 1e3}, admittance=0.0, route="transfer")
    with pytest.raises(SpecError, match="route = 'field'"):
        cavity.propagate(np.zeros((1, 2, 10)))
