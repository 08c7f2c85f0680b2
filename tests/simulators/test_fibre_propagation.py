"""Steps through a fibre against the tensor, exact solutions, invariants, and the single-mode equation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.validation_cases.fibre_light import (
    CPU,
    GRADED,
    N2,
    SINGLE,
    STEP,
    amplitudes,
    complexes,
    double,
    line,
    powers,
    solved,
)
from physnet.errors import SpecError
from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.fibre_kerr import Kerr, QuadratureKerr, TensorKerr, overlaps
from physnet.simulators.fibre_links import make_junctions
from physnet.simulators.fibre_modes import Modes
from physnet.simulators.fibre_numba import NumbaPropagator
from physnet.simulators.fibre_pulse import Pulse, make_pulse
from physnet.simulators.waveguide_medium import TimeGrid, Waveguide
from physnet.simulators.waveguide_torch import TorchSolver

pytestmark = pytest.mark.usefixtures("one_thread")

EPSILON = 2.0**-24
needs_numba = pytest.mark.skipif(not is_available(), reason="needs numba")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The tensors here are small: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("options", [GRADED, STEP])
def test_the_kerr_term_in_real_space_is_that_of_the_tensor(options: dict[str, Any]) -> None:
    modes = solved(options)
    amplitude = amplitudes(7, len(modes)).permute(1, 2, 0).contiguous()
    dense = TensorKerr(modes, dtype=torch.float64, device=CPU).term(amplitude)
    fast = QuadratureKerr(modes.factors(), dtype=torch.float64, device=CPU).term(amplitude)
    # The same nodes on both sides: sums of 2e3 numbers in another order, 2^-53 sqrt(2e3) of the largest.
    assert float((dense - fast).abs().max()) < 1e-14 * float(dense.abs().max()) * 10
    # And the definition, written out.
    tensor = np.zeros((len(modes),) * 4)
    row, column = np.triu_indices(len(modes))
    pairs = overlaps(modes)
    for a, b in ((row, column), (column, row)):
        for c, d in ((row, column), (column, row)):
            tensor[a[:, None], b[:, None], c[None, :], d[None, :]] = pairs
    field = amplitude.numpy()[:, 0] + 1j * amplitude.numpy()[:, 1]
    plain = np.einsum("plmn,lx,mx,nx->px", tensor, field, field.conj(), field)
    found = dense.numpy()[:, 0] + 1j * dense.numpy()[:, 1]
    assert np.abs(found - plain).max() < 1e-13 * np.abs(plain).max()


@pytest.mark.parametrize("kind", [QuadratureKerr, TensorKerr])
def test_the_kerr_term_has_the_gradient_of_its_definition(kind: Any) -> None:
    modes = solved(STEP, modes=4)
    kerr: Kerr = kind(modes.factors() if kind is QuadratureKerr else modes, dtype=torch.float64, device=CPU)
    leaf = 1e5 * amplitudes(2, 4).permute(1, 2, 0).contiguous()  # numbers of the order of 1 / m, times m
    scale = 1 / float(kerr.term(leaf).abs().max())
    assert torch.autograd.gradcheck(lambda part: kerr.term(part * 1e5) * scale, (leaf / 1e5).requires_grad_())


@needs_numba
@pytest.mark.parametrize("pulse", [None, Pulse(width=1e-12, shape="gaussian", window=5e-12, samples=32)])
@pytest.mark.parametrize("options", [GRADED, STEP])
def test_compiled_steps_are_those_of_torch(options: dict[str, Any], pulse: Pulse | None) -> None:
    modes = solved(options, modes=6)
    junctions = make_junctions(modes, sections=3, coupling=0.3, kink=5e-3, seed=1)
    cut = line(modes, length=1e-3, peak_power=1e6, attenuation=10.0, junction_JMM=junctions, pulse=pulse)
    kerr = QuadratureKerr(modes.factors(), dtype=torch.float32, device=CPU)
    compiled = NumbaPropagator(cut, kerr, modes.factors())
    launched = amplitudes(3 if pulse else 37, len(modes))
    exact = double(cut, modes).propagate(launched)
    # Rounding: each of some 50 steps leaves a few 2^-24 of the amplitudes; they add up like a random walk, and the Kerr
    # effect may stretch them by a phase of some radians.
    tolerance = 3 * math.sqrt(cut.steps * cut.sections) * 8 * EPSILON
    for found in (compiled.propagate(launched.float()), compiled.trace(launched.float())):
        assert float((found - exact).abs().max()) < tolerance
    few = compiled.propagate(launched[1:3].float())
    assert torch.equal(few, compiled.propagate(launched.float())[1:3])
    leaf, exact_leaf = launched[:2].float().requires_grad_(), launched[:2].clone().requires_grad_()
    weight = amplitudes(2, len(modes), seed=1)[..., None].expand(-1, -1, -1, cut.samples)
    (gradient,) = torch.autograd.grad((compiled.propagate(leaf) * weight.float()).sum(), leaf)
    (exact_gradient,) = torch.autograd.grad((double(cut, modes).propagate(exact_leaf) * weight).sum(), exact_leaf)
    assert float((gradient - exact_gradient).abs().max()) < 10 * tolerance * float(exact_gradient.abs().max())


@needs_numba
def test_rounding_does_not_add_up() -> None:
    # 7 000 steps of a weak fibre. Were the factor of a step off by 2^-25 in the same way each time, they would change
    # the energy by 2e-4, and phases by as much; what is left is a random walk, sqrt(7 000 * 8 operations) 2^-25, 7e-6.
    modes = solved(GRADED, modes=6)
    cut = line(modes, length=0.5, peak_power=3e3)
    assert cut.steps > 5000
    compiled = NumbaPropagator(cut, QuadratureKerr(modes.factors(), dtype=torch.float32, device=CPU), modes.factors())
    launched = amplitudes(16, 6).float()
    end = compiled.propagate(launched)
    assert np.abs(powers(end) / launched.double().square().sum((1, 2)).numpy() - 1).max() < 2e-5


def test_energy_is_kept_to_the_error_of_the_steps() -> None:
    modes = solved(GRADED, modes=10)
    launched = amplitudes(4, len(modes))
    options: dict[str, Any] = {"length": 2e-3, "peak_power": 1e6}
    drifts = []
    for steps in (1, 2):
        cut = line(modes, **options, step=line(modes, **options).step / steps)
        drifts.append(np.abs(powers(double(cut, modes).propagate(launched)) - 1).max())
    # Usual steps leave some 1e-5; halved, the loss of each falls by 2^6 at best and 2^5 at least, and there are two.
    assert drifts[0] < 1e-4 and drifts[1] < drifts[0] / 14
    lossy = line(modes, **options, attenuation=100.0)
    assert np.abs(powers(double(lossy, modes).propagate(launched)) / math.exp(-0.2) - 1).max() < 1e-4


def test_the_hamiltonian_is_kept() -> None:
    modes = solved(GRADED, modes=10)
    launched = amplitudes(4, len(modes))
    cut = line(modes, length=1e-3, peak_power=2e6, step=1e-5)
    propagator = double(cut, modes)
    assert propagator.kerr is not None

    def hamiltonian(amplitude: torch.Tensor) -> torch.Tensor:
        """`sum (beta_p - beta_0) |A_p|^2 + n2 k P / 2 sum A_p^* K_p`, 1/m."""
        assert propagator.kerr is not None
        field = amplitude.permute(1, 2, 0).contiguous()
        kerr = (field * propagator.kerr.term(field)).sum((0, 1)) * cut.gain / cut.step / 2
        return torch.from_numpy(modes.beta_M - modes.beta_M[0]) @ field.square().sum(1) + kerr

    before, after = hamiltonian(launched), hamiltonian(propagator.propagate(launched)[..., 0])
    # Twice the usual accuracy of a step: the energy error is 1e-6, times the 5e4 / m that the phases spread over.
    assert float((after - before).abs().max()) < 0.5
    # And the Kerr part alone is not: it is exchanged with the linear one.
    kinetic = torch.from_numpy(modes.beta_M - modes.beta_M[0])
    change = (propagator.propagate(launched)[..., 0].square().sum(2) - launched.square().sum(2)) @ kinetic
    assert float(change.abs().max()) > 2


def test_one_mode_follows_the_scalar_equation() -> None:
    modes = solved(SINGLE)
    width, length, power = 0.5e-12, 1.0, 200.0
    pulse = make_pulse(modes, length=length, width=width, shape="gaussian", window=16e-12, samples=512)
    cut = line(modes, length=length, peak_power=power, attenuation=0.2, pulse=pulse)
    end = complexes(double(cut, modes).propagate(torch.tensor([[[0.6, 0.8]]], dtype=torch.float64)))[0, 0]
    taylor = modes.dispersion()[:, 0]
    guide = Waveguide(
        length=length, beta2=float(taylor[2]), beta3=float(taylor[3]), attenuation=0.2,
        gamma=N2 * modes.fibre.wavenumber / modes.area(),
    )  # fmt: skip
    solver = TorchSolver(guide, TimeGrid(samples=512, window=pulse.window), steps=4000)
    start = torch.from_numpy(math.sqrt(power) * pulse.field() * (0.6 + 0.8j))[None]
    scalar = solver.propagate(start).field_NT.numpy()[0] / math.sqrt(power)
    turned = guide.gamma * power * length
    assert 0.2 < turned < 1
    # The other solver is of order 2: (phase a step)^2 / 12 or so with 4 000 steps is 1e-8.
    assert np.linalg.norm(end - scalar) < 1e-6 * np.linalg.norm(scalar)


def test_a_lossless_fibre_is_unitary_and_reciprocal() -> None:
    modes = solved(GRADED)
    junctions = make_junctions(modes, sections=6, coupling=0.7, kink=5e-3, seed=3)
    one = np.eye(len(modes))
    assert np.abs(junctions - junctions.transpose(0, 2, 1)).max() < 1e-14
    assert np.abs(junctions @ junctions.conj().transpose(0, 2, 1) - one).max() < 1e-13
    forth = line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions).transfer()
    back = line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions[::-1]).transfer()
    # Products of eleven unitary matrices, each of them within some 1e-15.
    assert np.abs(forth @ forth.conj().T - one).max() < 1e-13
    assert np.abs(forth.T - back).max() < 1e-13
    assert np.abs(forth - np.diag(np.diag(forth))).max() > 0.1
    lossy = line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions, attenuation=2.0).transfer()
    assert np.abs(lossy - forth * math.exp(-0.5)).max() < 1e-13
    steps = double(line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions), modes)
    launched = amplitudes(3, len(modes))
    expected = (launched.numpy()[..., 0] + 1j * launched.numpy()[..., 1]) @ forth.T
    assert np.abs(complexes(steps.propagate(launched))[..., 0] - expected).max() < 1e-13


def test_a_kink_tilts_the_wave() -> None:
    modes = solved(GRADED | {"radius": 25e-6})
    angle = 2e-3
    (junction,) = make_junctions(modes, sections=2, coupling=0.0, kink=angle, seed=5)
    # To first order in the angle: <p| exp(i k n a x) |q> = delta + i k n (a <x> + b <y>); the lowest modes are far from
    # the edge of the basis. What is left out is the square of k n a w / 2, w = 7.9 um: 0.05^2.
    x, y = modes.positions()
    first = (junction - np.eye(len(modes))) / 1j
    a = first[0, 1].real / (modes.fibre.wavenumber * modes.fibre.core * x[0, 1])
    b = first[0, 2].real / (modes.fibre.wavenumber * modes.fibre.core * y[0, 2])
    assert 0 < math.hypot(a, b) < 5 * angle
    grid = (np.arange(200) - 99.5) * 90e-6 / 200
    place_x, place_y = np.tile(grid, 200), np.repeat(grid, 200)
    field = modes.field(place_x, place_y)
    tilt = np.exp(1j * modes.fibre.wavenumber * modes.fibre.core * (a * place_x + b * place_y))
    exact = field[:, :3].T @ (tilt[:, None] * field[:, :3]) * (90e-6 / 200) ** 2
    assert np.abs(junction[:3, :3] - exact).max() < 0.02 * np.abs(exact - np.eye(3)).max()


def test_the_image_comes_back_after_a_self_imaging_period() -> None:
    modes = solved(GRADED)
    fibre = modes.fibre
    group = np.array([sum(map(int, label.split()[1].split(","))) for label in modes.labels])
    period = 2 * math.pi * fibre.radius * fibre.core / fibre.numerical_aperture
    for turns, sign in ((1.0, 1), (0.5, -1)):
        transfer = np.diag(line(modes, length=turns * period, peak_power=0.0).transfer())
        # Phases of equally spaced groups; half a period turns the odd ones around: the image is upside down. What is
        # left is the next term of the root, (rate (N + 1))^2 / (2 (k n)^3) for beta, less what is linear in N.
        rate = fibre.wavenumber * fibre.numerical_aperture / fibre.radius
        square = ((group + 1.0) ** 2 - 1) * rate**2 / (2 * (fibre.wavenumber * fibre.core) ** 3)
        expected = np.where(group % 2 == 1, sign, 1) * np.exp(-1j * turns * period * square)
        # And the one after that, smaller by rate (N + 1) / (k n)^2: 9e-3 for the last group.
        assert np.abs(transfer - expected).max() < 0.01 * turns * period * square.max()
    quarter = np.diag(line(modes, length=period / 4, peak_power=0.0).transfer())
    assert np.abs(quarter[group == 2] + 1).max() < 0.05 and np.abs(quarter[group == 1] + 1j).max() < 0.05


def test_a_weak_pulse_travels_with_its_modes() -> None:
    # Without Kerr effect each mode's pulse arrives at its own time and, Gaussian, is wider by sqrt(1 + (z / L_D)^2).
    modes = solved(STEP)
    length = 1.0
    pulse = make_pulse(modes, length=length, width=2e-12, shape="gaussian", window=80e-12, samples=512)
    cut = line(modes, length=length, peak_power=0.0, pulse=pulse)
    launched = torch.zeros(1, len(modes), 2, dtype=torch.float64)
    launched[0, :, 0] = 1.0
    end = double(cut, modes).propagate(launched)[0].square().sum(1).numpy()
    time = (np.arange(512) - 256) * 80e-12 / 512
    centre = end @ time / end.sum(1)
    slope = modes.dispersion()
    expected = length * (slope[1] - (slope[1].max() + slope[1].min()) / 2)
    assert np.ptp(expected) > 10e-12
    assert np.abs(centre - expected).max() < 1e-15  # the third order moves it by beta_3 L / (4 T0^2): 2e-17 s
    wide = np.sqrt((end @ time**2) / end.sum(1) - centre**2)
    t0 = 2e-12 / (2 * math.sqrt(math.log(2)))
    assert np.abs(wide / (t0 / math.sqrt(2) * np.sqrt(1 + (slope[2] * length / t0**2) ** 2)) - 1).max() < 1e-3


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda m: line(m, peak_power=2e7), "peak_power must be below 1.07e\\+07 W"),
        (lambda m: line(m, step=1e-3), "step must be at most the shortest beat length"),
        (lambda m: line(m, length=100.0, peak_power=1e6), "at most 1000000 steps"),
        (lambda m: Pulse(width=1e-12, shape="box", window=8e-12, samples=64), "gaussian or sech"),  # type: ignore[arg-type]
        (lambda m: Pulse(width=math.nan, shape="sech", window=8e-12, samples=64), "width > 0 s"),
        (lambda m: Pulse(width=1e-12, shape="sech", window=8e-12, samples=96), "power of two"),
        (lambda m: Pulse(width=1e-12, shape="sech", window=3e-12, samples=64), "window must"),
        (lambda m: Pulse(width=1e-12, shape="sech", window=17e-12, samples=64), "window must"),
        (lambda m: line(m, length=50.0, pulse=Pulse(width=1e-12, shape="sech", window=9e-12, samples=64)), "walk-off"),
        (lambda m: make_junctions(m, sections=1, coupling=0.1, kink=0.0, seed=0), "sections must be >= 2"),
        (lambda m: make_junctions(m, sections=2, coupling=-0.1, kink=0.0, seed=0), "coupling and kink"),
        (lambda m: make_junctions(m, sections=2, coupling=0.0, kink=math.nan, seed=0), "coupling and kink"),
    ],
)  # fmt: skip
def test_what_is_certainly_wrong_is_refused_with_the_number(make: Callable[[Modes], Any], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        make(solved(GRADED))
