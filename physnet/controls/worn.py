"""The impairments of a system, put around what stands in its place: the same electronics, fit to its responses.

No arrays here but drives and responses of any shape, row first.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from .. import registry
from ..allowed_drives import random_drives
from ..contracts import PhysicalSystem, SystemSpec
from ..experiment.check import IMPAIRMENTS_FILLED
from ..probe import probe, root_mean_square
from ..seeding import derive_seed
from ..wrapping import Wrapper

_ROWS = 32
_MARGIN = 4.0  # full scale over the RMS of what it was chosen for, as the impairments' own `auto` has it
_NOT_OPTIONS = frozenset({"seed", "within"})
# Of a board that tells of itself what the impairments would: its memory and drift are its own.
_OF_BOARDS = ("noise", "adc_bits", "dac_bits")
# In the unit of the response, or per unit of it.
_ABSOLUTE = {"full_scale": 1, "flicker": 1, "photoelectrons": -1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dressed:
    """A stand-in in the impairments of the system whose place it takes.

    Args:
        system: It.
        assumed: What the system does not tell, and what was assumed instead.
    """

    system: PhysicalSystem
    assumed: tuple[str, ...]


def bare(spec: SystemSpec) -> SystemSpec:
    """Return what a system's spec is without the monitors that its impairments append as channels."""
    appended = sum(layer.get("monitor") == "append" for layer in _layers(spec.identity))
    if not appended:
        return spec
    return dataclasses.replace(
        spec, response=dataclasses.replace(spec.response, shape=(spec.response.channels - appended,))
    )


def dressed(stand_in: PhysicalSystem, system: PhysicalSystem, *, what: str, seed: int) -> Dressed:
    """Put around a digital stand-in every impairment that a system tells of, in the same order.

    What is given in the unit of the response (full scale, 1/f noise, photoelectrons) is to the stand-in's responses
    what it is to the system's: it is converted by the ratio of their RMS at the same 32 random drives. A system that
    isn't simulated is not asked: a quarter of its full scale is taken for the RMS of its responses.

    Args:
        stand_in: Has the drives of the system, and its responses without monitors.
        system: The system; never opened unless it is simulated.
        what: What the stand-in is, for what is assumed.
        seed: Seed of all that is random in the impairments.
    """
    spec = system.spec
    layers = _layers(spec.identity)
    if not layers:
        untold = f"{spec.name} tells no impairments: its {what} has neither noise nor converters"
        return Dressed(system=stand_in, assumed=() if spec.kind == "simulated" else (untold,))
    factory = registry.find("impairments", "impaired")
    model = registry.options_model(factory, exclude=IMPAIRMENTS_FILLED)
    assumed: list[str] = []
    within = _within(system, len(layers))
    for number, (told, inner) in enumerate(zip(layers[::-1], within[::-1], strict=True)):
        options, words = _options(told, stand_in, spec)
        if words:
            assumed.append(f"{spec.name} tells of {' and '.join(words)} in words: its {what} is spared them")
        if any(name in _ABSOLUTE and options[name] != "auto" for name in options):
            assumed += _convert(options, stand_in, spec, inner, what=what, seed=derive_seed(seed, "sizes", number))
        given = registry.arguments(model, options)
        stand_in = factory(stand_in, seed=derive_seed(seed, "noise", number), **given)
    return Dressed(system=stand_in, assumed=tuple(assumed))


def _options(
    told: Mapping[str, Any], stand_in: PhysicalSystem, spec: SystemSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is told of a layer of impairments as options of it, and the names of those that can't be one."""
    options = {name: value for name, value in told.items() if value and name not in _NOT_OPTIONS}
    # An older session tells of drifts in words.
    words = sorted(name for name, value in options.items() if isinstance(value, str) and name != "monitor")
    options = {name: value for name, value in options.items() if name not in words}
    if np.dtype(stand_in.spec.drive.dtype).kind in "iu":
        options.pop("dac_bits", None)  # such a drive holds the codes of the converter
    if options.get("adc_bits") and "full_scale" not in options:
        options["full_scale"] = spec.response.full_scale or "auto"
    return options, tuple(words)


def _convert(
    options: dict[str, Any],
    stand_in: PhysicalSystem,
    spec: SystemSpec,
    inner: PhysicalSystem | None,
    *,
    what: str,
    seed: int,
) -> Iterator[str]:
    """Convert what is in the unit of the system's response to that of the stand-in's; yield what was assumed."""
    asked = stand_in.spec if inner is None else inner.spec
    drive = random_drives(asked, rows=_ROWS, seed=seed)
    plain = drive.cpu().numpy() if isinstance(drive, torch.Tensor) else drive
    own = root_mean_square(probe(stand_in, plain))
    size = 0.0
    if inner is not None and inner.spec.kind in ("simulated", "twin"):
        size = root_mean_square(probe(inner, drive))
    elif options.get("full_scale", "auto") != "auto":
        size = options["full_scale"] / _MARGIN
        yield f"{spec.name} does not tell the size of its responses: a quarter of full scale is taken for their RMS"
    ratio = own / size if size > 0 else math.nan
    if not 0 < ratio < math.inf:
        dropped = sorted(name for name in options if name in _ABSOLUTE)
        yield f"the size of responses of {spec.name} is not known: its {what} has no {' and no '.join(dropped)}"
        for name in (*dropped, "adc_bits", "stuck"):  # the last two need a full scale
            options.pop(name, None)
        return
    for name, power in _ABSOLUTE.items():
        match options.get(name):
            case None | "auto":
                continue
            case Mapping() as table:
                options[name] = {**table, "rms": table["rms"] * ratio}
            case value:
                options[name] = value * ratio**power


def _layers(identity: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the impairments that a system tells of, outermost first."""
    found: list[Mapping[str, Any]] = []
    layer = identity.get("impairments")
    while isinstance(layer, Mapping):
        found.append(layer)
        layer = layer.get("within")
    own = {name: identity[name] for name in _OF_BOARDS if identity.get(name)}
    return found or ([own] if own else [])


def _within(system: PhysicalSystem, layers: int) -> list[PhysicalSystem | None]:
    """Return what each layer of impairments is put around, outermost first; None where it can't be reached."""
    found: list[PhysicalSystem | None] = []
    inner: PhysicalSystem | None = system
    for _ in range(layers):
        wraps = inner is not None and "impairments" in inner.spec.identity and isinstance(inner, Wrapper)
        inner = inner.system if wraps and isinstance(inner, Wrapper) else None
        found.append(inner)
    return found
