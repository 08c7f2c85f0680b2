"""What each solver says of numbers that are coarse or wrong: a case that provokes it, and the message that came."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from physnet.errors import PhysnetError
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.diode_network import DiodeNetwork
from physnet.simulators.electronic_node import ElectronicNode
from physnet.simulators.multimode_fibre import MultimodeFibre
from physnet.simulators.nonlinear_waveguide import NonlinearWaveguide
from physnet.simulators.numerics_warning import NumericsWarning
from physnet.simulators.programmable_cavity import ProgrammableCavity

BOX: dict[str, Any] = {"drives": 4, "responses": 3, "size": (0.5, 0.4), "pitch": 0.02, "scatterers": 3}
FIBRE: dict[str, Any] = {"drives": 9, "responses": 16, "radius": 8e-6, "length": 5e-3, "peak_power": 1e6}
PULSED: dict[str, Any] = FIBRE | {"pulse": 1e-12, "window": 5e-12, "samples": 32, "peak_power": 2e6, "length": 6e-3}
GUIDE: dict[str, Any] = {"drives": 8, "responses": 8, "backend": "torch"}


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A number that a solver watches.

    Args:
        medium: Whose.
        number: What is watched.
        fine: Up to where.
        act: What happens beyond: the system is `refused`, a row is (`row refused`), or a warning is given (`warns`).
        says: A regular expression that the message matches, with the number.
        provoke: Goes beyond.
    """

    medium: str
    number: str
    fine: str
    act: Literal["refused", "row refused", "warns"]
    says: str
    provoke: Callable[[], object]


def message(guard: Guard) -> str:
    """Provoke a guard and return what it says, or nothing if it stays silent."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NumericsWarning)
        try:
            guard.provoke()
        except PhysnetError as error:
            return str(error) if guard.act != "warns" else ""
    told = [str(one.message) for one in caught if issubclass(one.category, NumericsWarning)]
    return told[0] if told and guard.act == "warns" else ""


def _play(system: Any, drive: float | torch.Tensor) -> object:
    channels = system.spec.drive.channels
    rows = torch.full((1, channels), drive) if isinstance(drive, float) else drive
    return system.measure(rows, np.zeros(1, dtype=np.int64))


def _coarse_fibre() -> object:
    strong = FIBRE | {"peak_power": 3e6}
    scales = MultimodeFibre(**strong).scales
    return _play(MultimodeFibre(**strong, step=0.45 * min(scales.beat, scales.nonlinear)), 1.0)


def _chirped_fibre() -> object:
    return _play(MultimodeFibre(**PULSED, step=MultimodeFibre(**PULSED).line.step / 2), 1.0)


def _dispersed_fibre() -> object:
    single: dict[str, Any] = {"profile": "step", "radius": 4e-6, "numerical_aperture": 0.12, "length": 500.0}
    return _play(MultimodeFibre(drives=4, responses=4, **single, pulse=1e-12, window=6e-12, samples=32), 1.0)


GUARDS: tuple[Guard, ...] = (
    Guard(
        medium="Acoustic cavity", number="Courant number: time step over the largest stable one", fine="1",
        act="refused", says=r"at most \S+ s .* got 0\.001 s", provoke=lambda: AcousticCavity(**BOX, time_step=1e-3),
    ),
    Guard(
        medium="Acoustic cavity", number="speed of the highest tone on the grid, with its cells per wavelength",
        fine="5 % off", act="warns", says=r"4\.29 cells in a wavelength and travels \S+% too slowly",
        provoke=lambda: AcousticCavity(**BOX, tones=(1000.0, 4000.0)),
    ),
    Guard(
        medium="Acoustic cavity", number="pressure that absorbing layers send back", fine="5 %", act="warns",
        says=r"send back 0\.0\d+ of the pressure",
        provoke=lambda: AcousticCavity(**BOX, tones=(1000.0,), sides=("absorbing",) * 4, layer=4),
    ),
    Guard(
        medium="Programmable cavity", number="spacing of the wall's dipoles in the shortest wavelength", fine="1/2",
        act="warns", says=r"stand 0\.584 of the shortest wavelength apart",
        provoke=lambda: ProgrammableCavity(
            drives=4, responses=1, size=(0.7, 0.6), frequencies=(2.5e9,), transmitters=1, wall_spacing=0.07
        ),
    ),
    Guard(
        medium="Multimode fibre", number="steps per beat and per nonlinear length", fine="1", act="refused",
        says=r"step must be at most the shortest beat length .* got 0\.001 m",
        provoke=lambda: MultimodeFibre(**FIBRE, step=1e-3),
    ),
    Guard(
        medium="Multimode fibre", number="peak power over the critical one", fine="1", act="refused",
        says=r"peak_power must be below \S+ W.*got 2e\+07 W",
        provoke=lambda: MultimodeFibre(**FIBRE | {"peak_power": 2e7}),
    ),
    Guard(
        medium="Multimode fibre", number="energy that the steps lose", fine="2e-4", act="row refused",
        says=r"energy must be kept within 0\.0002, got a change by \S+\d", provoke=_coarse_fibre,
    ),
    Guard(
        medium="Multimode fibre", number="share of the energy in the outer frequencies: aliasing", fine="1e-3",
        act="row refused", says=r"of the frequencies, got \S+\d", provoke=_chirped_fibre,
    ),
    Guard(
        medium="Multimode fibre", number="share of the energy at the ends of the time window", fine="1e-3",
        act="row refused", says=r"of the window, got \S+\d", provoke=_dispersed_fibre,
    ),
    Guard(
        medium="Nonlinear waveguide", number="nonlinear phase of a step: steps per nonlinear length", fine="0.25 rad",
        act="refused", says=r"steps of \S+ must be >= \d+", provoke=lambda: NonlinearWaveguide(**GUIDE, steps=5),
    ),
    Guard(
        medium="Nonlinear waveguide", number="share of the energy at the edges of the spectrum: aliasing", fine="1e-3",
        act="row refused", says=r"edges of the spectrum must be <= 0\.001 .* got \S+\d",
        provoke=lambda: _play(NonlinearWaveguide(**GUIDE, length=1.0, energy=10e-9, steps=800, window=15e-12), 0.0),
    ),
    Guard(
        medium="Nonlinear waveguide", number="share of the energy at the ends of the time window", act="row refused",
        fine="1e-3, here 1e-4", says=r"edges of the time window must be <= 0\.0001 .* got \S+\d",
        provoke=lambda: _play(
            NonlinearWaveguide(
                drives=7, responses=12, samples=128, steps=20, length=1.0, window=2.8e-12, spot=0.1, edge_limit=1e-4
            ),
            torch.tensor([[0.0, 1.5, 3.1, 1.6, 0.0, 1.5, 3.1]]),  # a zigzag of phase: pulses earlier and later
        ),
    ),
    Guard(
        medium="Electronic node", number="time step over the time constant", fine="1/2", act="refused",
        says=r"at most tau / 2 = 1\.2e-07 s, got 2\.5e-07 s", provoke=lambda: ElectronicNode(
            drives=5, responses=9, spacing=1e-6
        ),
    ),
    Guard(
        medium="Electronic node", number="what linear steps leave out of the fed-back signal", fine="1 %", act="warns",
        says=r"steps of 0\.4 time constants leave out up to 2\.00%",
        provoke=lambda: ElectronicNode(drives=5, responses=9, spacing=96e-9, substeps=1),
    ),
    Guard(
        medium="Diode network", number="error of a decaying voltage at the first moment", fine="1/256", act="warns",
        says=r"2 steps until the first moment leave an error of up to 4\.29%",
        provoke=lambda: DiodeNetwork(drives=5, responses=14, diodes=6, steps=4),
    ),
)  # fmt: skip
"""All of them. A scattering medium and a mesh take no steps: their matrices are exact, and cameras flag full pixels."""
