"""A bench of patterns whose medium is a scattering one: quick rows, quick exchanges, and a medium to compare with.

Axis letters: N rows; E elements; F frequencies.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.simulators.scattering import ScatteringMedium

ELEMENTS = 64
FREQUENCIES = tuple(2.30e9 + 10e6 * k for k in range(24))
POWER, BANDWIDTH, SETTLE = 0.0, 1e6, 3e-4  # dBm, Hz, s: a sweep takes 24 times 11 us
TIMEOUT, QUIET, BACKOFF, MARGIN = 0.1, 5e-3, (0.01, 0.02, 0.05), 0.1  # s
ROWS = 20
SEED = 4


def room_file(*, seed: int = 1, timeout: float = TIMEOUT, faults: str = "") -> str:
    """A metasurface board and a ZNB, a scattering medium between the analyser's ports."""
    return f"""\
name = "speckle room"
kind = "patterns"
response = "modulus"
[board]
type = "metasurface_board"
port = "COM9"
elements = {ELEMENTS}
responses = 1
trigger = true
settle = {SETTLE}
baud = 4000000
timeout = {timeout}
open_timeout = {4 * timeout}
reopen_timeout = 1.0
[analyser]
type = "rohde_schwarz_znb"
resource = "TCPIP::192.0.2.13::5025::SOCKET"
frequencies = {list(FREQUENCIES)}
power = {POWER}
bandwidth = {BANDWIDTH}
timeout = {timeout}
quiet = {QUIET}
backoff = {list(BACKOFF)}
[chunk]
rows = {ROWS}
margin = {MARGIN}
[safety]
sequence = ["board", "analyser"]
[simulation]
seed = {seed}
[simulation.medium]
type = "scattering"
seed = {SEED}
[simulation.faults]
{faults}
"""


def medium() -> ScatteringMedium:
    """The medium itself."""
    return ScatteringMedium(drives=ELEMENTS, responses=len(FREQUENCIES), seed=SEED)


def direct(pattern_NE: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the medium answers."""
    response = medium().measure(torch.from_numpy(pattern_NE.astype(np.float32)), np.arange(len(pattern_NE))).response
    return np.asarray(response, np.float64)


def bound() -> float:
    """How far each response may be from the medium's.

    The receiver's noise is -130 dBm in 1 Hz; in units of what is sent, a complex normal number, of which 7 standard
    deviations are not seen. The medium computes in float32, in another order in each batch: 64 products of at most 1
    are off by 2^-24 each at most, twice.
    """
    return 7 * 10 ** ((-130.0 - POWER) / 20) * math.sqrt(BANDWIDTH) + 2 * ELEMENTS * 2.0**-24
