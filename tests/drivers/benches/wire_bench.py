"""A bench of tones whose medium is a wire: short rows, quick exchanges, and answers that can be written down.

Axis letters: N rows; D drives, one a tone; M channels of the detector.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RATE = 16e3  # Hz
TONES = tuple(600.0 + 200 * k for k in range(32))
AMPLITUDE = 0.01  # V
GAINS = (1.0, 0.4)
FULL_SCALES = (0.5, 0.25)  # V: what the tones come to, both for themselves
WINDOW = 5e-3  # s
TIMEOUT, QUIET, BACKOFF, MARGIN = 0.1, 5e-3, (0.01, 0.02, 0.05), 0.1  # s
ROWS = 64  # of a burst, the dark one included


def phases() -> NDArray[np.float64]:
    """Of the tones, in rad: odd eighths of a turn, so that neither part of a response is small.

    They are chosen as if at random, so that the sum of the tones has no high peak.
    """
    return np.asarray(math.pi / 4 * (2 * np.random.default_rng(5).integers(0, 4, len(TONES)) + 1))


def wire_file(*, seed: int = 1, timeout: float = TIMEOUT, faults: str = "") -> str:
    """A 33500B and an InfiniiVision with two cables between them."""
    line = f"timeout = {timeout}\nquiet = {QUIET}\nbackoff = {list(BACKOFF)}"
    return f"""\
name = "wire"
kind = "tones"
[source]
type = "keysight_33500b"
resource = "TCPIP::192.0.2.11::5025::SOCKET"
channels = [1]
load = ["high"]
{line}
[detector]
type = "keysight_infiniivision"
resource = "TCPIP::192.0.2.12::5025::SOCKET"
channels = [1, 2]
full_scale = {list(FULL_SCALES)}
sample_rate = {RATE}
high_resolution = true
{line}
[codec]
sample_rate = {RATE}
tones = {list(TONES)}
phases = {phases().tolist()}
amplitude = {AMPLITUDE}
drives = {len(TONES)}
slot = 6e-3
spacing = 6e-3
ramp = 1e-3
window = {WINDOW}
guard = 1e-3
pilot_settle = 0.0
[limits]
peak = [0.4]
[calibration]
longest_guard = 2e-3
[chunk]
rows = {ROWS}
margin = {MARGIN}
[safety]
sequence = ["source", "detector"]
[simulation]
seed = {seed}
[simulation.medium]
type = "wire"
gains = {[[gain] for gain in GAINS]}
span = 1e-3
[simulation.instruments.detector]
noise = 0.0
[simulation.faults]
{faults}
"""


def direct(drive_ND: NDArray[np.float64]) -> NDArray[np.complex128]:
    """What the wire answers: A sin(w t + phase), of which a lock-in makes A exp(i (phase - pi / 2)), once a cable."""
    tone_D = -1j * AMPLITUDE * np.exp(1j * phases())
    return np.asarray(np.concatenate([gain * tone_D * drive_ND for gain in GAINS], axis=1))


def bound() -> NDArray[np.float64]:
    """How far each response may be from the wire's, in V, for a lock-in over W samples, shape `(responses,)`.

    The oscilloscope, which has no noise here, averages to 12 bits: a sample is off by at most half a code, and a
    lock-in by at most twice that. The generator draws the outermost samples of a burst in by at most a thousandth of
    its span, and rounds to 16 bits: a few of W = 80 samples are off by 2e-3 of 0.64 V, a lock-in by 2 / W of each. Four
    of them are counted, more than any row has near its peak.
    """
    drawn_in = 4 * 2 / round(WINDOW * RATE) * 1e-3 * 2 * len(TONES) * AMPLITUDE
    each = [2 * full_scale / 4096 + gain * drawn_in for gain, full_scale in zip(GAINS, FULL_SCALES, strict=True)]
    return np.repeat(each, len(TONES))
