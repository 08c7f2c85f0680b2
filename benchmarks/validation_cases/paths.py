"""Cases that compare fast paths with plain ones: compiled steps, matrices, tiles, scans, and a GPU where one is there.

Axis letters: N rows; D drives; V virtual nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from physnet.allowed_drives import random_drives
from physnet.contracts import PhysicalSystem
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_grid import Grid
from physnet.simulators.acoustic_media import Elements
from physnet.simulators.acoustic_numba import NumbaSolver, is_available
from physnet.simulators.acoustic_torch import TorchSolver
from physnet.simulators.delay_loop import DelayLoop, Ikeda
from physnet.simulators.fibre_kerr import QuadratureKerr, TensorKerr
from physnet.simulators.fibre_links import make_junctions
from physnet.simulators.fibre_numba import NumbaPropagator
from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.simulators.multimode_fibre import MultimodeFibre
from physnet.simulators.nonlinear_waveguide import NonlinearWaveguide
from physnet.simulators.scattering import ScatteringMedium
from physnet.simulators.waveguide_medium import TimeGrid
from physnet.simulators.waveguide_numba import NumbaSolver as CompiledPulses
from physnet.simulators.waveguide_torch import TorchSolver as PlainPulses

from .acoustic_boxes import cells, ricker, scheme_of, varied
from .fibre_light import GRADED, amplitudes, double, line, solved
from .outcome import Case, NotHereError, Outcome, error_check
from .waveguide_pulses import T0, error, guide, soliton

EPSILON = 2.0**-24
BOX: dict[str, Any] = {"size": (0.5, 0.4), "pitch": 0.02, "scatterers": 3, "sources": 4, "tones": (1000.0, 1400.0)}
BOX |= {"slot": 5e-3, "slot_spacing": 2e-3, "reverberation": 0.02, "drives": 20, "responses": 12}
FIBRE: dict[str, Any] = {"drives": 9, "responses": 16, "radius": 8e-6, "length": 1e-3, "peak_power": 1e6}


def respond(system: PhysicalSystem, rows: int = 6) -> torch.Tensor:
    """Return responses to random drives, on the CPU in double precision."""
    drive = torch.as_tensor(random_drives(system.spec, rows=rows))
    response = system.measure(drive.to(system.spec.device), np.arange(rows, dtype=np.int64)).response
    return torch.as_tensor(response).cpu().double()


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference over the largest number."""
    return float((found - expected).abs().max() / expected.abs().max())


def _needs_numba() -> None:
    if not is_available():
        raise NotHereError("numba is not installed")


def compiled_acoustic_steps() -> Outcome:
    """Compiled and plain steps of a box with everything in it, absorbing on two sides, in single precision."""
    _needs_numba()
    checks = []
    elements = Elements(
        cells=cells((11, 12), (11, 13), (12, 20), (23, 15)), threshold=0.02, stiffness=(2 * math.pi * 1500) ** 2,
        damping=4e4, speed=0.8,
    )  # fmt: skip
    for order in (2, 4):
        sides: Any = ("closed", "absorbing", "soft", "absorbing")
        grid = Grid(shape=(34, 37), pitch=0.01, order=order, sides=sides, layer=6)
        scheme = scheme_of(grid, varied(grid, elements=elements), single=True)
        source = ricker(1500.0, 150, scheme.time_step) * np.random.default_rng(2).uniform(0.5, 2, (5, 1, 1))
        plain, compiled = (
            solver(scheme, sources=cells((9, 10)), microphones=cells((25, 9), (10, 24))).propagate(source)[0]
            for solver in (TorchSolver, NumbaSolver)
        )
        checks.append(
            error_check(
                f"compiled with plain traces of 150 steps, over the largest, order {order}", tolerance=2e-5,
                measured=float(np.abs(compiled - plain).max() / np.abs(plain).max()),
                because="a step rounds by a few 2^-24 of the loudest; as a random walk 1e-6, as a sum 3e-5",
            )
        )  # fmt: skip
    return Outcome(checks=tuple(checks))


def matrix_of_a_linear_acoustic_cavity() -> Outcome:
    """A linear cavity as the matrix of its impulse responses, and step by step."""
    ways = [respond(AcousticCavity(**BOX, route=route)) for route in ("transfer", "field")]
    check = error_check(
        "energies by the matrix with those by steps, over the largest", measured=apart(*ways), tolerance=2e-5,
        because="400 steps round by 2^-24 each, random: 1e-6; energies double it, and a matrix of as many terms again",
    )  # fmt: skip
    return Outcome(checks=(check,))


def compiled_fibre_steps() -> Outcome:
    """Compiled steps of the multimode fibre in single precision, plain ones in double; the Kerr term as a tensor."""
    _needs_numba()
    modes = solved(GRADED, 6)
    junctions = make_junctions(modes, sections=3, coupling=0.3, kink=5e-3, seed=1)
    cut = line(modes, length=1e-3, peak_power=1e6, attenuation=10.0, junction_JMM=junctions)
    launched = amplitudes(37, 6)
    exact = double(cut, modes).propagate(launched)
    kerr = QuadratureKerr(modes.factors(), dtype=torch.float32, device=torch.device("cpu"))
    compiled = NumbaPropagator(cut, kerr, modes.factors()).propagate(launched.float())
    tensor = double(cut, modes, TensorKerr).propagate(launched)
    steps = cut.steps * cut.sections
    checks = (
        error_check(
            "compiled amplitudes with plain ones, power 1", measured=float((compiled - exact).abs().max()),
            tolerance=3 * math.sqrt(steps) * 8 * EPSILON,
            because=f"{steps} steps of 8 times 2^-24 each as a random walk, three times for the Kerr phase",
        ),
        error_check(
            "Kerr term in real space with the sum over four modes", measured=float((tensor - exact).abs().max()),
            tolerance=1e-13, because="the same nodes on both sides: sums of 2000 terms in another order, 2^-53 each",
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


def compiled_pulse_steps() -> Outcome:
    """Compiled steps of the waveguide in single precision, and plain ones in double, for 21 chirped pulses."""
    _needs_numba()
    steps, checks = 120, []
    for samples in (128, 512):
        grid = TimeGrid(samples=samples, window=40 * T0)
        rng = np.random.default_rng(samples)
        chirp = np.exp(1j * rng.uniform(-1, 1, (21, 1)) * (grid.time / T0) ** 2)
        field = torch.from_numpy(rng.uniform(0.3, 1.5, (21, 1)) * soliton(grid, 1, 0.0) * chirp)
        plain, compiled = (
            solver(guide(raman_fraction=0.18), grid, steps=steps).propagate(field).field_NT.numpy()
            for solver in (PlainPulses, CompiledPulses)
        )
        step = 2 * math.sqrt(math.log2(samples)) * EPSILON
        checks.append(
            error_check(
                f"compiled with plain pulses of {samples} samples", measured=error(compiled, plain),
                tolerance=(step * math.sqrt(steps) + EPSILON / 3 * steps) * (1 + 2 * 2.25),
                because="per step 2 sqrt(log2 samples) 2^-24 as a random walk and 2^-24 / 3 that add; times 5.5, as "
                "the Kerr effect turns amplitude into phase",
            )
        )  # fmt: skip
    return Outcome(checks=tuple(checks))


def tiled_scattering_product() -> Outcome:
    """The product of tiles in single precision, and the complex matrix in double."""
    checks = []
    for modulator in ("amplitude", "phase"):
        medium = ScatteringMedium(drives=37, responses=50, modulator=modulator)
        drive = torch.as_tensor(random_drives(medium.spec, rows=300)).double()
        field = torch.exp(1j * drive) if modulator == "phase" else drive + 0j
        expected = (field @ medium.matrix.to(torch.complex128).T).abs()
        checks.append(
            error_check(
                f"modulus with that of the matrix, {modulator} modulator", tolerance=1e-5,
                measured=float((respond(medium, 300) - expected).abs().max()),
                because="sums of up to 74 terms of either sign round by 2^-24 each, values of some units: 1e-6",
            )
        )  # fmt: skip
    return Outcome(checks=tuple(checks))


def scan_of_the_delay_loop() -> Outcome:
    """All steps of a round at once, and one after the other in plain Python."""
    element, steps, rounds, share = Ikeda(beta=1.5, phi=0.4), 40, 3, 0.05
    rng = np.random.default_rng(0)
    history, drive = rng.uniform(0, 1, steps + 1), rng.uniform(-1, 1, rounds * steps)
    loop = DelayLoop(element, tau=1.0, step=share, delay=steps)
    found = loop.run(torch.from_numpy(history)[:, None], torch.from_numpy(drive)[:, None])[:, 0].numpy()
    x = history.tolist()
    for k, held in enumerate(drive):
        early, late = (element.beta * math.sin(x[k + n] + held + element.phi) ** 2 for n in (0, 1))
        # The integral of exp(-(h - s)) F over a step in which F is linear.
        kept, mean = math.exp(-share), -math.expm1(-share) / share
        x.append(x[-1] * kept + early * (mean - kept) + late * (1 - mean))
    check = error_check(
        "trace of three rounds with that of a loop in Python", measured=float(np.abs(found - x).max()), tolerance=1e-14,
        because="sums of up to 40 terms below 1 in another order, 2^-53 each",
    )  # fmt: skip
    return Outcome(checks=(check,))


def tiled_product_of_a_mesh() -> Outcome:
    """Powers behind a mesh of 24 ports in single precision, and those of its matrix in double."""
    mesh = MachZehnderMesh(drives=24, responses=24, signed=True)
    drive = torch.as_tensor(random_drives(mesh.spec, rows=300)).double().numpy()
    expected = torch.from_numpy(np.abs(drive @ mesh.matrix.T) ** 2)
    check = error_check(
        "powers with those of the matrix", measured=float((respond(mesh, 300) - expected).abs().max()), tolerance=1e-5,
        because="sums of 24 terms of either sign round by 2^-24 each, powers of some units: 1e-6",
    )  # fmt: skip
    return Outcome(checks=(check,))


def _on_gpu(make: Callable[[str], PhysicalSystem], *, name: str, tolerance: float, because: str) -> Outcome:
    if not torch.cuda.is_available():
        raise NotHereError("no CUDA device here")
    both = [respond(make(device)) for device in ("cuda", "cpu")]
    check = error_check(f"{name} on the GPU with the CPU's, over the largest", measured=apart(*both),
                        tolerance=tolerance, because=because)  # fmt: skip
    return Outcome(checks=(check,))


def acoustic_on_a_gpu() -> Outcome:
    """Plain torch steps of an acoustic cavity on both devices."""
    options: dict[str, Any] = {**BOX, "route": "field", "backend": "torch"}
    because = "400 steps round by 2^-24 each, random, on either side: 2e-6; an energy doubles it"
    return _on_gpu(lambda d: AcousticCavity(**options, device=d), name="energies", tolerance=2e-5, because=because)


def waveguide_on_a_gpu() -> Outcome:
    """Plain torch steps of a waveguide on both devices, in double precision."""
    options: dict[str, Any] = {"drives": 20, "responses": 20, "backend": "torch", "precision": "double", "steps": 50}
    options |= {"length": 1.0}
    because = "50 steps of two transforms, 10 times 2^-53 each, and energies of many sizes: 1e-13"
    return _on_gpu(lambda d: NonlinearWaveguide(**options, device=d), name="energies", tolerance=1e-11, because=because)


def multimode_fibre_on_a_gpu() -> Outcome:
    """Plain torch steps of a strongly driven fibre on both devices."""
    because = "some 50 steps of a few 2^-24 and a square, as a random walk stretched by the Kerr phase"
    return _on_gpu(
        lambda d: MultimodeFibre(**FIBRE, backend="torch", device=d), name="camera", tolerance=300 * EPSILON,
        because=because,
    )  # fmt: skip


def scattering_on_a_gpu() -> Outcome:
    """The product of tiles on both devices."""
    because = "sums of 37 terms of either sign round by 2^-24 each: 1e-6"
    return _on_gpu(
        lambda d: ScatteringMedium(drives=37, responses=50, device=d), name="moduli", tolerance=1e-5, because=because
    )


CASES: tuple[Case, ...] = (
    compiled_acoustic_steps,
    matrix_of_a_linear_acoustic_cavity,
    compiled_fibre_steps,
    compiled_pulse_steps,
    tiled_scattering_product,
    scan_of_the_delay_loop,
    tiled_product_of_a_mesh,
    acoustic_on_a_gpu,
    waveguide_on_a_gpu,
    multimode_fibre_on_a_gpu,
    scattering_on_a_gpu,
)
