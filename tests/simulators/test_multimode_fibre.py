from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError, create_model

from physnet.contracts import Differentiable, PhysicalSystem, Reading, Stateful
from physnet.errors import MeasurementError, SpecError
from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.multimode_fibre import MultimodeFibre
from physnet.testing import SystemConformance, random_drives

# Six modes, V = 6.1: as much physics as 55, in a hundredth of the time.
SMALL: dict[str, Any] = {"drives": 9, "responses": 16, "radius": 8e-6, "length": 1e-3}
STRONG = SMALL | {"peak_power": 5e5}
PULSED = STRONG | {"pulse": 1e-12, "window": 5e-12, "samples": 32, "length": 4e-4}
EPSILON = 2.0**-24
needs_numba = pytest.mark.skipif(not is_available(), reason="needs numba")


def respond(fibre: MultimodeFibre, drive: torch.Tensor) -> torch.Tensor:
    response = fibre.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    assert isinstance(response, torch.Tensor)
    return response


def drives(fibre: MultimodeFibre, rows: int, seed: int = 0) -> torch.Tensor:
    drive = random_drives(fibre.spec, rows=rows, seed=seed)
    assert isinstance(drive, torch.Tensor)
    return drive


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
class TestLinear(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MultimodeFibre(**SMALL, signed=True)


@pytest.mark.usefixtures("one_thread")
class TestCoupledPhase(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MultimodeFibre(**SMALL, modulator="phase", sections=4, coupling=1.0, kink=0.01, attenuation=1.0)


@pytest.mark.usefixtures("one_thread")
class TestStrong(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MultimodeFibre(**STRONG)


@pytest.mark.usefixtures("one_thread")
class TestStep(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MultimodeFibre(**STRONG | {"profile": "step", "radius": 5e-6, "length": 4e-4, "backend": "torch"})


@pytest.mark.usefixtures("one_thread")
class TestPulsed(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MultimodeFibre(**PULSED | {"response": "spectrum"})


def test_it_declares_itself() -> None:
    linear, strong = MultimodeFibre(**SMALL), MultimodeFibre(**STRONG)
    assert isinstance(linear, PhysicalSystem) and isinstance(linear, Differentiable)
    assert not isinstance(linear, Stateful)
    assert linear.spec.nonlinearity == {"detector"} and linear.spec.drive.domain == "non_negative"
    assert strong.spec.nonlinearity == {"detector", "medium"} and strong.spec.repeatable
    assert MultimodeFibre(**SMALL, modulator="phase").spec.nonlinearity == {"detector", "medium"}
    default = MultimodeFibre(drives=64, responses=100)
    assert default.spec.identity["modes"] == 55 and default.line.linear


@pytest.mark.parametrize("options", [{}, {"sections": 5, "coupling": 0.5}, {"response": "modes", "responses": 6}])
def test_a_weak_fibre_is_even_and_of_degree_two(options: dict[str, Any]) -> None:
    fibre = MultimodeFibre(**SMALL | options, signed=True)
    drive = drives(fibre, 20)
    # float32 scales and changes sign without rounding: not a bit differs.
    assert torch.equal(respond(fibre, -drive), respond(fibre, drive))
    assert torch.equal(respond(fibre, drive / 2) * 4, respond(fibre, drive))


def test_a_strong_fibre_is_no_power_of_the_drive() -> None:
    longer = {"length": 5e-3}
    weak, strong = MultimodeFibre(**SMALL | longer), MultimodeFibre(**STRONG | longer)
    drive = drives(weak, 20)
    plain = respond(weak, drive)
    change = (respond(strong, drive / 2) * 4 - respond(strong, drive)).norm() / plain.norm()
    assert change > 0.02
    assert float((respond(strong, drive) - plain).norm() / plain.norm()) > 0.03  # self-imaging keeps it small
    # The effect begins with the power: a tenth of it does a tenth, but for the square of a phase of up to 0.08 rad.
    effect = [
        float((respond(MultimodeFibre(**SMALL | longer | {"peak_power": power}), drive) - plain).norm())
        for power in (1e4, 1e3)
    ]
    assert abs(effect[0] / effect[1] / 10 - 1) < 0.1
    # The even part: a common sign is lost all the same.
    signed = MultimodeFibre(**STRONG | longer, signed=True)
    assert float((respond(signed, -drive) - respond(signed, drive)).abs().max()) < 1e-5 * float(plain.max())


@pytest.mark.parametrize("options", [SMALL, SMALL | {"modulator": "phase"}, STRONG, PULSED])
def test_the_camera_sees_the_power_of_the_modes(options: dict[str, Any]) -> None:
    # A view of three core diameters holds all modes, whose slowest falls as exp(-(r / w)^2), w = 4.5 um.
    fibre = MultimodeFibre(**options | {"view": 48e-6, "responses": 64})
    drive = drives(fibre, 10)
    power = fibre.launched(drive).abs().square().sum(1)
    assert float(power.min()) > 0.05 and float(power.max()) < 1
    seen = respond(fibre, drive).mean(1)  # a reading of 1 is its share of the full light
    # The points within a camera pixel integrate products of modes to 1e-4; steps lose 1e-5 of the energy.
    assert float((seen / power - 1).abs().max()) < 1e-3
    modes = MultimodeFibre(**options | {"response": "modes", "responses": len(fibre.modes)})
    assert float((respond(modes, drive).mean(1) / power - 1).abs().max()) < 1e-4


def test_pixels_light_the_modes_by_their_overlap() -> None:
    fibre = MultimodeFibre(**SMALL)
    lit = fibre.launched(torch.eye(9)).real.double().numpy()
    x = (np.arange(240) - 119.5) * fibre.spec.identity["aperture"] / 240
    field = fibre.modes.field(np.tile(x, 240), np.repeat(x, 240)).reshape(3, 80, 3, 80, -1).sum((1, 3))
    cell = (x[1] - x[0]) ** 2
    plain = field.reshape(9, -1) * cell / (3 * 80 * (x[1] - x[0]))
    # The midpoint rule is off by (k_t h)^2 / 24 = 3e-5 for k_t = 8e5 / m and h = 47 nm; the matrix is float32.
    assert np.abs(lit - plain).max() < 1e-4 * np.abs(plain).max()
    # And the power of a full drive that the modes can't take up is lost: a square has more than they.
    full = float(fibre.launched(torch.ones(1, 9)).abs().square().sum())
    assert 0.5 < full < 1


@needs_numba
@pytest.mark.parametrize("options", [STRONG, STRONG | {"profile": "step", "radius": 5e-6}, PULSED])
def test_all_ways_to_the_kerr_effect_agree(options: dict[str, Any]) -> None:
    options = options | {"sections": 2, "coupling": 0.2}
    drive = drives(MultimodeFibre(**options), 5)
    ways: tuple[dict[str, Any], ...] = ({"backend": "numba"}, {"backend": "torch"}, {"kerr": "tensor"})
    found = [respond(MultimodeFibre(**options, **way), drive) for way in ways]
    # Rounding, as in test_fibre_propagation: some 50 steps of a few 2^-24, and a square.
    largest = float(found[0].max())
    assert max(float((part - found[0]).abs().max()) for part in found) < 300 * EPSILON * largest


@pytest.mark.parametrize(
    "options",
    [
        SMALL | {"drives": 100, "responses": 21},
        SMALL | {"modulator": "phase", "responses": 3},
        STRONG | {"backend": "torch"},
        pytest.param(STRONG | {"backend": "numba"}, marks=needs_numba),
    ],
)
def test_a_row_has_the_same_bits_wherever_it_stands(options: dict[str, Any], threads: int) -> None:
    fibre = MultimodeFibre(**options)
    drive = drives(fibre, 200)
    torch.set_num_threads(1)
    whole = respond(fibre, drive)
    torch.set_num_threads(threads)
    assert torch.equal(respond(fibre, drive), whole)
    order = torch.from_numpy(np.random.default_rng(0).permutation(200))
    assert torch.equal(respond(fibre, drive[order]), whole[order])
    assert torch.equal(torch.cat([respond(fibre, drive[:1]), respond(fibre, drive[1:150])]), whole[:150])


@pytest.mark.parametrize("backend", ["torch", pytest.param("numba", marks=needs_numba)])
@pytest.mark.parametrize("response", ["camera", "spectrum"])
def test_a_pulse_has_the_same_bits_wherever_it_stands(backend: str, response: Any, threads: int) -> None:
    short = {"length": 1e-4, "sections": 2, "coupling": 1.0}
    fibre = MultimodeFibre(**PULSED | short | {"backend": backend, "response": response})
    drive = drives(fibre, 6)
    torch.set_num_threads(1)
    whole = respond(fibre, drive)
    torch.set_num_threads(threads)
    assert torch.equal(respond(fibre, drive[[3, 1, 5]]), whole[[3, 1, 5]])
    assert torch.equal(respond(fibre, drive[4:5]), whole[4:5])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("options", [SMALL, STRONG, PULSED, PULSED | {"response": "spectrum"}])
def test_a_gradient_agrees_with_finite_differences(options: dict[str, Any]) -> None:
    fibre = MultimodeFibre(**options)
    drive = drives(fibre, 1) * 0.8 + 0.1
    leaf = drive.clone().requires_grad_()
    weight = torch.linspace(-1, 1, 16)
    passes = np.zeros(1, dtype=np.int64)
    (gradient,) = torch.autograd.grad((fibre.forward(leaf, passes) * weight).sum(), leaf)
    step = 0.05
    for channel in (0, 4, 8):
        shift = torch.zeros(1, 9)
        shift[0, channel] = step
        values = [float((respond(fibre, drive + sign * shift).double() * weight).sum()) for sign in (-2, -1, 1, 2)]
        # Differences of order 4: step^4 / 30 of a fifth derivative, some 1e-4; rounding of 1e-6 over the step as much.
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        assert abs(slope - float(gradient[0, channel])) < 2e-3 * float(gradient.abs().max())


def test_numerics_tell_the_error_of_the_steps() -> None:
    fibre = MultimodeFibre(**STRONG | {"length": 5e-3})
    drive = drives(fibre, 4)
    found = fibre.numerics(drive)
    assert found.step == fibre.line.step and found.scales == fibre.scales
    assert found.step <= fibre.scales.beat / 4
    assert found.step_error_N.shape == (4,) and 0 < found.step_error_N.max() < 1e-3
    coarse = MultimodeFibre(**STRONG | {"length": 5e-3, "step": 1.6 * found.step})
    worse = coarse.numerics(drive)
    # Order 4: 6.6 times the error, and 10 times the energy lost.
    assert 4 < worse.step_error_N.max() / found.step_error_N.max() < 10
    assert worse.watched.drift_N.max() > 5 * found.watched.drift_N.max()
    exact = respond(MultimodeFibre(**STRONG | {"length": 5e-3, "step": found.step / 4}), drive)
    told = torch.from_numpy(worse.step_error_N) * exact.amax(1).double() * 16 / 15
    true = (respond(coarse, drive).double() - exact).abs().amax(1)
    assert float((told / true - 1).abs().max()) < 0.3  # rounding: some 3e-6 of 1.5e-5
    for weak in (MultimodeFibre(**SMALL), MultimodeFibre(**SMALL | {"pulse": 1e-12, "attenuation": 3.0})):
        told_of_it = weak.numerics(drive)
        assert told_of_it.step_error_N.max() == 0 and told_of_it.watched.drift_N.max() < 1e-5


@pytest.mark.usefixtures("one_thread")
def test_a_row_that_is_not_resolved_is_refused_with_the_number() -> None:
    options = STRONG | {"length": 5e-3, "peak_power": 3e6}
    fine = MultimodeFibre(**options)
    fibre = MultimodeFibre(**options, step=0.9 * min(fine.scales.beat, fine.scales.nonlinear))
    drive = 0.02 * torch.ones(6, 9)
    drive[4] = 1.0
    with pytest.raises(MeasurementError, match=r"row 4: energy must be kept within 0.0002, got a change by") as caught:
        respond(fibre, drive)
    assert isinstance(caught.value.reading, Reading) and len(caught.value.reading) == 4
    assert torch.equal(torch.as_tensor(caught.value.reading.response), respond(fibre, drive[:4]))
    with pytest.raises(MeasurementError) as caught:
        respond(fibre, drive[4:])
    assert caught.value.reading is None
    # A chirp by many radians of Kerr phase needs more frequencies than the samples hold.
    chirped = PULSED | {"length": 6e-3, "peak_power": 2e6}
    narrow = MultimodeFibre(**chirped, step=MultimodeFibre(**chirped).line.step / 2)
    with pytest.raises(MeasurementError, match="of the frequencies, got"):
        respond(narrow, torch.ones(1, 9))
    # A soliton's width in 1 km of dispersion leaves the window; group velocities alone are refused before.
    wide = MultimodeFibre(
        drives=4, responses=4, profile="step", radius=4e-6, numerical_aperture=0.12, length=500.0, pulse=1e-12,
        window=6e-12, samples=32,
    )  # fmt: skip
    with pytest.raises(MeasurementError, match="of the window, got"):
        respond(wide, torch.ones(1, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"drives": 0},
        {"responses": 0},
        {"length": 0.0},
        {"length": math.nan},
        {"attenuation": -1.0},
        {"peak_power": -1.0},
        {"peak_power": math.inf},
        {"peak_power": 2e7},
        {"n2": 0.0},
        {"seconds_per_pass": -1.0},
        {"modes": 7},
        {"radius": 1e-6},
        {"profile": "square"},
        {"aperture": 0.0},
        {"view": math.nan},
        {"response": "phase"},
        {"response": "modes"},
        {"response": "spectrum"},
        {"response": "spectrum", "pulse": 1e-12, "responses": 60},
        {"coupling": 1.0},
        {"kink": 0.1},
        {"sections": 0},
        {"signed": True, "modulator": "phase"},
        {"phase_range": 1.0},
        {"pulse": -1e-12},
        {"pulse": 1e-12, "window": 2e-12},
        {"pulse": 1e-12, "samples": 48},
        {"peak_power": 1e5, "step": 1.0},
        {"backend": "fast"},
        {"kerr": "dense"},
        {"kerr": "tensor", "backend": "numba"},
        {"wavelength": 10e-6},
    ],
)
def test_options_that_make_no_fibre_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must"):
        MultimodeFibre(**SMALL | options)


def test_its_options_can_be_checked_as_a_table() -> None:
    hints = get_type_hints(MultimodeFibre.__init__, include_extras=True)
    parameters = inspect.signature(MultimodeFibre).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
    }
    table = create_model("Table", **fields)
    good = table.model_validate({**SMALL, "peak_power": 1e4, "pulse": 1e-12})
    assert MultimodeFibre(**dict(good)).spec.nonlinearity == {"detector", "medium"}
    for bad in ({**SMALL, "drives": 0}, {**SMALL, "profile": "square"}, {**SMALL, "pulse": 0.0}):
        with pytest.raises(ValidationError):
            table.model_validate(bad)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_half_a_period_turns_the_image_upside_down() -> None:
    probe = MultimodeFibre(**SMALL)
    fibre = probe.modes.fibre
    period = 2 * math.pi * fibre.radius * fibre.core / fibre.numerical_aperture
    options: dict[str, Any] = {"drives": 36, "responses": 36, "radius": 25e-6, "view": math.sqrt(2) * 25e-6}
    period *= 25e-6 / fibre.radius
    near, half, whole = (
        respond(MultimodeFibre(**options, length=length), drives(MultimodeFibre(**options), 3)).double().numpy()
        for length in (1e-9, period / 2, period)
    )
    # What spoils the image are the phases beyond the paraxial ones, 0.3 rad for the last of the ten groups.
    assert correlation(near, half[:, ::-1]) > 0.97 and correlation(near, whole) > 0.9
    assert correlation(near, half) < 0.9
