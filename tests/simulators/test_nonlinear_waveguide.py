"""The waveguide as a system: its contract, its shaper and detectors, what it refuses, and its gradient."""

from __future__ import annotations

import inspect
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from physnet.contracts import PhysicalSystem
from physnet.errors import MeasurementError, SpecError
from physnet.registry import arguments, options_model
from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.nonlinear_waveguide import NonlinearWaveguide
from physnet.simulators.pulse_detectors import EnergyDetector
from physnet.simulators.pulse_shaper import Pulse, Shaper
from physnet.simulators.waveguide_medium import TimeGrid
from physnet.testing import SystemConformance, random_drives

SMALL: dict[str, Any] = {"drives": 7, "responses": 12, "samples": 128, "steps": 20, "length": 1.0}
needs_numba = pytest.mark.skipif(not is_available(), reason="needs numba")


def line(**options: Any) -> NonlinearWaveguide:
    return NonlinearWaveguide(**{**SMALL, **options})


def drives(system: NonlinearWaveguide, rows: int = 5, seed: int = 0) -> torch.Tensor:
    drive = random_drives(system.spec, rows=rows, seed=seed)
    assert isinstance(drive, torch.Tensor)
    return drive


def respond(system: NonlinearWaveguide, drive: torch.Tensor) -> torch.Tensor:
    response = system.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    assert isinstance(response, torch.Tensor)
    return response


class TestPlain(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return line(backend="torch")


class TestAmplitude(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return line(backend="torch", modulator="amplitude", signed=True, response="time", precision="double")


class TestSteepened(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return line(raman_fraction=0.18, self_steepening=True)


@needs_numba
class TestCompiled(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return line(backend="numba", raman_fraction=0.18, order=4)


def test_its_options_can_be_read_from_a_file() -> None:
    model = options_model(NonlinearWaveguide)
    options = {**SMALL, "pulse": "gaussian", "response": "time"}
    assert NonlinearWaveguide(**arguments(model, options)).spec.response.shape == (12,)
    for name, parameter in inspect.signature(NonlinearWaveguide).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY, name
    json.dumps(line(gamma=0.0, beta2=0.0).spec.identity, allow_nan=False)


def test_a_row_does_not_depend_on_the_others_nor_on_threads() -> None:
    system = line()
    drive = drives(system, rows=75)
    together = respond(system, drive)
    for row in (0, 33, 74):
        assert torch.equal(respond(system, drive[row : row + 1])[0], together[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 3)
        assert torch.equal(respond(system, drive), together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("pulse", ["sech", "gaussian"])
def test_an_unshaped_pulse_has_its_energy_and_duration(pulse: Any) -> None:
    grid = TimeGrid(samples=4096, window=8e-12)
    source = Pulse(shape=pulse, duration=200e-15, energy=1e-9)
    power = np.abs(source.field(grid)) ** 2
    assert np.sum(power) * grid.step == pytest.approx(1e-9, rel=1e-9)  # the tails beyond 4 ps hold exp(-35)
    assert np.max(power) == pytest.approx(source.peak)
    above = grid.time[power > source.peak / 2]
    assert np.ptp(above) == pytest.approx(200e-15, abs=2 * grid.step)


def shaper(**options: Any) -> Shaper:
    grid = TimeGrid(samples=1024, window=20e-12)
    source = Pulse(shape="gaussian", duration=200e-15, energy=1e-9)
    return Shaper(grid, source, **{"bands": 60, "span": 12e12, "dtype": torch.complex128, **options})


def test_equal_bands_leave_a_pulse_as_it_is() -> None:
    open_ = shaper(modulator="amplitude")
    field = open_.shape(torch.ones(1, 60))[0].numpy()
    # The 2.2 THz of the pulse lie inside the 12 of the bands, but for erfc(sqrt(ln 2 / 2) * 12 / 2.2) = 6e-6 of it.
    assert np.abs(field - open_.pulse.field(open_.grid)).max() < 1e-5 * math.sqrt(open_.pulse.peak)
    half = shaper(modulator="amplitude").shape(torch.full((1, 60), -0.5))[0].numpy()
    assert np.allclose(half, -field / 2)


def test_a_slope_of_phase_delays_a_pulse() -> None:
    turned = shaper(modulator="phase")
    frequency = (torch.arange(60) + 0.5) * 0.2e12 - 6e12
    delay = 0.5e-12
    phase = 2 * math.pi * frequency * delay
    power = turned.shape(phase[None])[0].abs().square().numpy()
    # Steps of phase blurred by half a band: echoes at 1 / band = 5 ps are small, and symmetric about the pulse.
    assert np.sum(power * turned.grid.time) / np.sum(power) == pytest.approx(delay, rel=0.05)
    assert turned.grid.time[np.argmax(power)] == pytest.approx(delay, abs=turned.grid.step)


def test_one_band_passes_its_own_colour_only() -> None:
    closed = shaper(modulator="amplitude", spot=0.1)
    drive = torch.zeros(1, 60)
    drive[0, 33] = 1.0  # 0.6 to 0.8 THz above the carrier
    spectrum = torch.fft.fft(closed.shape(drive))[0].abs().square().numpy()
    share = EnergyDetector(closed.grid, quantity="spectrum", parts=60, span=12e12, dtype=torch.float64)
    energies = share.detect(closed.shape(drive))[0].numpy()
    assert energies.argmax() == 33
    # 4 bins a band; a spot of a tenth of a band (0.4 bins) lets half of the power of the two bins at the edge through.
    assert energies[33] > 0.8 * energies.sum()
    assert np.sum(spectrum * closed.grid.detuning) / np.sum(spectrum) == pytest.approx(2 * math.pi * 0.7e12, rel=0.02)


@pytest.mark.parametrize("quantity", ["spectrum", "time"])
@pytest.mark.parametrize("parts", [7, 40])
def test_parts_share_all_of_the_energy(quantity: Any, parts: int) -> None:
    grid = TimeGrid(samples=256, window=10e-12)
    span = grid.bandwidth if quantity == "spectrum" else grid.window
    detector = EnergyDetector(grid, quantity=quantity, parts=parts, span=span, dtype=torch.float64)
    field = torch.randn(3, 256, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    energies = detector.detect(field)
    assert energies.shape == (3, parts)
    # A cell at either end of the span may stick out by half: 1 of 256.
    assert torch.allclose(energies.sum(1), field.abs().square().sum(1) * grid.step, rtol=0.02)


@pytest.mark.parametrize(
    "options", [{}, {"order": 4}, {"modulator": "amplitude", "response": "time"}, {"self_steepening": True}]
)
def test_the_gradient_agrees_with_differences(options: dict[str, Any]) -> None:
    system = line(precision="double", raman_fraction=0.18, **options)
    drive = (0.2 + 0.6 * drives(system, rows=2)).requires_grad_()
    passes = np.arange(2)
    response = system.forward(drive, passes)
    assert torch.equal(response.detach(), respond(system, drive.detach()))
    weight = torch.randn(response.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1e12
    (gradient,) = torch.autograd.grad((response * weight).sum(), drive)
    for channel in (0, 3):
        change = torch.zeros_like(drive)
        change[:, channel] = 2.0**-10
        with torch.no_grad():
            both = [(respond(system, drive + sign * change) * weight).sum(1) for sign in (1, -1)]
        slope = (both[0] - both[1]) / 2.0**-9
        # Second differences leave 2^-20 / 6 of a third derivative, of the order of the slopes; the gradient is float32.
        assert torch.allclose(gradient[:, channel].double(), slope, rtol=1e-4, atol=1e-5 * float(slope.abs().max()))


def test_the_numerics_tell_the_error_of_the_steps() -> None:
    coarse, fine = line(precision="double"), line(precision="double", steps=160)
    drive = drives(coarse)
    told, ends = coarse.numerics(drive), [system.fields(drive).field_NT for system in (coarse, fine)]
    error = (ends[0] - ends[1]).abs().square().sum(1).sqrt() / ends[1].abs().square().sum(1).sqrt()
    assert np.allclose(told.error_N, error.numpy(), rtol=0.1)  # the finer steps err by a 64th, the next order by h^2
    length = coarse.waveguide.dispersion_length(coarse.spec.identity["duration"] / 1.763)
    assert told.steps_per_dispersion_length == pytest.approx(20 * length, rel=1e-3)
    assert (told.steps_per_nonlinear_length_N > 4).all()


def test_too_few_steps_are_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(SpecError, match=r"steps of nonlinear_waveguide must be >= 31: .* 0.236 m, and 20 steps"):
        line(energy=0.74e-9, length=1.8)
    line(energy=0.74e-9, length=1.8, steps=31)


def test_a_row_that_leaves_the_window_or_the_spectrum_is_named_and_the_rows_before_are_handed_over() -> None:
    system = line(window=2.8e-12, spot=0.1, edge_limit=1e-4)
    drive = torch.zeros(40, 7)
    drive[34] = torch.tensor([0.0, 1.5, 3.1, 1.6, 0.0, 1.5, 3.1])  # a zigzag of phase: pulses earlier and later
    seen = system.fields(drive)
    assert float(seen.time_edge_N[34]) > 1e-4 > float(seen.time_edge_N[0])
    with pytest.raises(MeasurementError, match=r"row 34: .*edges of the time window must be <= 0.0001") as caught:
        respond(system, drive)
    assert caught.value.reading is not None and len(caught.value.reading) == 34
    with pytest.raises(MeasurementError, match=r"row 0: .*edges of the spectrum .* Take more samples") as caught:
        respond(line(duration=30e-15, span=14e12, spot=4.0, energy=1e-11, window=9e-12, samples=256), drive)
    assert caught.value.reading is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 2e-12}, "window must be >= 2.8e-12 s"),
        (
            {"window": 3e-12, "length": 3.0, "gamma": 0.0},
            "window of nonlinear_waveguide must be >= .* dispersion spreads",
        ),
        ({"responses": 60, "window": 5e-12}, "response_span must be"),
        ({"phase_range": 1.0, "modulator": "amplitude"}, "phase_range of"),
        ({"signed": True}, "a phase has no sign"),
        ({"backend": "numba", "self_steepening": True}, "got 'numba': it knows no self-steepening"),
        ({"backend": "numba", "precision": "double"}, "got 'numba': it works in single precision"),
        ({"backend": "cuda", "precision": "double"}, "got 'cuda': its kernel works in single precision"),
        ({"backend": "cuda"}, "CUDA kernels run on cuda, and the device is cpu"),
        ({"backend": "graph"}, "graphs are launched on cuda, and the device is cpu"),
        ({"backend": "metal"}, "must be one of auto, torch, numba, cuda, graph, got 'metal'"),
        ({"duration": 0.0}, "duration of a pulse must be > 0 s"),
        ({"span": 40e12}, "half the bandwidth"),
        ({"steps": 0}, "steps of nonlinear_waveguide must be >= 1"),
        ({"edge_limit": math.nan}, "edge_limit of"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        line(**options)


def test_it_does_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("physnet.simulators.waveguide_routes.is_available", lambda: False)
    assert not line().spec.identity["compiled"]
    with pytest.raises(SpecError, match="numba is not installed"):
        line(backend="numba")


@needs_numba
def test_both_backends_give_the_same_within_rounding() -> None:
    compiled, plain = line(backend="numba"), line(backend="torch")
    assert compiled.spec.identity["compiled"] and not plain.spec.identity["compiled"]
    both = [respond(system, drives(system)) for system in (compiled, plain)]
    # 20 steps of some 4 roundings of 2^-24 each, added at random: 1e-6 of the field, twice of an energy.
    assert (both[0] - both[1]).abs().max() < 4e-6 * both[1].max()
