"""What stands in for the physics: zeros, and a random digital projection with the same detector and impairments.

Axis letters: N rows; D drive channels; R response channels.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import torch

from ..contracts import Cost, Passes, PhysicalSystem, Reading, SystemSpec
from ..seeding import derive_seed, torch_stream
from .worn import bare, dressed

Detector = Literal["none", "modulus", "intensity"]

# What systems call their detector in `identity`, and what it does to the field.
_KEYS = ("camera", "detector", "readout", "read_out", "response")
_WORDS: Mapping[str, Detector] = {
    "modulus": "modulus",
    "amplitude": "modulus",
    "magnitude": "modulus",
    "intensity": "intensity",
    "energy": "intensity",
    "power": "intensity",
    "field": "none",
    "linear": "none",
}


class Digital:
    """Common part: no bench, no state, nothing to open."""

    def __init__(self, spec: SystemSpec) -> None:
        self._spec = spec

    @property
    def spec(self) -> SystemSpec:
        """The stand-in's description of itself."""
        return self._spec

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


class Zeros(Digital):
    """Answers zero to every drive, in the shape of another system.

    Args:
        like: Spec of the system whose place it takes.
    """

    def __init__(self, like: SystemSpec) -> None:
        super().__init__(digital_spec(like, "zeros", frozenset(), like.response.dtype))

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Return zeros, shape `(n, *response_shape)`."""
        now = time.time()
        shape = (len(drive), *self._spec.response.shape)
        return Reading(response=np.zeros(shape, self._spec.response.dtype), started=now, stopped=now)


class RandomProjection(Digital):
    """A fixed random matrix, and a detector: `detector(drive @ matrix)`.

    The drive enters as a number, divided by the largest that its channel allows. The matrix is Gaussian of variance
    `1 / drives`: circular complex where the detector reads a modulus or an intensity or the response is complex, and
    real otherwise.

    Args:
        like: Spec of the system whose place it takes.
        detector: What becomes of the projection.
        seed: Seed of the matrix.
    """

    def __init__(self, like: SystemSpec, *, detector: Detector, seed: int) -> None:
        dtype = "complex64" if like.response.complex else "float32"
        where: frozenset[Any] = frozenset() if detector == "none" else frozenset({"detector"})
        super().__init__(digital_spec(like, "random projection", where, dtype))
        drives, responses = like.drive.channels, like.response.channels
        random = torch_stream(seed, "random projection")
        self._detector = detector
        self._complex = detector != "none" or like.response.complex
        kind = torch.complex64 if self._complex or np.dtype(like.drive.dtype).kind == "c" else torch.float32
        scale = np.maximum(np.abs(like.drive.low_array), np.abs(like.drive.high_array)) * math.sqrt(drives)
        # torch draws complex numbers with E|z|^2 = 1.
        matrix_DR = torch.randn(drives, responses, generator=random, dtype=kind)
        self._matrix_DR = matrix_DR / torch.from_numpy(scale).to(torch.float32)[:, None]

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Project `drive`, shape `(n, *drive_shape)`. Pass numbers change nothing: there is no noise."""
        started = time.time()
        drive_ND = torch.from_numpy(np.ascontiguousarray(drive)).flatten(1).to(self._matrix_DR.dtype)
        field_NR = drive_ND @ self._matrix_DR
        response = self._detect(field_NR).reshape(len(drive), *self._spec.response.shape).numpy()
        return Reading(
            response=response.astype(self._spec.response.dtype, copy=False), started=started, stopped=time.time()
        )

    def _detect(self, field_NR: torch.Tensor) -> torch.Tensor:
        if self._detector == "modulus":
            return field_NR.abs()
        if self._detector == "intensity":
            return field_NR.abs().square()
        return field_NR if self._complex or not field_NR.is_complex() else field_NR.real


@dataclasses.dataclass(frozen=True, kw_only=True)
class Substitute:
    """A random projection in the place of a system.

    Args:
        system: The projection, in the impairments that the system tells of.
        detector: Its detector.
        assumed: What the system does not tell, and what was assumed instead.
    """

    system: PhysicalSystem
    detector: Detector
    assumed: tuple[str, ...]


def projection_for(system: PhysicalSystem, *, detector: Detector | Literal["auto"], seed: int) -> Substitute:
    """Make the random projection that is to a system what its controls need, in the system's own impairments.

    Args:
        system: The system; see `dressed` for what is asked of it.
        detector: The detector, or `auto` to go by what the system tells.
        seed: Seed of matrix and impairments.
    """
    spec = system.spec
    assumed: tuple[str, ...] = ()
    if detector == "auto":
        detector, doubt = _detector_of(spec)
        assumed = (doubt,) if doubt else ()
    projection = RandomProjection(bare(spec), detector=detector, seed=derive_seed(seed, "matrix"))
    found = dressed(projection, system, what="projection", seed=seed)
    return Substitute(system=found.system, detector=detector, assumed=(*assumed, *found.assumed))


def _detector_of(spec: SystemSpec) -> tuple[Detector, str]:
    """Return the detector that a system tells of, and what had to be assumed."""
    if spec.response.complex:
        return "none", ""
    for key in _KEYS:
        word = spec.identity.get(key)
        if isinstance(word, str) and word.lower() in _WORDS:
            return _WORDS[word.lower()], ""
    if "detector" in spec.nonlinearity:
        return (
            "modulus",
            f"{spec.name} does not tell which nonlinear detector it has: its projection reads a modulus",
        )
    return "none", ""


def digital_spec(like: SystemSpec, what: str, where: frozenset[Any], dtype: str) -> SystemSpec:
    """Return the spec of a stand-in: the shapes of the system, and nothing of its electronics."""
    return SystemSpec(
        name=f"{like.name} ({what})",
        kind="simulated",
        # A digital map has no joint limits to keep, and converters would tighten them a second time.
        drive=dataclasses.replace(like.drive, max_rms=None, max_sum=None, max_slew=None),
        response=dataclasses.replace(like.response, dtype=dtype, full_scale=None),
        nonlinearity=where,
        # Neither repeatable nor reproducible is claimed: a plain matrix product rounds by the size of its batch.
        cost=Cost(),
        identity={"control": what, "in_place_of": like.name},
    )
