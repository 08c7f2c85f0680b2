"""The node with delayed feedback: its equation against what is known of it, and the system around it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from benchmarks.validation_cases.electronic_node import first_instability, free
from physnet.contracts import PhysicalSystem
from physnet.errors import SessionError, SpecError
from physnet.registry import arguments, options_model
from physnet.simulators.delay_loop import DelayLoop, Ikeda, MackeyGlass
from physnet.simulators.electronic_node import ElectronicNode
from physnet.testing import SystemConformance, random_drives

SMALL: dict[str, Any] = {"drives": 5, "responses": 9}


def node(**options: Any) -> ElectronicNode:
    return ElectronicNode(**{**SMALL, **options})


def drives(system: ElectronicNode, rows: int, seed: int = 0) -> torch.Tensor:
    drive = random_drives(system.spec, rows=rows, seed=seed)
    assert isinstance(drive, torch.Tensor)
    return drive


def respond(system: ElectronicNode, drive: torch.Tensor) -> torch.Tensor:
    response = system.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    assert isinstance(response, torch.Tensor)
    return response


class TestIkeda(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return node()


class TestMackeyGlass(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return node(form="mackey_glass", mask="uniform", signed=True, shift=1, responses=20)


class TestMemory(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return node(memory=True, loops=1)


def test_a_weak_loop_falls_silent() -> None:
    # Below a gain of 1 it dies as exp(l t), l + 1 = 0.9 exp(-2 l): exp(-0.035 * 400).
    trace = free(MackeyGlass(eta=0.9, p=7.0), delay=2.0, steps=64, start=np.full(65, 0.5), rounds=200)
    assert 0 < abs(trace[-1]) < 1e-6


def test_a_long_delay_makes_the_period_doubling_of_the_map() -> None:
    slope, w = first_instability(20.0)
    assert slope == pytest.approx(-1, abs=0.02) and w == pytest.approx(math.pi / 20, rel=0.06)


def test_an_input_that_jumps_is_followed_as_scipy_does() -> None:
    element, tau, hold = Ikeda(beta=1.5, phi=0.4), 1.0, 0.25
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, 8)
    # Without a history the first delay is a linear equation: x' = -x + F(J), piece by piece.
    loop = DelayLoop(element, tau=tau, step=hold / 50, delay=400)
    trace = loop.run(loop.rest(1), torch.from_numpy(np.repeat(values, 50))[:, None])[401:, 0].numpy()
    x, exact = 0.0, []
    for value in values:
        target = element.beta * math.sin(value + element.phi) ** 2
        x = target + (x - target) * math.exp(-hold / tau)
        exact.append(x)
    assert np.allclose(trace[49::50], exact, rtol=1e-13)  # exact for what is constant over a step
    # Then x feeds back: the second delay against an integrator of tight tolerance.
    again = loop.run(loop.rest(1), torch.from_numpy(np.repeat(np.tile(values, 2), 50))[:, None])[401:, 0].numpy()
    first = np.concatenate(([0.0], again[:400]))
    grid = np.arange(401) * hold / 50
    x = again[399]
    for k, value in enumerate(values):

        def slope(t: float, state: NDArray[Any], value: float = value, k: int = k) -> NDArray[Any]:
            return -state + element.beta * math.sin(np.interp(t, grid, first) + value + element.phi) ** 2

        span = (k * hold, (k + 1) * hold)
        x = solve_ivp(slope, span, [x], rtol=1e-10, atol=1e-12, max_step=hold / 50).y[0, -1]
        # F between points is taken as linear: h^2 / 8 of its second derivative of some units, 1e-5.
        assert again[400 + 50 * (k + 1) - 1] == pytest.approx(x, abs=1e-5)


def test_virtual_nodes_are_samples_of_the_signal() -> None:
    system = node(loops=3, substeps=5)
    drive = drives(system, 4)
    signal = system.signal(drive)
    assert signal.shape == (4, 3 * 9 * 5)
    assert torch.allclose(respond(system, drive).double(), signal[:, -45:][:, 4::5], rtol=1e-6)


def test_the_input_is_the_drive_times_the_mask_of_the_seed() -> None:
    system = node(form="mackey_glass", feedback=1.0, gain=1e-4, loops=1, substeps=1, signed=True)
    drive = drives(system, 3)
    # The first round of a weak input is a linear low pass of J.
    kept = math.exp(-0.2)
    expected, x = [], torch.zeros(3, dtype=torch.float64)
    for value in (drive.double() @ system.mask.T).T:
        x = x * kept + value * (1 - kept)
        expected.append(x)
    assert torch.allclose(respond(system, drive).double(), torch.stack(expected, 1), rtol=1e-3, atol=1e-9)
    assert torch.equal(system.mask, node(gain=1e-4).mask) and not torch.equal(system.mask, node(gain=1e-4, seed=1).mask)
    assert len(np.unique(system.mask.abs().numpy())) == 1
    assert float(node(mask="uniform", gain=1.0).mask.abs().max()) <= 1 / math.sqrt(5)


@pytest.mark.parametrize("responses", [3, 9, 40])
def test_a_row_does_not_depend_on_the_others_nor_on_threads(responses: int) -> None:
    system = node(responses=responses)
    drive = drives(system, 75)
    together = respond(system, drive)
    for row in (0, 33, 74):
        assert torch.equal(respond(system, drive[row : row + 1])[0], together[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 3)
        assert torch.equal(respond(system, drive), together)
    finally:
        torch.set_num_threads(threads)


def test_with_memory_rows_go_on_where_the_last_one_ended() -> None:
    system, forgetful = node(memory=True, loops=1), node(loops=1)
    drive = drives(system, 6)
    whole = respond(system, drive)
    assert torch.allclose(whole[0], respond(forgetful, drive)[0])
    assert (whole[1:] - respond(forgetful, drive)[1:]).abs().max() > 0.01
    system.reset()
    first = respond(system, drive[:2])
    state = {name: np.array(value) for name, value in system.state().items()}
    respond(system, drive)
    system.restore(state)
    assert torch.equal(torch.cat((first, respond(system, drive[2:]))), whole)
    with pytest.raises(SessionError, match="history of shape"):
        system.restore({"history": np.zeros(3)})


@pytest.mark.parametrize("options", [{}, {"memory": True, "loops": 1}, {"form": "mackey_glass", "exponent": 3.0}])
def test_the_gradient_agrees_with_differences(options: dict[str, Any]) -> None:
    drive = (0.2 + 0.6 * drives(node(**options), 3)).requires_grad_()
    response = node(**options).forward(drive, np.arange(3))
    weight = torch.randn(response.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((response * weight).sum(), drive)
    for row, channel in ((0, 0), (1, 4)):
        change = torch.zeros_like(drive)
        change[row, channel] = 2.0**-6
        with torch.no_grad():
            both = [(respond(node(**options), drive + sign * change) * weight).sum() for sign in (1, -1)]
        # Second differences leave 2^-12 / 6 of a third derivative, and 27 responses of some tenths round by 2^-25 each
        # over 2^-5.
        assert float(gradient[row, channel]) == pytest.approx(float(both[0] - both[1]) / 2.0**-5, abs=2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": 1e-6}, "More substeps"),
        ({"exponent": 2.0}, "exponent of electronic_node must be left out"),
        ({"form": "mackey_glass", "bias": 0.1}, "bias of electronic_node must be left out"),
        ({"form": "mackey_glass", "exponent": 0.5}, "p >= 1"),
        ({"feedback": 0.0}, "beta must be > 0"),
        ({"mask": "ones"}, "signs or uniform"),
        ({"responses": 0}, "responses of electronic_node must be >= 1"),
        ({"shift": -1}, "shift of electronic_node must be >= 0, got -1"),
        ({"gain": math.nan}, "gain of electronic_node must be > 0"),
        ({"tau": 0.0}, "tau must be > 0 s"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        node(**options)


def test_its_options_can_be_read_from_a_file() -> None:
    options = {**SMALL, "form": "mackey_glass", "exponent": 7.0, "memory": True}
    assert ElectronicNode(**arguments(options_model(ElectronicNode), options)).spec.stateful
