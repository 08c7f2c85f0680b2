"""A Red Pitaya, source and detector in one, with cables between its outputs and inputs.

Axis letters: N rows; D drives, one a tone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RATE = 125e6 / 64  # Hz
WINDOW = 256 / RATE  # s
TONES = tuple(k / WINDOW for k in range(8, 24))
AMPLITUDE = 0.02  # V
GAINS = (1.0, 0.4)
PHASES = math.pi / 4 * (2 * np.random.default_rng(5).integers(0, 4, len(TONES)) + 1)


def red_pitaya_file(*, timeout: float) -> str:
    """The bench file."""
    return f"""\
name = "one board"
kind = "tones"
[source]
type = "red_pitaya"
resource = "TCPIP::192.0.2.14::5000::SOCKET"
channels = [1]
load = [50.0]
timeout = {timeout}
quiet = 5e-3
backoff = [0.01, 0.02, 0.05]
[detector]
type = "source"
channels = [1, 2]
full_scale = [1.0, 1.0]
sample_rate = {RATE}
[codec]
sample_rate = {RATE}
tones = {list(TONES)}
phases = {PHASES.tolist()}
amplitude = {AMPLITUDE}
drives = {len(TONES)}
slot = {WINDOW + 64 / RATE}
spacing = {WINDOW + 64 / RATE}
window = {WINDOW}
ramp = {32 / RATE}
guard = {32 / RATE}
pilot_slot = {WINDOW}
pilot_settle = 0.0
[limits]
peak = [1.0]
[calibration]
longest_guard = {64 / RATE}
[chunk]
rows = 20
margin = 0.1
[simulation]
[simulation.medium]
type = "wire"
gains = {[[gain] for gain in GAINS]}
span = 1e-5
"""


def direct(drive_ND: NDArray[np.float64]) -> NDArray[np.complex128]:
    """What the cables answer: of A sin(w t + phase) a lock-in makes A exp(i (phase - pi / 2)), once a cable."""
    tone_D = -1j * AMPLITUDE * np.exp(1j * PHASES)
    return np.asarray(np.concatenate([gain * tone_D * drive_ND for gain in GAINS], axis=1))


def bound() -> float:
    """How far each response may be from the cables', in V.

    Inputs of 14 bits over 2 V are off by half a code, and outputs, in parts of at most 0.64 V, by half of one of as
    many codes; a lock-in by at most twice that.
    """
    return 2.0 / 2**14 + 0.64 / 2**13
