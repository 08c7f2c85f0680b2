"""Bench files for tests, the instruments that serve them, and the bench around these: real drivers over loopback."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np

from physnet.drivers.benches.bench import Bench
from physnet.drivers.benches.config import bench_from
from physnet.drivers.benches.make import Wrap, build
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_cavity import PHASES
from physnet.simulators.acoustic_codec import generator
from physnet.simulators.instruments.serve import Simulation
from physnet.simulators.programmable_cavity import ProgrammableCavity

RATE = 64e3
TONES = tuple(1000.0 + 100 * k for k in range(8))
AMPLITUDE, MICROPHONE = 0.05, 4.0
FULL_SCALE = 0.5
SEED = 3
ELEMENTS = 64
FREQUENCIES = tuple(2.30e9 + 30e6 * k for k in range(10))
POWER, BANDWIDTH = 0.0, 1e6  # dBm, Hz: a sweep takes 10 times 11 us
SIZE, WALL_SPACING, SCATTERERS = (1.2, 0.9), 0.055, 4


def phases() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The phases that the cavity itself gives its tones."""
    return np.asarray(generator(SEED, PHASES).uniform(0, 2 * math.pi, (2, len(TONES))))


def cavity_file(*, guard: str = "0.04", response: str = "lock_in", extra: str = "", faults: str = "") -> str:
    """A 33500B and an InfiniiVision with an acoustic cavity between them."""
    return f"""\
name = "cavity"
kind = "tones"
[source]
type = "keysight_33500b"
resource = "TCPIP::192.0.2.11::5025::SOCKET"
channels = [1, 2]
load = ["high", "high"]
timeout = 1.0
backoff = [0.05, 0.1, 0.2]
[detector]
type = "keysight_infiniivision"
resource = "TCPIP::192.0.2.12::5025::SOCKET"
channels = [1, 2, 3]
full_scale = [{FULL_SCALE}, {FULL_SCALE}, {FULL_SCALE}]
sample_rate = {RATE}
timeout = 1.0
backoff = [0.05, 0.1, 0.2]
[codec]
sample_rate = {RATE}
tones = {list(TONES)}
phases = {phases().ravel().tolist()}
amplitude = {AMPLITUDE}
drives = 32
slots = 2
slot = 10e-3
spacing = 5e-3
ramp = 2e-3
window = 10e-3
guard = {guard}
response = "{response}"
pilot_amplitude = {AMPLITUDE / 2}
{extra}
[limits]
peak = [2.0, 2.0]
[calibration]
longest_guard = 0.04
delay = {1 / RATE}
[chunk]
seconds = 60.0
margin = 1.0
[simulation]
seed = 1
[simulation.medium]
type = "acoustic"
reverberation = 0.02
microphone = {MICROPHONE}
seed = {SEED}
[simulation.faults]
{faults}
"""


def cavity(response: str = "lock_in") -> AcousticCavity:
    """The same cavity, driven directly."""
    return AcousticCavity(
        drives=32, responses=24 if response == "lock_in" else 3, sources=2, tones=TONES, slots=2, slot=10e-3,
        slot_spacing=5e-3, ramp=2e-3, window=10e-3, time_step=1 / RATE, reverberation=0.02, seed=SEED,
        response="lock_in" if response == "lock_in" else "energy",
    )  # fmt: skip


def room_file(*, response: str = "complex", settle: float = 3e-4, faults: str = "") -> str:
    """A metasurface board and a ZNB, a cavity with the metasurface between the analyser's ports."""
    return f"""\
name = "room"
kind = "patterns"
response = "{response}"
[board]
type = "metasurface_board"
port = "COM9"
elements = {ELEMENTS}
responses = 1
trigger = true
settle = {settle}
[analyser]
type = "rohde_schwarz_znb"
resource = "TCPIP::192.0.2.13::5025::SOCKET"
frequencies = {list(FREQUENCIES)}
power = {POWER}
bandwidth = {BANDWIDTH}
timeout = 1.0
backoff = [0.05, 0.1, 0.2]
[chunk]
margin = 0.2
[safety]
sequence = ["board", "analyser"]
[simulation]
seed = 1
[simulation.medium]
type = "programmable_cavity"
size = {list(SIZE)}
wall_spacing = {WALL_SPACING}
scatterers = {SCATTERERS}
seed = {SEED}
[simulation.faults]
{faults}
"""


def room() -> ProgrammableCavity:
    """The same cavity, driven directly."""
    return ProgrammableCavity(
        drives=ELEMENTS, responses=len(FREQUENCIES), frequencies=FREQUENCIES, transmitters=1, size=SIZE,
        wall_spacing=WALL_SPACING, scatterers=SCATTERERS, seed=SEED,
    )  # fmt: skip


@contextmanager
def served(
    text: str, *, wrap: Wrap | None = None, resources: Mapping[str, str] | Literal["ephemeral"] = "ephemeral"
) -> Iterator[tuple[Bench, Simulation]]:
    """Serve what a file asks for, and make the bench around it; the bench is not open yet."""
    with Simulation(tomllib.loads(text), resources=resources) as simulation:
        yield build(bench_from(text), simulated=True, resources=simulation.resources, wrap=wrap), simulation
