"""What every detector refuses before a byte is sent."""

from __future__ import annotations

import math

from physnet.errors import InputError

from ..roles import DetectorCapabilities, DetectorSetup


def check_detector_setup(setup: DetectorSetup, can: DetectorCapabilities) -> None:
    """Hold a setup against what a detector can do. Its memory is the driver's to look at.

    Raises:
        InputError: It is out of range.
    """
    if not setup.channels or len(set(setup.channels)) != len(setup.channels):
        raise InputError(f"channels of this detector must be different ones, at least one, got {setup.channels}.")
    if not set(setup.channels) <= set(can.channels) or len(setup.full_scale) != len(setup.channels):
        raise InputError(
            f"channels of this detector must be of {can.channels}, each with a full_scale, got {setup.channels} and "
            f"{setup.full_scale}."
        )
    if not all(0 < full_scale < math.inf for full_scale in setup.full_scale):
        raise InputError(f"full_scale of each channel must be > 0 V and finite, got {setup.full_scale} V.")
    if not 1 <= setup.segments <= can.segments or setup.points < 1:
        raise InputError(
            f"segments must be 1 to {can.segments} of at least one point, got {setup.segments} of {setup.points}."
        )
    if not can.sample_rate[0] <= setup.sample_rate <= can.sample_rate[1]:
        raise InputError(
            f"sample_rate must be {can.sample_rate[0]:g} to {can.sample_rate[1]:g} Hz, got {setup.sample_rate:g} Hz."
        )
    if not 0 <= setup.before < math.inf:
        raise InputError(f"before must be >= 0 s and finite, got {setup.before:g} s.")
