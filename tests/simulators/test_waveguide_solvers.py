"""The solvers of the nonlinear Schroedinger equation against its exact solutions, invariants, and each other."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.validation_cases.waveguide_pulses import (
    BETA2,
    DISPERSION_LENGTH,
    GAMMA,
    GRID,
    SOLITON,
    T0,
    error,
    extrapolated,
    guide,
    run,
    soliton,
)
from physnet.errors import SpecError
from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.waveguide_medium import TimeGrid
from physnet.simulators.waveguide_numba import NumbaSolver
from physnet.simulators.waveguide_torch import TorchSolver

EPSILON = 2.0**-24
needs_numba = pytest.mark.skipif(not is_available(), reason="needs numba")

EFFECTS: dict[str, dict[str, Any]] = {
    "kerr": {},
    "late": {"raman_fraction": 0.18, "beta3": 0.13e-39, "attenuation": 0.1},
    "steepened": {"raman_fraction": 0.18, "self_steepening": True},
}
COMPILED = pytest.param(NumbaSolver, marks=needs_numba)


@functools.cache
def exact_end(effects: str) -> NDArray[np.complex128]:
    return run(extrapolated(guide(**EFFECTS[effects]), GRID, steps=200), 1.5 * soliton(GRID, 1, 0.0))


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("make", [TorchSolver, extrapolated, COMPILED])
def test_the_error_falls_with_the_claimed_order(make: Any, effects: str) -> None:
    if make is NumbaSolver and effects == "steepened":
        with pytest.raises(SpecError, match="self-steepening"):
            make(guide(**EFFECTS[effects]), GRID, steps=10)
        return
    waveguide = guide(**EFFECTS[effects])
    field = 1.5 * soliton(GRID, 1, 0.0)
    # Errors of 1e-3 and more for single precision, whose rounding is below 1e-5; small steps for the asymptotic order.
    counts = (20, 40) if make is NumbaSolver else (40, 80)
    errors = [error(run(make(waveguide, GRID, steps=count), field), exact_end(effects)) for count in counts]
    claim = 4 if make is extrapolated else make.order
    assert abs(math.log2(errors[0] / errors[1]) - claim) < 0.2, errors


@pytest.mark.parametrize("make", [TorchSolver, COMPILED])
def test_the_fundamental_soliton_keeps_its_shape_and_turns_by_half_a_radian_a_length(make: Any) -> None:
    start, exact = soliton(GRID, 1, 0.0), soliton(GRID, 1, DISPERSION_LENGTH)
    coarse, fine = (error(run(make(guide(), GRID, steps=count), start), exact) for count in (50, 100))
    # Order 2 leaves a quarter; where 100 steps err by 4e-5, rounding (below 1e-5 for single precision) may add.
    assert fine < coarse / 4 + 1e-5
    assert fine < 1e-4
    assert error(run(extrapolated(guide(), GRID, steps=100), start), exact) < 1e-8


@pytest.mark.parametrize("make", [TorchSolver, COMPILED])
def test_without_dispersion_a_pulse_turns_by_gamma_p_z(make: Any) -> None:
    waveguide = guide(beta2=0.0, length=8 * DISPERSION_LENGTH)
    field = np.sqrt([[SOLITON], [25 * SOLITON]]) * np.exp(-((GRID.time / T0) ** 2) / 2)
    phase = GAMMA * np.abs(field) ** 2 * waveguide.length
    assert phase.max() == pytest.approx(200.0)
    steps = 4
    end = run(make(waveguide, GRID, steps=steps), field + 0j)
    # Two transforms before a phase round the field by up to 4 epsilon, thus the power by 8, its square and its product
    # with the gain by 1 each: 200 rad of phase are off by 10 of it. A quadrant adds 2, the expected phase 4.
    epsilon = EPSILON if make is NumbaSolver else 2.0**-53
    assert np.abs(end - field * np.exp(1j * phase)).max() < 16 * epsilon * 200 * np.abs(field).max()


def test_a_colour_arrives_when_its_group_velocity_says() -> None:
    waveguide = guide(gamma=0.0, beta3=2e-39, length=5.0, attenuation=0.2)
    grid = TimeGrid(samples=2048, window=40e-12)
    detuning = 2e12  # rad/s, to the blue
    start = np.exp(-((grid.time / 2e-12) ** 2) / 2 - 1j * detuning * grid.time)
    end = run(TorchSolver(waveguide, grid, steps=3), start)
    power = np.abs(end) ** 2
    delay = np.sum(power * grid.time) / np.sum(power)
    # beta3/2 also acts on the mean square of the spectrum's own width, 1 / (2 T0^2).
    expected = (BETA2 * detuning + 2e-39 / 2 * (detuning**2 + 1 / (2 * 2e-12**2))) * 5.0
    assert delay == pytest.approx(expected, rel=1e-9)
    assert delay < 0  # anomalous: blue travels faster
    assert np.sum(power) == pytest.approx(np.sum(np.abs(start) ** 2) * math.exp(-1.0), rel=1e-12)


def test_self_steepening_delays_the_peak_as_a_simple_wave() -> None:
    # P_z + 3 gamma / w0 P P_t = 0 without dispersion: P(t) = P0(t - 3 gamma P z / w0). The bandwidth of a grid must
    # stay below twice the carrier; near 10 um the shock is strong.
    grid = TimeGrid(samples=1024, window=20e-12)
    waveguide = guide(beta2=0.0, self_steepening=True, wavelength=10e-6, length=1.0, gamma=1e-3)
    peak, width = 2e4, 1e-12
    end = run(TorchSolver(waveguide, grid, steps=200), math.sqrt(peak) * np.exp(-((grid.time / width) ** 2) / 2) + 0j)
    power = peak * np.exp(-((grid.time / width) ** 2))
    for _ in range(200):
        power = peak * np.exp(-(((grid.time - 3e-3 * power / waveguide.carrier) / width) ** 2))
    assert 3e-3 * peak / waveguide.carrier > 0.3 * width
    # Runge-Kutta of order 4: 0.1 rad a step, 0.1^5 / 120 of it lost, times 200 steps: 2e-5, most of it in the phase.
    assert np.abs(np.abs(end) ** 2 - power).max() < 2e-5 * peak


def test_a_soliton_is_shifted_to_the_red_by_the_late_response() -> None:
    grid = TimeGrid(samples=512, window=40e-12)
    t0, fraction = 1e-12, 0.18
    length = 2 * t0**2 / abs(BETA2)
    waveguide = guide(raman_fraction=fraction, length=length)
    start = math.sqrt(abs(BETA2) / (GAMMA * t0**2)) / np.cosh(grid.time / t0)
    spectrum = np.abs(np.fft.fft(run(TorchSolver(waveguide, grid, steps=400), start + 0j))) ** 2
    shift = np.sum(spectrum * grid.detuning) / np.sum(spectrum)
    first = 2 * 12.2e-15**2 * 32e-15 / (12.2e-15**2 + 32e-15**2)  # first moment of the response
    # J. P. Gordon, Opt. Lett. 11, 662 (1986): to first order in response time over duration; the next is (32 fs /
    # 1 ps)^2 = 1e-3 of it, times a few.
    assert shift == pytest.approx(-8 * abs(BETA2) * fraction * first / (15 * t0**4) * length, rel=1e-2)


@pytest.mark.parametrize("make", [TorchSolver, COMPILED])
@pytest.mark.parametrize("fraction", [0.0, 0.18])
def test_energy_stays_without_loss(make: Any, fraction: float) -> None:
    steps = 100
    start = 2 * soliton(GRID, 1, 0.0)
    end = run(make(guide(raman_fraction=fraction), GRID, steps=steps), start)
    # Each step rounds the energy by some epsilon, the same way at worst: sines and cosines are off by 2.
    epsilon = EPSILON if make is NumbaSolver else 2.0**-53
    change = np.sum(np.abs(end) ** 2) / np.sum(np.abs(start) ** 2) - 1
    assert abs(change) < 4 * steps * epsilon


def test_photons_stay_with_self_steepening_while_energy_does_not() -> None:
    waveguide = guide(self_steepening=True, raman_fraction=0.18)
    start = 2 * soliton(GRID, 1, 0.0)
    frequency = 1 + GRID.detuning / waveguide.carrier

    def change(steps: int, weight: NDArray[Any]) -> float:
        end = run(TorchSolver(waveguide, GRID, steps=steps), start)
        before, after = (np.sum(np.abs(np.fft.fft(field)) ** 2 * weight) for field in (start, end))
        return float(abs(after / before - 1))

    coarse, fine = change(100, 1 / frequency), change(200, 1 / frequency)
    # Runge and Kutta's step loses phase^6 / 72 of the norm, with 0.16 rad at the highest peak: 100 * 0.16^6 / 72 =
    # 2.3e-5 at most; half the step loses 2^5 less.
    assert coarse < 2.3e-5
    assert fine < coarse / 16
    assert change(200, np.ones_like(frequency)) > 1000 * fine


@needs_numba
@pytest.mark.parametrize("samples", [128, 256, 512, 1024, 2048])
@pytest.mark.parametrize("effects", ["kerr", "late"])
def test_the_compiled_solver_agrees_with_the_plain_one(samples: int, effects: str) -> None:
    grid = TimeGrid(samples=samples, window=40 * T0)
    waveguide, steps = guide(**EFFECTS[effects]), 120
    rng = np.random.default_rng(samples)
    chirp = np.exp(1j * rng.uniform(-1, 1, (21, 1)) * (grid.time / T0) ** 2)
    field = torch.from_numpy(rng.uniform(0.3, 1.5, (21, 1)) * soliton(grid, 1, 0.0) * chirp)
    ends = [solver(waveguide, grid, steps=steps).propagate(field) for solver in (TorchSolver, NumbaSolver)]
    # A transform rounds by epsilon * sqrt(log2(samples)) / 2 or so, a step has two and as much again for its factors
    # and its phase. Factors are rounded once, and act the same way in each step: 1/3 epsilon * steps. Nonlinearity
    # turns an error of amplitude into one of phase: times 1 + 2 * (1.5^2 = 2.25 rad).
    step = 2 * math.sqrt(math.log2(samples)) * EPSILON
    bound = (step * math.sqrt(steps) + EPSILON / 3 * steps) * (1 + 2 * 2.25)
    assert error(ends[1].field_NT.numpy(), ends[0].field_NT.numpy()) < bound
    assert torch.allclose(ends[1].phase_N.double(), ends[0].phase_N, rtol=1e-4)
    for name in ("time_edge_N", "spectrum_edge_N"):
        plain, compiled = (getattr(end, name).double() for end in ends)
        assert (compiled - plain).abs().max() < 1e-6 + 1e-3 * plain.max()


@pytest.mark.parametrize("make", [TorchSolver, COMPILED])
def test_a_row_does_not_depend_on_the_others_nor_on_threads(make: Any) -> None:
    solver = make(guide(raman_fraction=0.18), GRID, steps=9)
    rng = np.random.default_rng(0)
    field = torch.from_numpy(rng.uniform(0.5, 1.5, (70, 1)) * soliton(GRID, 1, 0.0)).to(torch.complex64)
    together = solver.propagate(field).field_NT
    for row in (0, 17, 40, 69):
        assert torch.equal(solver.propagate(field[row : row + 1]).field_NT[0], together[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 3)
        assert torch.equal(solver.propagate(field).field_NT, together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("make", [TorchSolver, COMPILED])
def test_what_is_seen_on_the_way_is_the_worst_of_it(make: Any) -> None:
    # The second soliton narrows in the middle of its period: its peak is four times as high there, its spectrum wide.
    grid = TimeGrid(samples=128, window=20 * T0)
    waveguide = guide(length=math.pi / 2 * DISPERSION_LENGTH)
    seen = make(waveguide, grid, steps=200).propagate(torch.from_numpy(soliton(grid, 2, 0.0)[None]))
    step = waveguide.length / 200
    assert float(seen.phase_N) == pytest.approx(4 * 4 * GAMMA * SOLITON * step, rel=0.01)
    narrow = np.abs(np.fft.fft(soliton(grid, 2, waveguide.length / 2))) ** 2
    share = narrow[grid.spectrum_edge].sum() / narrow.sum()
    # The tail falls by e over two bins: where it is off by one, the share is by a factor of 2. The ends have none.
    assert share / 2 < float(seen.spectrum_edge_N) < share * 2
    late = np.roll(soliton(grid, 1, 0.0), 64)  # tanh(4 * 20 / 128) = 0.55 of it lie within 4 samples of the ends
    assert float(make(guide(), grid, steps=4).propagate(torch.from_numpy(late[None])).time_edge_N) > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 100, "window": 1e-12}, "power of two"),
        ({"samples": 128, "window": 0.0}, "window must be > 0 s"),
    ],
)
def test_an_impossible_grid_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        TimeGrid(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 0.0}, "length of a waveguide must be > 0 m"),
        ({"gamma": -1.0}, "gamma of a waveguide must be >= 0"),
        ({"raman_fraction": 1.0}, "raman_fraction"),
        ({"beta2": math.nan}, "beta2 of a waveguide must be finite"),
    ],
)
def test_an_impossible_waveguide_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        guide(**change)


def test_a_spectrum_that_reaches_down_to_nothing_is_refused_with_self_steepening() -> None:
    with pytest.raises(SpecError, match="twice the carrier"):
        guide(self_steepening=True).steepening(TimeGrid(samples=1024, window=1e-12))
