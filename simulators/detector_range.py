"""The range of a detector: what is given, what the system declares, or what it answers to a few drives.

No arrays here but responses of any shape, row first.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.allowed_drives import random_drives
from physnet.contracts import PhysicalSystem
from physnet.errors import SpecError
from physnet.probe import probe, root_mean_square

_ROWS = 32
_MARGIN = 4.0  # times the RMS: an exponential intensity exceeds it once in 290 values, a modulus once in 9 million


def settle_range(
    system: PhysicalSystem,
    *,
    full_scale: float | Literal["auto"] | None,
    signed: bool | None,
    needs_sign: bool,
    swings: bool,
    seed: int,
) -> tuple[float | None, bool]:
    """Return where the detector clips, and whether it is bipolar.

    Args:
        system: What is detected; simulated if it must be measured here.
        full_scale: As given; None for the system's own, `auto` for 4 times the RMS of the responses to 32 drives.
        signed: As given; None to judge.
        needs_sign: Whether anything depends on the sign.
        swings: Whether something behind the system makes responses negative.
        seed: Seed of the drives.

    Raises:
        SpecError: The system would have to be measured and isn't simulated.
    """
    response = system.spec.response
    answers = None
    if full_scale == "auto" or (needs_sign and signed is None and not response.complex):
        answers = _answers(system, seed)
    if full_scale == "auto":
        assert answers is not None
        full_scale = _MARGIN * root_mean_square(answers)
    if signed is None:
        signed = swings or answers is None or np.iscomplexobj(answers) or bool(answers.min() < 0)
    return (response.full_scale if full_scale is None else full_scale), signed


def check_full_scale(name: str, unit: str, full_scale: float | None, adc_bits: int | None) -> None:
    """Refuse a full scale that is none, or an ADC without one.

    Raises:
        SpecError: So it is.
    """
    if full_scale is not None and not 0 < full_scale < math.inf:
        raise SpecError(
            f"full_scale of {name} must be > 0 {unit}, got {full_scale}. "
            "With 'auto' this means that the system answers 0 to every drive."
        )
    if adc_bits is not None and full_scale is None:
        raise SpecError(
            f"full_scale of {name} must be given for an ADC of {adc_bits} bits: the system declares none. "
            f"Give it in {unit}, or 'auto' for a simulated system."
        )


def _answers(system: PhysicalSystem, seed: int) -> NDArray[Any]:
    """Return a simulated system's responses to a few keyed drives, and leave its state as it was."""
    spec = system.spec
    if spec.kind not in ("simulated", "twin"):
        raise SpecError(
            f"full_scale and signed of {spec.name} must be given, since its kind is {spec.kind}: only a simulated "
            "system is measured before a run. Take them from a calibration."
        )
    return probe(system, random_drives(spec, rows=_ROWS, seed=seed))
