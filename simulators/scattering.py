"""Light through a strongly scattering medium, seen by a camera: a fixed random complex matrix and a square law.

Axis letters: N rows; D drives; K columns of the modulated field as reals; P camera pixels; R responses.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import (
    Cost,
    Differentiable,
    DriveSpec,
    Passes,
    PhysicalSystem,
    Reading,
    ResponseSpec,
    Stateful,
    SystemSpec,
)
from physnet.errors import SpecError

from .clock import VirtualClock
from .drift import Drift
from .keyed import keyed_normal

# Rows per matrix product. Always this many: a BLAS picks its kernels by shape, and only within one shape does a row's
# result not depend on its neighbours.
_LEAST_PIXELS = 8
_HEIGHT = 128
_MATRIX, _QUADRATURE = 1, 2  # streams of keyed_normal: the transfer matrix, and the one it turns towards


class ScatteringMedium(PhysicalSystem, Stateful, Differentiable):
    """A modulator, a scattering medium (ground glass, multimode fibre, diffusing cavity) and a camera.

    The medium is linear in the field: pixel `p` receives `y_p = sum_d T_pd x_d` with `T` iid circular complex
    Gaussian of variance `1 / drives`, so that the mean intensity over media is the mean of `|x|^2` over the drives.
    The camera takes `|y|` or `|y|^2` and averages `pooling` neighbouring pixels: speckle contrast 1 falls to `1 /
    sqrt(pooling)`.

    The square law is the only nonlinearity of the amplitude modulator. It is even: `x` and `-x`, or `x` under any
    global phase, look the same, and the response scales with `|x|` or `|x|^2`. An encoder must carry sign and scale
    otherwise. The phase modulator is nonlinear before the medium, `x = exp(i drive)`, so that the responses are not a
    quadratic form of the drive; the spec has no name for a modulator and counts it to the medium, since it is
    physical and no detector does it.

    With `turn`, the medium changes slowly: `T(a) = cos(a) T + sin(a) T'`, `T'` independent of `T`. Statistics stay the
    same at every angle while the field of a fixed drive decorrelates as `cos(a)`. The angle follows a virtual clock
    that grows by `seconds_per_pass` at every row, those of `forward` included.

    A row's response has the same bits wherever it stands in a batch and for any number of torch threads.

    Args:
        drives: Channels of the modulator.
        responses: Channels of the response, after pooling.
        modulator: `amplitude`: the field is the drive, 0 to 1; `phase`: the field is `exp(i drive)`, drive in rad.
        signed: Amplitudes from -1 to 1 (an amplitude modulator followed by a binary phase). Amplitude only.
        phase_range: Largest phase in rad. Phase only.
        camera: `modulus` gives `|y|`; `intensity` gives `|y|^2`.
        pooling: Pixels averaged into one response, after detection.
        seed: Seed of the medium.
        turn: Angle of the transfer matrix in rad over time; None for a medium that stands still.
        seconds_per_pass: Duration of a row on the virtual clock in s; declared as the cost of a pass.
        device: torch device.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or belongs to the other modulator.

    Source:
        J. W. Goodman, Speckle Phenomena in Optics, 2007, chapters 3 (statistics) and 4 (pooling); A. Saade et al.,
        ICASSP 2016, arXiv:1510.06664 (the kernel of random features `|Tx|^2`).
    """

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        modulator: Literal["amplitude", "phase"] = "amplitude",
        signed: bool = False,
        phase_range: Annotated[float, Field(gt=0)] | None = None,
        camera: Literal["modulus", "intensity"] = "modulus",
        pooling: Annotated[int, Field(ge=1)] = 1,
        seed: Annotated[int, Field(ge=0)] = 0,
        turn: Drift | None = None,
        seconds_per_pass: Annotated[float, Field(ge=0)] = 1e-3,
        device: str = "cpu",
        name: str = "scattering",
    ) -> None:
        for label, count in (("drives", drives), ("responses", responses), ("pooling", pooling)):
            if count < 1:
                raise SpecError(f"{label} of {name} must be >= 1, got {count}.")
        if modulator not in ("amplitude", "phase") or camera not in ("modulus", "intensity"):
            raise SpecError(
                f"modulator and camera of {name} must be amplitude or phase, and modulus or intensity, "
                f"got {modulator!r} and {camera!r}."
            )
        if modulator == "phase" and signed:
            raise SpecError(f"signed of {name} must be false with a phase modulator: a phase has no sign to add.")
        if modulator == "amplitude" and phase_range is not None:
            raise SpecError(f"phase_range of {name} must be left out with an amplitude modulator, got {phase_range}.")
        if turn is not None and not seconds_per_pass > 0:
            raise SpecError(
                f"seconds_per_pass of {name} must be > 0 s for a medium that turns, got {seconds_per_pass} s. "
                "Time stands still otherwise."
            )
        self._phase = modulator == "phase"
        self._modulus = camera == "modulus"
        self._pooling = pooling
        self._turn = turn
        self._device = torch.device(device)
        self._clock = VirtualClock(seconds_per_pass=seconds_per_pass)
        self._seed = seed
        if self._phase:
            high = math.pi if phase_range is None else phase_range
            drive = DriveSpec(shape=(drives,), high=high, unit="rad", dtype="float32", domain="phase", axes=("drive",))
        else:
            low = -1.0 if signed else 0.0
            domain: Literal["real", "non_negative"] = "real" if signed else "non_negative"
            drive = DriveSpec(shape=(drives,), low=low, dtype="float32", domain=domain, axes=("drive",))
        options = {"modulator": modulator, "camera": camera, "pooling": pooling, "seed": seed}
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=drive,
            response=ResponseSpec(shape=(responses,), dtype="float32", axes=("response",)),
            nonlinearity=frozenset({"medium", "detector"} if self._phase else {"detector"}),
            repeatable=turn is None,
            reproducible=turn is None,
            stateful=turn is not None,
            cost=Cost(per_pass=seconds_per_pass),
            array="torch",
            device=device,
            identity={"model": "ScatteringMedium", **options} | ({} if turn is None else {"turn": repr(turn)}),
        )
        scale = math.sqrt(0.5 / drives)
        self._matrix_PD = _gaussian(responses * pooling, drives, scale, seed, _MATRIX, self._device)
        self._load(scale)

    @classmethod
    def from_matrix(cls, matrix_PD: NDArray[np.complexfloating[Any, Any]] | torch.Tensor, **options: Any) -> Self:
        """Return a medium with a transfer matrix of your own, for example a measured one.

        What it turns towards, if it turns, is Gaussian with the same mean square.

        Args:
            matrix_PD: Complex, shape `(responses * pooling, drives)`; kept in `complex64`.
            **options: As for the class, without `drives` and `responses`.

        Raises:
            SpecError: The matrix is not a finite complex matrix, or its rows are no multiple of `pooling`.
        """
        matrix_PD = torch.as_tensor(matrix_PD)
        pooling = options.get("pooling", 1)
        if matrix_PD.ndim != 2 or not matrix_PD.is_complex() or not 0 < matrix_PD.abs().sum().item() < math.inf:
            raise SpecError(
                "matrix must be complex, finite, not all zero, with the axes (pixel, drive), got shape "
                f"{tuple(matrix_PD.shape)} of {matrix_PD.dtype}."
            )
        pixels, drives = matrix_PD.shape
        if pixels % pooling:
            raise SpecError(f"rows of matrix must be a multiple of pooling = {pooling}, got {pixels}. Trim them.")
        medium = cls(drives=drives, responses=pixels // pooling, **options)
        medium._matrix_PD = matrix_PD.to(medium._device, torch.complex64, copy=True)
        medium._load(math.sqrt(0.5 * float(matrix_PD.abs().square().mean())))
        digest = hashlib.sha256(medium._matrix_PD.cpu().numpy().tobytes()).hexdigest()
        identity = {**medium._spec.identity, "matrix_sha256": digest}
        medium._spec = dataclasses.replace(medium._spec, identity=identity)
        return medium

    @property
    def spec(self) -> SystemSpec:
        """The medium's description of itself."""
        return self._spec

    @property
    def matrix(self) -> torch.Tensor:
        """A copy of the transfer matrix at angle 0, `complex64`, shape `(responses * pooling, drives)`."""
        return self._matrix_PD.clone()

    @property
    def clock(self) -> VirtualClock:
        """The clock that the turn follows."""
        return self._clock

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play `drive`, shape `(n, drives)`, and read the camera. Pass numbers change nothing: there is no noise."""
        started = time.time()
        with torch.no_grad():
            response_NR = self.forward(drive, passes)
        return Reading(response=response_NR, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`, and time passes alike."""
        start_N = self._clock.advance(len(drive))
        angle_N = None if self._turn is None else torch.from_numpy(self._turn.at(start_N)).to(self._device)
        tiles = []
        for first in range(0, len(drive), _HEIGHT):
            drive_ND = drive[first : first + _HEIGHT]
            rows = len(drive_ND)
            if rows < _HEIGHT:
                drive_ND = torch.nn.functional.pad(drive_ND, (0, 0, 0, _HEIGHT - rows))
            field_NK = torch.cat((drive_ND.cos(), drive_ND.sin()), dim=1) if self._phase else drive_ND.contiguous()
            out_N2P = field_NK @ self._real_K2P
            if angle_N is not None:
                tile_N = torch.nn.functional.pad(angle_N[first : first + rows], (0, _HEIGHT - rows))
                cos_N, sin_N = tile_N.cos().float(), tile_N.sin().float()
                out_N2P = out_N2P * cos_N[:, None] + (field_NK @ self._turned_K2P) * sin_N[:, None]
            tiles.append(self._detect(out_N2P)[:rows])
        return torch.cat(tiles)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the clock: nothing else is remembered."""
        return self._clock.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        self._clock.restore(state)

    def reset(self) -> None:
        """Set the clock, and with it the medium, back to the start."""
        self._clock.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _load(self, scale: float) -> None:
        """Lay the matrices out for real products, which run at twice the speed of complex ones."""
        self._real_K2P = self._as_real(self._matrix_PD)
        if self._turn is not None:
            pixels, drives = self._matrix_PD.shape
            turned_PD = _gaussian(pixels, drives, scale, self._seed, _QUADRATURE, self._device)
            self._turned_K2P = self._as_real(turned_PD)

    def _as_real(self, matrix_PD: torch.Tensor) -> torch.Tensor:
        # In products of 6 or 10 columns a row's last digits depend on its place: never fewer than 16 are computed.
        missing = max(0, _LEAST_PIXELS - len(matrix_PD))
        real_DP, imag_DP = (torch.nn.functional.pad(part.T, (0, missing)) for part in (matrix_PD.real, matrix_PD.imag))
        rows = torch.cat((real_DP, imag_DP), dim=1)
        if self._phase:  # the field has two parts, [cos | sin]
            rows = torch.cat((rows, torch.cat((-imag_DP, real_DP), dim=1)))
        return rows.contiguous()

    def _detect(self, out_N2P: torch.Tensor) -> torch.Tensor:
        real_NP, imag_NP = out_N2P.chunk(2, dim=1)
        # Product and sum apart: a fused multiply-add rounds otherwise at the edge of a vector than inside.
        response_NP = real_NP * real_NP + imag_NP * imag_NP
        if self._modulus:
            response_NP = _square_root(response_NP)
        response_NP = response_NP[:, : len(self._matrix_PD)]
        if self._pooling == 1:
            return response_NP
        return response_NP.reshape(_HEIGHT, -1, self._pooling).mean(2)


def _square_root(value: torch.Tensor) -> torch.Tensor:
    """Return the square root, with gradient 0 instead of infinity at 0."""
    if not value.requires_grad:
        return value.sqrt()
    lit = value > 0
    return torch.where(lit, torch.where(lit, value, 1.0).sqrt(), 0.0)


def _gaussian(rows: int, columns: int, scale: float, seed: int, stream: int, device: torch.device) -> torch.Tensor:
    """Return iid circular complex Gaussian numbers, `complex64`; real and imaginary part have deviation `scale`."""
    parts = keyed_normal(seed, np.arange(rows, dtype=np.int64), 2 * columns, stream=stream, device=device)
    return torch.view_as_complex(parts.mul_(scale).view(rows, columns, 2))
