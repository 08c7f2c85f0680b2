"""The CUDA kernel of the Schroedinger equation: in the interpreter, and on a device where one is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.validation_cases.waveguide_pulses import DISPERSION_LENGTH, T0, error, guide, soliton
from physnet.errors import SpecError
from physnet.simulators.nonlinear_waveguide import NonlinearWaveguide
from physnet.simulators.waveguide_cuda import CudaSolver, why_not_resident
from physnet.simulators.waveguide_cuda_tables import lay_out
from physnet.simulators.waveguide_medium import Complexes, TimeGrid, Waveguide
from physnet.simulators.waveguide_routes import Backend
from physnet.simulators.waveguide_solver import Propagated
from physnet.simulators.waveguide_torch import TorchSolver
from physnet.testing import random_drives

from .shared_memory_watch import conflicts

EPSILON = 2.0**-24
LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192]
EFFECTS: dict[str, dict[str, Any]] = {
    "kerr": {},
    "late": {"raman_fraction": 0.18, "beta3": 0.13e-39, "attenuation": 0.1},
}


def propagated(
    waveguide: Waveguide, grid: TimeGrid, steps: int, field: torch.Tensor, device: str = "cpu"
) -> Propagated:
    return CudaSolver(waveguide, grid, steps=steps, device=device).propagate(field).to(torch.device("cpu"))


def pulses(grid: TimeGrid, rows: int) -> torch.Tensor:
    """Chirped pulses of 0.3 to 1.5 times a soliton's amplitude, each another one."""
    rng = np.random.default_rng(grid.samples)
    chirp = np.exp(1j * rng.uniform(-1, 1, (rows, 1)) * (grid.time / T0) ** 2)
    return torch.from_numpy(rng.uniform(0.3, 1.5, (rows, 1)) * soliton(grid, 1, 0.0) * chirp)


def rounding(samples: int, steps: int, turn: float = 2 * 1.5**2) -> float:
    """Return by how much single precision may be off, relative to the norm.

    A transform rounds by epsilon * sqrt(log2(samples)) / 2 or so, a step has two and as much again for its factors and
    its phase. Factors are rounded once, and act the same way in each step: 1/3 epsilon * steps. Nonlinearity turns an
    error of amplitude into one of phase: `turn` is twice the phase of the highest peak in a dispersion length.
    """
    step = 2 * math.sqrt(math.log2(samples)) * EPSILON
    return (step * math.sqrt(steps) + EPSILON / 3 * steps) * (1 + turn)


@dataclass(frozen=True, kw_only=True)
class Filter(Waveguide):
    """A guide whose spectrum gets random factors."""

    def linear(self, grid: TimeGrid, distance: float) -> Complexes:
        return np.random.default_rng(1).normal(size=(grid.samples, 2)).view(np.complex128)[:, 0]


@pytest.mark.parametrize("samples", LENGTHS)
def test_both_transforms_are_those_of_numpy(interpreter: Callable[..., Any], samples: int) -> None:
    rows = 2 * lay_out(samples).rows + 1 if samples < 512 else 1
    field = np.random.default_rng(samples).normal(size=(rows, samples, 2)).view(np.complex128)[..., 0]
    grid = TimeGrid(samples=samples, window=1e-12)
    guide = Filter(length=1.0, gamma=0.0)
    found = interpreter(propagated, guide, grid, 1, torch.from_numpy(field))
    spectrum = np.fft.fft(field)
    # Each of log2(samples) sums of two rounds by epsilon / sqrt(3) and a factor by as much; they add at random, twice.
    # A single point with a wrong factor, or in a wrong place, is off by 1 / sqrt(samples) = 0.016 at least.
    bound = 2 * 2 * math.sqrt(math.log2(samples)) * EPSILON
    assert error(found.field_NT.numpy(), np.fft.ifft(spectrum * guide.linear(grid, 1.0))) < bound
    for seen_N, part, edge in (
        (found.time_edge_N, field, grid.window_edge), (found.spectrum_edge_N, spectrum, grid.spectrum_edge),
    ):  # fmt: skip
        energy = np.abs(part) ** 2
        end = np.abs(found.field_NT.numpy() if part is field else spectrum * guide.linear(grid, 1.0)) ** 2
        share = np.maximum((energy * edge).sum(1) / energy.sum(1), (end * edge).sum(1) / end.sum(1))
        assert np.allclose(seen_N.numpy(), share, rtol=samples * EPSILON)


@pytest.mark.parametrize("samples", LENGTHS)
def test_every_sample_and_every_bin_has_one_place(samples: int) -> None:
    layout = lay_out(samples)
    assert math.prod(layout.radices) == samples
    for place_KA in (*layout.place_PKA, layout.bin_KA):
        assert np.array_equal(np.sort(place_KA.ravel()), np.arange(samples))
    # Threads of half a warp that meet a pair of banks twice wait for each other.
    for base_A, offset_K in zip(layout.bases(), layout.offsets(), strict=True):
        for half in base_A.reshape(-1, 16) if samples >= 1024 else []:
            assert len(set((half + offset_K[5]) % 16)) == 16


@pytest.mark.parametrize(("samples", "rows", "steps"), [(128, 6, 12), (256, 3, 10), (512, 1, 6)])
@pytest.mark.parametrize("effects", EFFECTS)
def test_it_agrees_with_the_plain_solver(
    interpreter: Callable[..., Any], samples: int, rows: int, steps: int, effects: str
) -> None:
    grid, waveguide = TimeGrid(samples=samples, window=40 * T0), guide(**EFFECTS[effects])
    field = pulses(grid, rows)
    plain = TorchSolver(waveguide, grid, steps=steps).propagate(field)
    found = interpreter(propagated, waveguide, grid, steps, field)
    assert error(found.field_NT.numpy(), plain.field_NT.numpy()) < rounding(samples, steps)
    assert torch.allclose(found.phase_N.double(), plain.phase_N, rtol=1e-4)
    for name in ("time_edge_N", "spectrum_edge_N"):
        exact, seen = (getattr(end, name).double() for end in (plain, found))
        assert (seen - exact).abs().max() < 1e-6 + 1e-3 * exact.max()


def test_a_soliton_keeps_its_shape_over_a_period_and_its_energy(interpreter: Callable[..., Any]) -> None:
    grid, steps = TimeGrid(samples=128, window=20 * T0), 60
    length = math.pi / 2 * DISPERSION_LENGTH
    start = soliton(grid, 1, 0.0)
    field = torch.from_numpy(start[None])
    waveguide = guide(length=length)
    end = interpreter(propagated, waveguide, grid, steps, field).field_NT.numpy()[0]
    plain = TorchSolver(waveguide, grid, steps=steps).propagate(field).field_NT.numpy()[0]
    # The steps err by 1/24 of their square or so, in dispersion lengths, over the period: 1e-4.
    assert error(plain, soliton(grid, 1, length)) < 1e-3
    assert error(end, plain) < rounding(grid.samples, steps, turn=math.pi)
    # Each step rounds the energy by some epsilon, the same way at worst: sines and cosines are off by 2.
    change = np.sum(np.abs(end.astype(np.complex128)) ** 2) / np.sum(np.abs(start) ** 2) - 1
    assert abs(change) < 4 * steps * EPSILON


def test_large_phases_turn_as_far_as_they_should(interpreter: Callable[..., Any]) -> None:
    grid, length = TimeGrid(samples=128, window=40 * T0), 8 * DISPERSION_LENGTH
    waveguide = guide(beta2=0.0, length=length)
    field = torch.from_numpy(np.array([[1.0], [3.0], [5.0]]) * soliton(grid, 1, 0.0).real) + 0j
    phase = waveguide.gamma * field.abs().square() * length
    assert 7 < float(phase[0].max()) < float(phase.max()) == pytest.approx(200.0)
    # 5 steps to 4 stations: eight half ones, in which a mistake of quadrants cancels, and a whole one of 26.
    end = interpreter(propagated, waveguide, grid, 5, field).field_NT.to(torch.complex128)
    # Two transforms before a phase round the field by up to 4 epsilon, thus the power by 8, its square and its product
    # with the gain by 1 each: 200 rad of phase are off by 10 of it. A quadrant adds 2, the expected phase 4.
    assert (end - field * torch.exp(1j * phase)).abs().max() < 16 * EPSILON * 200 * field.abs().max()


def test_a_row_does_not_depend_on_the_others(interpreter: Callable[..., Any]) -> None:
    grid = TimeGrid(samples=128, window=40 * T0)
    field, waveguide = pulses(grid, 9).to(torch.complex64), guide(raman_fraction=0.18)
    together = interpreter(propagated, waveguide, grid, 3, field).field_NT
    for row in (0, 6):
        assert torch.equal(interpreter(propagated, waveguide, grid, 3, field[row : row + 1]).field_NT[0], together[row])
    assert interpreter(propagated, waveguide, grid, 3, field[:0]).field_NT.shape == (0, 128)


@pytest.mark.parametrize("samples", [128, 512])
def test_no_thread_reads_what_another_one_writes_without_a_barrier_between(
    interpreter: Callable[..., Any], samples: int
) -> None:
    grid, rows = TimeGrid(samples=samples, window=40 * T0), lay_out(samples).rows  # one block
    used, found = interpreter(
        conflicts, propagated, guide(raman_fraction=0.18), grid, 2, pulses(grid, rows).to(torch.complex64)
    )
    # Two numbers of each sample at least are seen between barriers, of which a step has more than four.
    assert used > 2 * 4 * rows * samples
    assert found == []


def test_what_is_no_number_is_seen(interpreter: Callable[..., Any]) -> None:
    grid = TimeGrid(samples=128, window=40 * T0)
    field = pulses(grid, 3)
    field[1, 60] = math.nan
    seen = interpreter(propagated, guide(), grid, 2, field)
    for share_N in (seen.time_edge_N, seen.spectrum_edge_N):
        assert share_N.isnan().tolist() == [False, True, False]


def test_what_the_kernel_cannot_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    short, long = (TimeGrid(samples=samples, window=40e-12) for samples in (128, 16384))
    assert why_not_resident(guide(), short, "cpu") is None
    assert "self-steepening" in str(why_not_resident(guide(self_steepening=True), short, "cpu"))
    assert "8192 samples, not 16384" in str(why_not_resident(guide(), long, "cpu"))
    assert "the device is meta" in str(why_not_resident(guide(), short, "meta"))
    with pytest.raises(SpecError, match="got 'cuda': the kernel knows no self-steepening"):
        CudaSolver(guide(self_steepening=True), short, steps=3, device="cpu")


def responses(backend: Backend) -> tuple[torch.Tensor, str]:
    options: dict[str, Any] = {"drives": 7, "responses": 12, "samples": 128, "steps": 3, "length": 0.1}
    system = NonlinearWaveguide(**options, order=4, backend=backend)
    drive = random_drives(system.spec, rows=3, seed=0)
    assert isinstance(drive, torch.Tensor)
    found = system.measure(drive, np.arange(3)).response
    assert isinstance(found, torch.Tensor)
    return found, system.spec.identity["solver"]


def test_a_system_is_stepped_by_it_on_request(interpreter: Callable[..., Any]) -> None:
    plain, _ = responses("torch")
    found, solver = interpreter(responses, "cuda")
    assert solver == "cuda"
    # 9 steps of some 4 roundings of 2^-24 each, added at random: 4e-7 of the field, twice of an energy.
    assert 0 < (found - plain).abs().max() < 2e-6 * plain.max()


@pytest.mark.gpu
@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("effects", EFFECTS)
def test_a_device_agrees_with_the_plain_solver(samples: int, effects: str) -> None:
    grid, waveguide, steps = TimeGrid(samples=samples, window=40 * T0), guide(**EFFECTS[effects]), 200
    field = pulses(grid, 257)
    plain = TorchSolver(waveguide, grid, steps=steps).propagate(field)
    found = propagated(waveguide, grid, steps, field, "cuda")
    assert error(found.field_NT.numpy(), plain.field_NT.numpy()) < rounding(samples, steps)
    assert torch.equal(found.field_NT[200:201], propagated(waveguide, grid, steps, field[200:201], "cuda").field_NT)
    assert torch.allclose(found.phase_N.double(), plain.phase_N, rtol=1e-4)
