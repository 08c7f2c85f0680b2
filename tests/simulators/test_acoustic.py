"""The acoustic cavity as a system: its contract, its routes, and what it is known to do."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from physnet.contracts import PhysicalSystem, Stateful
from physnet.errors import MeasurementError, SpecError
from physnet.registry import arguments, options_model
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.acoustic_transfer import Squares
from physnet.testing import SystemConformance, random_drives

SMALL: dict[str, Any] = {"size": (0.5, 0.4), "pitch": 0.02, "scatterers": 3, "sources": 4, "tones": (1000.0, 1400.0)}
SMALL |= {"slot": 5e-3, "slot_spacing": 2e-3, "reverberation": 0.02}
ELEMENTS: dict[str, Any] = {
    "elements": 6,
    "threshold": 0.05,
    "stiffness_frequency": 1200.0,
    "element_damping": 5e3,
    "phenomenological_speed": 0.5,
}
needs_numba = pytest.mark.skipif(not is_available(), reason="needs numba")
BACKENDS = ["torch", pytest.param("numba", marks=needs_numba)]


def cavity(**options: Any) -> AcousticCavity:
    return AcousticCavity(**{"drives": 20, "responses": 12, **SMALL, **options})


def drives(system: AcousticCavity, rows: int = 6, seed: int = 0) -> torch.Tensor:
    drive = random_drives(system.spec, rows=rows, seed=seed)
    assert isinstance(drive, torch.Tensor)
    return drive


def respond(system: AcousticCavity, drive: torch.Tensor) -> torch.Tensor:
    response = system.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    assert isinstance(response, torch.Tensor)
    return response


class TestEnergy(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return cavity()


class TestLockIn(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return cavity(response="lock_in", signed=True)


class TestAudio(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return cavity(drive="audio", drives=60, slices=3, order=4)


class TestNonlinearTorch(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return cavity(**ELEMENTS, backend="torch", order=4)


@needs_numba
class TestNonlinearNumba(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return cavity(**ELEMENTS, backend="numba", sides=("absorbing", "closed", "closed", "soft"), layer=6)


class TestMemory(SystemConformance):
    rows = 4

    def make_system(self) -> PhysicalSystem:
        return cavity(memory=True, drives=8)


def test_it_declares_itself() -> None:
    linear, nonlinear, remembers = cavity(), cavity(**ELEMENTS), cavity(memory=True)
    assert isinstance(linear, PhysicalSystem) and isinstance(linear, Stateful)
    assert linear.spec.nonlinearity == {"detector"} and linear.spec.repeatable and not linear.spec.stateful
    assert nonlinear.spec.nonlinearity == {"medium", "detector"} and nonlinear.spec.reproducible
    assert cavity(response="lock_in").spec.nonlinearity == frozenset()
    assert cavity(elements=5).spec.nonlinearity == {"detector"}  # elements that do nothing
    assert remembers.spec.stateful and not remembers.spec.repeatable and not remembers.spec.reproducible
    assert linear.spec.response.unit == "Pa2 s" and linear.spec.drive.domain == "non_negative"
    json.dumps(dict(linear.spec.identity))


def test_every_option_can_stand_in_an_experiment_file() -> None:
    model = options_model(AcousticCavity)
    options = {
        "drives": 20,
        "responses": 12,
        "sides": ["closed", "soft", "absorbing", "closed"],
        "tones": [500.0, 750.0],
    }
    given = arguments(model, {**options, "slots": 3, "size": [0.5, 0.5], "route": "field"})
    assert AcousticCavity(**given).spec.drive.channels == 20
    documented = inspect.getdoc(AcousticCavity) or ""
    assert all(f"{name}:" in documented for name in inspect.signature(AcousticCavity).parameters)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slices": 3, "order": 4, "resonators": 3},
        {"response": "lock_in"},
        {"sides": ("absorbing", "closed", "soft", "absorbing"), "layer": 6, "speed_variation": 0.05},
        {"drive": "audio", "drives": 60, "slices": 2, "order": 4, "admittance": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_matrix_of_a_linear_cavity_gives_the_numbers_of_its_field(options: dict[str, Any], backend: Any) -> None:
    matrix, field = cavity(**options), cavity(**options, route="field", backend=backend)
    drive = drives(matrix, 5)
    expected, response = respond(field, drive), respond(matrix, drive)
    # float32 rounds a step by 6e-8; over some 300 steps that adds up to 1e-5 of the field at most, twice of an energy.
    assert (response - expected).abs().max() < 2e-5 * expected.abs().max()


def test_the_squares_of_an_energy_are_few() -> None:
    # One slot that has settled: each of two tones has two quadratures. A soft side lets no static pressure stay, which
    # would be a fifth.
    options: dict[str, Any] = {"slot": 20e-3, "window": 5e-3, "ramp": 5e-3, "reverberation": 5e-3}
    system = cavity(drives=8, **options, sides=("soft", "closed", "closed", "closed"))
    respond(system, drives(system))
    assert isinstance(system._transfer.matrix, Squares)
    # What rang from the rise has fallen by 60 dB a 5 ms, twice: its energy to 1e-12, below the 1e-9 that is left out.
    assert system._transfer.matrix.rank == 4


def test_a_linear_cavity_is_homogeneous_of_degree_one_before_its_detector() -> None:
    field = cavity(response="lock_in", signed=True, route="field", backend="torch")
    drive = drives(field)
    # a factor of a power of two scales float32 exactly, and so does a change of sign
    assert torch.equal(respond(field, drive / 4), respond(field, drive) / 4)
    assert torch.equal(respond(field, -drive), -respond(field, drive))
    energy = cavity(signed=True)
    assert torch.equal(respond(energy, -drive), respond(energy, drive))
    assert torch.equal(respond(energy, drive / 4), respond(energy, drive) / 16)
    assert torch.count_nonzero(respond(energy, 0 * drive)) == 0


def test_a_linear_cavity_mixes_nothing_between_tones() -> None:
    # The sound of the rise has fallen by 60 dB a 4 ms when the window opens, 15 ms after its end: by 1e-11.
    options = {"response": "lock_in", "slot": 25e-3, "window": 5e-3, "ramp": 5e-3, "reverberation": 4e-3, "drives": 8}
    system = cavity(**options, signed=True, responses=10)
    drive = torch.zeros(1, 8)
    drive[0, 0::2] = 1.0  # the first tone, from every source
    first, second = respond(system, drive)[0].view(5, 2).abs().unbind(1)
    # The window holds whole periods of both: a settled tone is not seen at the other but for the rounding of
    # float32 sums over it.
    assert float(first.min()) > 0
    assert float(second.max()) < 1e-5 * float(first.max())


@pytest.mark.parametrize("kind", ["stiffness_frequency", "element_damping", "phenomenological_speed"])
def test_a_nonlinear_element_makes_tones_that_nobody_played(kind: str) -> None:
    options = {
        "response": "lock_in",
        "tones": (1000.0, 1400.0, 1800.0, 600.0),
        "drives": 16,
        "responses": 20,
        "slot": 2e-2,
    }
    options |= {"window": 5e-3, "reverberation": 5e-3, "ramp": 0.0}
    drive = torch.zeros(1, 16)
    drive[0, 0::4] = drive[0, 1::4] = 1.0  # 1 000 and 1 400 Hz: the others are 2 f2 - f1 and 2 f1 - f2
    shares = []
    for strength in (0.0, ELEMENTS[kind]):
        heard = respond(cavity(**options, elements=40, threshold=0.05, **{kind: strength}), drive)[0].view(5, 4).abs()
        shares.append(float(heard[:, 2:].square().sum() / heard.square().sum()))
    # Linear: what the window does not see, but for float32. Nonlinear: seen a hundred times above that.
    assert shares[0] < 1e-8
    assert shares[1] > 1e-6


def test_drives_of_different_slots_interfere() -> None:
    system = cavity(drives=16, slots=2, signed=True)
    one, two = torch.zeros(1, 16), torch.zeros(1, 16)
    one[0, 0], two[0, 8] = 1.0, 1.0  # the same tone of the same source, one slot later
    apart, together = respond(system, one) + respond(system, two), respond(system, one + two)
    cross = (together - apart).abs().max() / apart.max()
    assert float(cross) > 0.05


def test_memory_carries_the_sound_into_the_next_row() -> None:
    remembers, forgets = cavity(memory=True, drives=8), cavity(drives=8, route="field")
    drive = drives(remembers, 3)
    rows = respond(remembers, drive)
    fresh = respond(forgets, drive)
    assert torch.allclose(rows[0], fresh[0], rtol=1e-4)
    assert float((rows[1] - fresh[1]).abs().max() / fresh[1].max()) > 1e-3
    remembers.reset()
    assert torch.equal(respond(remembers, drive[:1]), rows[:1])
    # in other batches the same
    assert torch.equal(respond(remembers, drive[1:]), rows[1:])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_field_that_runs_away_ends_the_measurement(backend: Any) -> None:
    system = cavity(route="field", backend=backend)
    system.scheme.weight_P[:] *= 1.5  # what no time step that construction accepts can do
    with pytest.raises(MeasurementError, match=r"acoustic, from row 0: the field .* at step \d+ .* cell \(y, x\)"):
        respond(system, drives(system))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"responses": 13, "slices": 2}, "multiple of its 2 slices"),
        ({"response": "lock_in", "responses": 13}, "multiple of its 2 tones"),
        ({"response": "lock_in", "tones": (1000.0, 1333.0)}, "multiple of 200 Hz, got 1333 Hz"),
        ({"response": "lock_in", "drive": "audio"}, "lock-in of acoustic must have tones"),
        ({"slots": 1}, "slots of acoustic must be >= 3 for 20 drives"),
        ({"route": "transfer", **ELEMENTS}, "it is no matrix"),
        ({"route": "transfer", "memory": True}, "it is no matrix"),
        ({"time_step": 1e-3}, "time step must be > 0 and at most"),
        ({"drive": "audio", "time_step": 1e-5}, "left out with audio"),
        ({"window": 1.0}, "time steps"),
        ({"drives": 1, "responses": 600}, "microphones must fit"),
        ({"route": "field", "backend": "numba", "device": "meta"}, "backend of acoustic"),
        ({"size": (0.02, 0.02)}, "at least 3 cells"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        cavity(**options)


def test_more_microphones_move_nothing_else() -> None:
    few, many = cavity(responses=4), cavity(responses=8)
    drive = drives(few)
    assert torch.equal(few.signals(drive), many.signals(drive)[:, :4])


def test_no_microphone_stands_in_a_closed_pocket() -> None:
    # Eighty disks on 25 x 20 cells close many off.
    system = cavity(scatterers=80, scatterer_radius=0.02, responses=20, drives=8)
    assert float(respond(system, torch.ones(1, 8)).min()) > 0


def test_audio_is_interpolated_between_its_samples() -> None:
    system = cavity(drive="audio", drives=64, order=4)
    ratio = system._codec._ratio  # type: ignore[attr-defined]
    t = torch.arange(64 * ratio) / ratio
    wave = system._codec.waveforms(torch.sin(2 * math.pi * 0.1 * torch.arange(64.0))[None])[0, 0]
    middle = slice(16 * ratio, 48 * ratio)
    # A window of eight zero crossings each side passes a tenth of the sampling rate but for some 1e-3.
    assert (wave - torch.sin(2 * math.pi * 0.1 * t))[middle].abs().max() < 3e-3
    assert torch.allclose(wave[::ratio][16:48], torch.sin(2 * math.pi * 0.1 * torch.arange(16.0, 48.0)), atol=1e-6)


def test_it_works_where_numba_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import physnet, numpy as np, torch, importlib.util\n"
        "from physnet.simulators import acoustic_numba\n"
        "find = importlib.util.find_spec\n"
        "acoustic_numba.importlib.util.find_spec = lambda name: None if name == 'numba' else find(name)\n"
        "from physnet.simulators.acoustic import AcousticCavity\n"
        "box = AcousticCavity(drives=4, responses=3, size=(0.3, 0.3), pitch=0.03, scatterers=0, route='field')\n"
        "print(float(box.measure(torch.ones(2, 4), np.arange(2)).response.min()) > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
