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
from scipy import stats

from physnet.contracts import Differentiable, PhysicalSystem, Stateful, Tunable
from physnet.errors import DriveError, MeasurementError, SessionError, SpecError
from physnet.simulators.drift import Drift
from physnet.simulators.programmable_cavity import ProgrammableCavity
from physnet.testing import SystemConformance, random_drives

CENTRE = 2.45e9
# 73 dipoles: as much physics as the default, in a tenth of the time.
SMALL: dict[str, Any] = {"size": (0.7, 0.6), "wall_spacing": 0.05, "scatterers": 4, "drives": 12, "responses": 12}
SMALL |= {"frequencies": (2.4e9, CENTRE, 2.5e9)}
# Rounding of a solution is 2^-53 times the condition number, some 1e3 to 1e4: three decimals to spare.
SAME = 1e-9


def small(**options: Any) -> ProgrammableCavity:
    return ProgrammableCavity(**(SMALL | options))


def drives(cavity: ProgrammableCavity, rows: int, seed: int = 0) -> NDArray[Any]:
    drive = random_drives(cavity.spec, rows=rows, seed=seed)
    assert isinstance(drive, np.ndarray)
    return drive


def respond(cavity: ProgrammableCavity, drive: NDArray[Any]) -> NDArray[Any]:
    response = cavity.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    assert isinstance(response, np.ndarray)
    return response


def difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class TestSwitched(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return small()


class TestTwoBits(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return small(control="2-bit", trainable=3)


class TestContinuous(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return small(control="continuous", response="modulus")


class TestStretching(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return small(stretch=Drift(rate=0.01))


def test_it_declares_itself() -> None:
    still = small()
    assert isinstance(still, PhysicalSystem) and isinstance(still, Stateful)
    assert isinstance(still, Tunable) and isinstance(still, Differentiable)
    assert still.spec.nonlinearity == {"medium"} and still.spec.response.dtype == "complex128"
    assert still.spec.repeatable and still.spec.reproducible and not still.spec.stateful
    assert still.spec.drive.domain == "binary" and still.spec.identity["receivers"] == 2
    stretching = small(stretch=Drift(rate=1e-3), response="modulus").spec
    assert stretching.stateful and not stretching.repeatable and not stretching.reproducible
    assert stretching.nonlinearity == {"medium", "detector"} and stretching.response.dtype == "float64"
    assert small(control="continuous").spec.drive.domain == "non_negative"


@pytest.mark.parametrize("control", ["1-bit", "2-bit", "continuous"])
@pytest.mark.parametrize("trainable", [0, 5])
@pytest.mark.parametrize("response", ["complex", "modulus"])
def test_the_fast_path_gives_the_numbers_of_the_plain_one(control: Any, trainable: int, response: Any) -> None:
    # 13 channels of 2 bits: the last element has but one of its own.
    options = {"control": control, "trainable": trainable, "response": response, "drives": 13}
    fast, plain = small(**options), small(**options, route="full")
    drive = drives(fast, 20)
    assert difference(respond(fast, drive), respond(plain, drive)) < SAME
    for cavity in (fast, plain):
        for name, spec in cavity.parameters.items():
            cavity.configure({name: np.arange(spec.channels) % 2.0})
    assert difference(respond(fast, drive), respond(plain, drive)) < SAME


def test_the_default_cavity_is_computed_alike_by_both_paths() -> None:
    options: dict[str, Any] = {"drives": 64, "responses": 8, "frequencies": (CENTRE,)}
    fast, plain = ProgrammableCavity(**options), ProgrammableCavity(**options, route="full")
    drive = drives(fast, 3)
    assert fast.spec.identity["environment"] == 304
    assert difference(respond(fast, drive), respond(plain, drive)) < SAME


@pytest.mark.parametrize("options", [{}, {"control": "2-bit"}, {"control": "continuous", "trainable": 4}])
def test_the_equivalent_multiport_agrees(options: dict[str, Any]) -> None:
    cavity = small(**options, element_damping=0.01)
    drive = drives(cavity, 10)
    if cavity.parameters:
        cavity.configure({"elements": np.linspace(0, 1, 4)})
    # Receivers x transmitters x frequencies, two of each.
    measured = respond(cavity, drive).reshape(10, 2, 2, 3)
    for f, frequency in enumerate(SMALL["frequencies"]):
        network = cavity.multiport(frequency)
        transfer = network.transfer(cavity.reflection(drive, frequency))
        assert difference(transfer[:, 2:, :2], measured[..., f]) < SAME
        assert np.abs(transfer - transfer.transpose(0, 2, 1)).max() < 1e-12 * np.abs(transfer).max()  # reciprocal
        for a, b in ((network.mutual_RR, network.mutual_RR), (network.out_AR, network.into_RA)):
            assert np.abs(a - b.T).max() < 1e-12 * np.abs(a).max()
        assert np.linalg.norm(network.mutual_RR, 2) < 1  # passive


def test_states_of_two_bits_reflect_a_quarter_of_a_turn_apart() -> None:
    cavity = small(control="2-bit", drives=8)
    (reflected,) = cavity.reflection(np.array([[0, 0, 0, 1, 1, 0, 1, 1]]), CENTRE)
    # Off is not quite transparent: a load of 4 pi^2 24 / 0.25 against k^2 / 4 = pi^2 turns the phase by 2 / 384.
    assert np.abs(reflected[0] - 1) < 6e-3
    assert np.abs(reflected[1:] - [1j, -1, -1j]).max() < 1e-12


def test_weak_elements_add_up() -> None:
    # In the Born limit the change by several elements is the sum of the changes by each; what is missing are waves
    # that meet two of them, of second order in the polarizability, which is chi^2 far from the resonance.
    strengths = np.array([0.02, 0.04, 0.08])
    errors = []
    for strength in strengths:
        cavity = small(element_strength=float(strength), resonances=(5 * CENTRE, 1.5 * CENTRE))
        one = np.eye(12)
        alone = respond(cavity, one) - respond(cavity, 0 * one)
        together = respond(cavity, np.ones((1, 12))) - respond(cavity, np.zeros((1, 12)))
        errors.append(np.linalg.norm(together - alone.sum(0)))
    order = np.diff(np.log(errors)) / np.diff(np.log(strengths**2))
    assert np.abs(order - 2).max() < 0.2


def test_strong_elements_do_not_add_up() -> None:
    cavity = small()
    one = np.eye(12)
    alone = respond(cavity, one) - respond(cavity, 0 * one)
    together = respond(cavity, np.ones((1, 12))) - respond(cavity, np.zeros((1, 12)))
    assert np.linalg.norm(together - alone.sum(0)) > 0.3 * np.linalg.norm(together)


def test_random_patterns_make_rayleigh_fading() -> None:
    # Many waves of random phase add up to a circular Gaussian field, if losses leave no single resonance on top.
    rows = 1000
    cavity = ProgrammableCavity(
        drives=148, responses=10, frequencies=(CENTRE,), wall_damping=1000.0, element_damping=0.1
    )
    field = respond(cavity, drives(cavity, rows))
    mean, deviation = field.mean(0), field.std(0)
    # Kolmogorov-Smirnov at 1e-3 for ten channels together: sqrt(-ln(1e-4 / 2) / 2) / sqrt(n), 0.07. The scale is
    # estimated from the sample, which makes the statistic smaller.
    allowed = math.sqrt(-math.log(1e-4 / 2) / 2) / math.sqrt(rows)
    for r in range(10):
        stirred = np.abs(field[:, r] - mean[r]) / deviation[r] * math.sqrt(2)
        assert stats.kstest(stirred, "rayleigh").statistic < allowed
    # What no pattern changes is little for most pairs: |S21| as a whole is Rayleigh, but for what a Rice distribution
    # of that K differs from one of the same power.
    unstirred = np.abs(mean) ** 2 / deviation**2
    weak = np.flatnonzero(unstirred < 0.25)
    assert len(weak) >= 2
    for r in weak.tolist():
        size = np.abs(field[:, r])
        scale = math.sqrt((size**2).mean() / 2)
        grid = np.linspace(0, 5, 500)
        k = unstirred[r]
        rice = stats.rice.cdf(grid, math.sqrt(2 * k), scale=math.sqrt(1 / (1 + k)))
        bias = np.abs(rice - stats.rayleigh.cdf(grid)).max()
        assert bias < 0.02
        assert stats.kstest(size / scale, "rayleigh").statistic < allowed + bias
    r = int(np.argmax(unstirred))  # and a pair with a strong direct wave is not: the test can tell
    size = np.abs(field[:, r])
    assert stats.kstest(size / math.sqrt((size**2).mean() / 2), "rayleigh").statistic > allowed


def test_a_stretched_spectrum_is_that_of_the_whole_cavity_at_other_frequencies() -> None:
    amplitude = 2e-3
    options: dict[str, Any] = {"seconds_per_pass": 1.0, "response": "modulus"}
    cavity = small(stretch=Drift(profile="square", amplitude=amplitude, period=6.0), **options)
    drive = np.repeat(drives(cavity, 1), 6, axis=0)
    found = respond(cavity, drive)
    for rows, stretch in ((slice(0, 3), amplitude), (slice(3, 6), -amplitude)):
        frequencies = tuple(f * (1 + stretch) for f in SMALL["frequencies"])
        plain = small(route="full", **options | {"frequencies": frequencies})
        assert difference(found[rows], respond(plain, drive[rows])) < SAME
    assert difference(found[:1], respond(small(**options), drive[:1])) > 1e-3


def test_the_stretch_moves_in_steps_of_the_clock() -> None:
    def make() -> ProgrammableCavity:
        return small(stretch=Drift(rate=1e-3), seconds_per_pass=1.0, stretch_step=2e-3)

    whole, cut = make(), make()
    drive = np.repeat(drives(whole, 1), 7, axis=0)
    found = respond(whole, drive)
    assert np.array_equal(np.concatenate([respond(cut, drive[:2]), respond(cut, drive[2:])]), found)
    steps = np.rint(np.arange(7) / 2) * 2e-3  # halves go to the even step
    for row, stretch in enumerate(steps):
        plain = small(frequencies=tuple(f * (1 + stretch) for f in SMALL["frequencies"]))
        assert difference(found[row : row + 1], respond(plain, drive[:1])) < SAME
    assert len(np.unique(found[:, 0])) == len(np.unique(steps)) == 4
    whole.reset()
    assert np.array_equal(respond(whole, drive), found)
    with pytest.raises(MeasurementError, match="stretch"):
        respond(small(stretch=Drift(rate=-1.0), seconds_per_pass=1.0), drive[:2])


@pytest.mark.parametrize("options", [{}, {"control": "2-bit"}, {"control": "continuous"}, {"response": "modulus"}])
def test_a_row_has_the_same_bits_wherever_it_stands(options: dict[str, Any], threads: int) -> None:
    cavity = small(**options | {"drives": 40, "responses": 21, "transmitters": 1, "element_spacing": 0.03})
    drive = drives(cavity, 300)
    torch.set_num_threads(1)
    whole = respond(cavity, drive)
    torch.set_num_threads(threads)
    assert np.array_equal(respond(cavity, drive), whole)
    order = np.random.default_rng(0).permutation(300)
    assert np.array_equal(respond(cavity, drive[order]), whole[order])
    assert np.array_equal(np.concatenate([respond(cavity, drive[:1]), respond(cavity, drive[1:260])]), whole[:260])


@pytest.mark.parametrize("response", ["complex", "modulus"])
def test_a_gradient_agrees_with_finite_differences(response: Any) -> None:
    cavity = small(control="continuous", response=response, stretch=Drift(rate=1.0))
    drive = torch.from_numpy(drives(cavity, 3)).requires_grad_()
    passes = np.arange(3, dtype=np.int64)
    weight = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(3, 12)
    part = cavity.forward(drive, passes)
    value = (part.real + 2 * part.imag if response == "complex" else part) * weight
    (gradient,) = torch.autograd.grad(value.sum(), drive)
    step = 1e-5

    def shifted(shift: NDArray[Any]) -> float:
        cavity.reset()
        found = respond(cavity, drive.detach().numpy() + shift)
        return float(((found.real + 2 * found.imag if response == "complex" else found) * weight.numpy()).sum())

    for row, channel in ((0, 0), (1, 5), (2, 11)):
        shift = np.zeros((3, 12))
        shift[row, channel] = step
        # Central difference: truncation step^2 times a third derivative of up to 1e3 of the gradient; rounding of
        # 1e-15 over the step is less.
        slope = (shifted(shift) - shifted(-shift)) / (2 * step)
        assert abs(slope - float(gradient[row, channel])) < 1e-6 * float(gradient.abs().max())


@pytest.mark.parametrize("control", ["1-bit", "2-bit"])
def test_the_gradient_by_a_bit_interpolates_its_inverse_polarizability(control: Any) -> None:
    cavity = small(control=control, frequencies=(CENTRE,), responses=4)
    drive = drives(cavity, 1)
    leaf = torch.from_numpy(drive.copy()).requires_grad_()
    (gradient,) = torch.autograd.grad(cavity.forward(leaf, np.zeros(1, np.int64)).real.sum(), leaf)
    network = cavity.multiport(CENTRE)
    for channel in (0, 3):
        load = {}
        for bit in (0.0, 1.0):
            drive[0, channel] = bit
            reflected = cavity.reflection(drive, CENTRE)
            load[bit] = 1j * (1 + reflected) / (1 - reflected)  # in units of k^2 / 4
        here = float(leaf.detach()[0, channel])
        at, step = [], 1e-6
        for shift in (-step, step):
            mixed = load[0.0] + (here + shift) * (load[1.0] - load[0.0])
            at.append(network.transfer((mixed - 1j) / (mixed + 1j))[0, 2:, :2].real.sum())
        # As above; the load of a switched-off element, some 400, loses three digits on its way through 1 - r.
        slope = (at[1] - at[0]) / (2 * step)
        assert abs(slope - float(gradient[0, channel])) < 1e-4 * float(gradient.abs().max())
        drive[0, channel] = here


def test_parameters_are_written_counted_and_checked() -> None:
    cavity = small(trainable=3)
    drive = drives(cavity, 2)
    before = respond(cavity, drive)
    assert cavity.parameters["elements"].shape == (3,) and cavity.parameters["elements"].domain == "binary"
    bad: Any
    for bad in ({}, {"phases": np.zeros(3)}, {"elements": np.zeros(2)}, {"elements": np.array([0, 0.5, 1])},
                {"elements": np.array([0, np.nan, 1])}):  # fmt: skip
        with pytest.raises(DriveError):
            cavity.configure(bad)
    assert np.array_equal(respond(cavity, drive), before)
    values = np.array([1.0, 0.0, 1.0])
    assert cavity.configure({"elements": values}) == 1
    values[:] = 0  # the caller's own
    after = respond(cavity, drive)
    assert difference(after, before) > 1e-3
    saved = cavity.state()
    assert cavity.configure({"elements": np.zeros(3)}) == 2
    assert np.array_equal(respond(cavity, drive), before)
    cavity.restore(saved)
    assert np.array_equal(respond(cavity, drive), after)
    with pytest.raises(SessionError, match="elements"):
        cavity.restore(small().state())
    assert small().parameters == {}
    with pytest.raises(DriveError, match="none"):
        small().configure({"elements": np.zeros(3)})


@pytest.mark.parametrize(
    "options",
    [
        {"drives": 0},
        {"responses": 7},
        {"responses": 0},
        {"transmitters": 0},
        {"frequencies": ()},
        {"frequencies": (0.0,)},
        {"centre": math.nan},
        {"control": "3-bit"},
        {"resonances": (1e9,)},
        {"control": "2-bit", "resonances": (1e9, 2e9)},
        {"response": "power"},
        {"route": "fast"},
        {"trainable": -1},
        {"size": (0.1, 0.6)},
        {"wall_spacing": 1.0},
        {"wall_damping": -1.0},
        {"element_strength": 0.0},
        {"standoff": 0.0},
        {"element_spacing": 0.3},
        {"drives": 500},
        {"scatterers": 5000},
        {"stretch": Drift(rate=1.0), "seconds_per_pass": 0.0},
        {"stretch_step": 0.0},
    ],
)
def test_options_that_make_no_cavity_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must"):
        small(**options)


def test_its_options_can_be_checked_as_a_table() -> None:
    hints = get_type_hints(ProgrammableCavity.__init__, include_extras=True)
    parameters = inspect.signature(ProgrammableCavity).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
    }
    table = create_model("Table", **fields)
    good = table.model_validate({"drives": 3, "responses": 10, "stretch": {"rate": 0.1}, "control": "2-bit"})
    assert ProgrammableCavity(**dict(good)).spec.stateful
    for bad in ({"drives": 0, "responses": 10}, {"drives": 3, "responses": 10, "control": "analog"}):
        with pytest.raises(ValidationError):
            table.model_validate(bad)
