"""Band energies are energies of bands, in the shape of the responses they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.contracts import DriveSpec, ResponseSpec, SystemSpec
from physnet.controls.bands import BandEnergies, band_edges
from physnet.errors import SpecError
from physnet.passes import Purpose, pass_numbers
from physnet.testing.conformance import check_system

RATE = 16_000.0


def spec_of(
    samples: int = 1024, responses: int = 12, dtype: str = "float32", drive: str = "float32", shape: int = 1
) -> SystemSpec:
    return SystemSpec(
        name="cavity",
        kind="simulated",
        drive=DriveSpec(shape=(samples,) * shape, low=-1.0, dtype=drive),
        response=ResponseSpec(shape=(responses,), unit="Pa2 s", dtype=dtype),
    )


def energies(sound: np.ndarray, *, slices: int = 1, **options: Any) -> np.ndarray:
    with BandEnergies(spec_of(samples=sound.shape[1], **options), rate=RATE, slices=slices) as bands:
        return np.asarray(bands.measure(sound, pass_numbers(Purpose.CONTROL, rows=len(sound))).response)


def sine(frequency: float, samples: int = 1024) -> np.ndarray:
    return np.asarray(np.sin(2 * np.pi * frequency / RATE * np.arange(samples))[None], np.float32)


@pytest.mark.parametrize("slices", [1, 3])
def test_a_filter_bank_keeps_the_contract(slices: int) -> None:
    check_system(lambda: BandEnergies(spec_of(samples=100), rate=RATE, slices=slices))


@pytest.mark.parametrize("period", [1, 20, 100, 300, 511])
def test_a_sine_is_heard_in_its_own_band(period: int) -> None:
    frequency = period * RATE / 1024  # whole periods, so that it has one frequency only
    edge = band_edges(12, RATE)
    (own,) = np.flatnonzero((edge[:-1] <= frequency) & (frequency < edge[1:]))
    found = energies(sine(frequency))[0]
    # Half the amplitude's square times its 1 024 samples; a frequency near an edge is shared with the neighbour.
    assert found.sum() == pytest.approx(512, rel=1e-5)
    near = min(abs(edge[own] - frequency), abs(edge[own + 1] - frequency)) < RATE / 2048
    neighbours = [band for band in (own - 1, own, own + 1) if 0 <= band < 12]
    assert found[neighbours if near else own].sum() == pytest.approx(512, rel=1e-5)


def test_a_sine_that_begins_late_is_heard_in_the_later_slice_only() -> None:
    sound = sine(2000.0)
    sound[:, :512] = 0
    found = energies(sound, slices=2)[0]
    assert not found[:6].any()
    edge = band_edges(6, RATE)
    assert found[6:].argmax() == np.searchsorted(edge, 2000.0) - 1


@pytest.mark.parametrize(("samples", "slices", "responses"), [(1024, 1, 12), (1023, 1, 12), (1000, 3, 12), (64, 5, 12)])
def test_the_energies_add_up_to_that_of_the_sound(samples: int, slices: int, responses: int) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (4, samples)).astype(np.float32)
    found = energies(sound, slices=slices, responses=responses)
    assert found.shape == (4, responses)
    np.testing.assert_allclose(found.sum(1), (sound.astype(np.float64) ** 2).sum(1), rtol=1e-5)  # float32


def test_bands_are_as_wide_in_mel_and_reach_half_the_sample_rate() -> None:
    edge = band_edges(40, RATE)
    assert (edge[0], edge[-1]) == (0, pytest.approx(RATE / 2))
    np.testing.assert_allclose(np.diff(np.log10(1 + edge / 700)), np.log10(1 + 8000 / 700) / 40)


def test_a_complex_response_counts_twice() -> None:
    sound = sine(2000.0)
    found = energies(sound, dtype="complex64")
    assert (found.shape, found.dtype.name) == ((1, 12), "complex64")
    np.testing.assert_array_equal(found.view(np.float32), energies(sound, responses=24))


@pytest.mark.parametrize(
    ("options", "slices", "message"),
    [
        ({"drive": "complex64"}, 1, "real numbers along one axis, got complex64"),
        ({"samples": 8, "shape": 2}, 1, r"got float32 of shape \(8, 8\)"),
        ({}, 13, "band_slices must be 1 to 12 for 1024 samples and 12 responses of cavity, got 13"),
        ({"samples": 5}, 6, "band_slices must be 1 to 5 for 5 samples"),
    ],
)
def test_what_is_no_sound_is_refused(options: dict[str, Any], slices: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        BandEnergies(spec_of(**options), rate=RATE, slices=slices)
