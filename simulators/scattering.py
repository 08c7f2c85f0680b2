"""Light through a strongly scattering medium, seen by a camera: a fixed random complex matrix and a square law.

Axis letters: N rows; D drives; K columns of the modulated field as reals; L the outgoing field as [Re | Im]; P camera
pixels; R responses.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import (
    Cost,
    Differentiable,
    Passes,
    PhysicalSystem,
    Reading,
    ResponseSpec,
    Stateful,
    SystemSpec,
)
from physnet.errors import SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .camera import Camera
from .clock import VirtualClock
from .devices import device_of
from .drift import Drift
from .lone_threads import lone_threads
from .modulator import Modulator, RoundTrips
from .speckle_view import field_of, geometry_of
from .transfer_matrix import TransferMatrix, Turn, gaussian

_WORTH = 1 << 26  # products of numbers from which on threads are worth opening: they take some 0.2 ms
_MATRIX, _QUADRATURE = 1, 2  # streams of keyed_normal: the transfer matrix, and the one it turns towards


class ScatteringMedium(PhysicalSystem, Stateful, Differentiable, Viewable):
    """A modulator, a scattering medium (ground glass, multimode fibre, diffusing cavity) and a camera.

    The medium is linear in the field: pixel `p` receives `y_p = sum_d T_pd x_d` with `T` iid circular complex
    Gaussian of variance `1 / drives`, so that the mean intensity over media is the mean of `|x|^2` over the drives.
    The camera takes `|y|` or `|y|^2` and averages `pooling` neighbouring pixels: speckle contrast 1 falls to `1 /
    sqrt(pooling)`. With `photoelectrons` it counts electrons, see `Camera`; a row with a full pixel is flagged.

    The square law is the only nonlinearity of the amplitude modulator. It is even: `x` and `-x`, or `x` under any
    global phase, look the same, and the response scales with `|x|` or `|x|^2`. An encoder must carry sign and scale
    otherwise. The phase modulator is nonlinear before the medium, `x = exp(i drive)`, so that the responses are not a
    quadratic form of the drive; the spec has no name for a modulator and counts it to the medium, since it is
    physical and no detector does it.

    With `passes_through` > 1 the modulator stands inside a cavity, see `RoundTrips`: the field becomes a polynomial of
    this degree in the drives although every part is linear in the field. The response is then neither even nor does it
    scale with the drive.

    With `turn`, the medium changes slowly: `T(a) = cos(a) T + sin(a) T'`, `T'` independent of `T`, and the round trip
    alike. Statistics stay the same at every angle while the field of a fixed drive decorrelates as `cos(a)`. The angle
    follows a virtual clock that grows by `seconds_per_pass` at every row, those of `forward` included.

    A row's response has the same bits wherever it stands in a batch and for any number of torch threads.

    Args:
        drives: Channels of the modulator.
        responses: Channels of the response, after pooling.
        modulator: `amplitude`: the field is the drive, 0 to 1; `phase`: the field is `exp(i drive)`, drive in rad.
        signed: Amplitudes from -1 to 1 (an amplitude modulator followed by a binary phase). Amplitude only.
        phase_range: Largest phase in rad. Phase only.
        passes_through: Times that light meets the modulator.
        retained: Share of the power that a round trip brings back to the modulator, for `passes_through` > 1.
        camera: `modulus` gives `|y|`; `intensity` gives `|y|^2`.
        pooling: Pixels averaged into one response, after detection.
        photoelectrons: Mean electrons of a pixel per unit of intensity; None for no shot noise.
        dark_counts: Mean electrons of a pixel in the dark; they are not subtracted.
        saturation: Intensity at which a pixel is full; None for no limit.
        seed: Seed of the medium and of the shot noise.
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

    example: ClassVar[Mapping[str, Any]] = {"drives": 64, "responses": 400}
    """Options of one to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        modulator: Literal["amplitude", "phase"] = "amplitude",
        signed: bool = False,
        phase_range: Annotated[float, Field(gt=0)] | None = None,
        passes_through: Annotated[int, Field(ge=1)] = 1,
        retained: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        camera: Literal["modulus", "intensity"] = "modulus",
        pooling: Annotated[int, Field(ge=1)] = 1,
        photoelectrons: Annotated[float, Field(gt=0)] | None = None,
        dark_counts: Annotated[float, Field(ge=0)] = 0.0,
        saturation: Annotated[float, Field(gt=0)] | None = None,
        seed: Annotated[int, Field(ge=0)] = 0,
        turn: Drift | None = None,
        seconds_per_pass: Annotated[float, Field(ge=0)] = 1e-3,
        device: str = "cpu",
        name: str = "scattering",
    ) -> None:
        counts = {"drives": drives, "responses": responses, "pooling": pooling, "passes_through": passes_through}
        for label, count in counts.items():
            if count < 1:
                raise SpecError(f"{label} of {name} must be >= 1, got {count}.")
        if modulator not in ("amplitude", "phase") or camera not in ("modulus", "intensity"):
            raise SpecError(
                f"modulator and camera of {name} must be amplitude or phase, and modulus or intensity, "
                f"got {modulator!r} and {camera!r}."
            )
        if not 0 < retained < 1:
            raise SpecError(f"retained of {name} must be > 0 and < 1 (a share of the power), got {retained}.")
        if turn is not None and not seconds_per_pass > 0:
            raise SpecError(
                f"seconds_per_pass of {name} must be > 0 s for a medium that turns, got {seconds_per_pass} s. "
                "Time stands still otherwise."
            )
        self._modulator = Modulator(drives=drives, kind=modulator, signed=signed, phase_range=phase_range, name=name)
        self._camera = Camera(
            modulus=camera == "modulus", pooling=pooling, photoelectrons=photoelectrons, dark_counts=dark_counts,
            saturation=saturation, seed=seed, name=name,
        )  # fmt: skip
        self._pixels, self._drives = responses * pooling, drives
        self._turn = turn
        self._device = device_of(device, name=name)
        self._clock = VirtualClock(seconds_per_pass=seconds_per_pass)
        self._seed = seed
        self._round_trips = None
        if passes_through > 1:
            self._round_trips = RoundTrips(
                drives=drives, passes=passes_through, retained=retained, seed=seed, turns=turn is not None,
                device=device,
            )  # fmt: skip
        options = {"modulator": modulator, "camera": camera, "pooling": pooling, "seed": seed, **self._camera.options()}
        if passes_through > 1:
            options |= {"passes_through": passes_through, "retained": retained}
        inside: frozenset[Literal["medium", "detector"]] = frozenset(
            {"medium"} if self._modulator.is_phase or passes_through > 1 else ()
        )
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=self._modulator.spec,
            response=ResponseSpec(
                shape=(responses,), dtype="float32", axes=("response",), full_scale=self._camera.full_scale
            ),
            nonlinearity=inside | {"detector"},
            repeatable=turn is None and not self._camera.noisy,
            reproducible=turn is None,
            stateful=turn is not None,
            cost=Cost(per_pass=seconds_per_pass),
            array="torch",
            device=device,
            identity={"model": "ScatteringMedium", **options} | ({} if turn is None else {"turn": repr(turn)}),
        )
        scale = math.sqrt(0.5 / drives)
        self._load(gaussian(self._pixels, drives, scale=scale, seed=seed, stream=_MATRIX, device=device), scale)

    @classmethod
    def from_matrix(cls, matrix_PD: NDArray[np.complexfloating[Any, Any]] | torch.Tensor, **options: Any) -> Self:
        """Return a medium with a transfer matrix of your own, for example a measured one.

        What it turns towards, if it turns, is Gaussian with the same mean square; a round trip is random as ever.

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
        scale = math.sqrt(0.5 * float(matrix_PD.abs().square().mean()))
        medium._load(matrix_PD.to(medium._device, torch.complex64), scale)
        digest = hashlib.sha256(medium.matrix.cpu().numpy().tobytes()).hexdigest()
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
        return self._transfer.matrix

    @property
    def round_trip(self) -> torch.Tensor | None:
        """A copy of the matrix from the modulator back to it at angle 0; None where light meets it once."""
        return None if self._round_trips is None else self._round_trips.transfer.matrix

    @property
    def clock(self) -> VirtualClock:
        """The clock that the turn follows."""
        return self._clock

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play `drive`, shape `(n, drives)`, and read the camera. Pass numbers key its shot noise."""
        started = time.time()
        with torch.no_grad():
            response_NR, flags = self._respond(drive, passes)
        return Reading(response=response_NR, flags=flags, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`, and time passes alike."""
        return self._respond(drive, passes)[0]

    def geometry(self) -> Geometry:
        """Return the transfer matrix as it is now."""
        return geometry_of(self._now()[0].cpu().numpy())

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return the speckle for one row; see `Viewable`. Shot noise is not in it, and then there is no read-out."""
        with torch.no_grad():
            matrix_PD, turn = self._now()
            field_NK = self._modulator.field(torch.from_numpy(drive).to(self._device, torch.float32)[None])
            if self._round_trips is not None:
                field_NK = self._round_trips(field_NK, turn)
            parts = field_NK[0].double().cpu()
            real_D, imag_D = parts[: len(drive)], parts[len(drive) :]  # a real field has no second part
            lit_D = torch.complex(real_D, imag_D if len(imag_D) else torch.zeros_like(real_D))
            field, field_P = field_of(
                drive, lit_D.numpy(), matrix_PD.to(torch.complex128).cpu().numpy(),
                is_phase=self._modulator.is_phase, frames=frames, pixels=pixels,
            )  # fmt: skip
            if self._camera.noisy:
                return field
            both_NL = torch.from_numpy(np.concatenate((field_P.real, field_P.imag)))[None].float()
            response_NR, _ = self._camera.expose(both_NL, np.zeros(1, np.int64))
        return dataclasses.replace(field, readout=response_NR[0].numpy())

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

    def _load(self, matrix_PD: torch.Tensor, scale: float) -> None:
        """Take a transfer matrix; `scale` is the deviation of a real part of what it turns towards."""
        towards_PD = None
        if self._turn is not None:
            towards_PD = gaussian(
                *matrix_PD.shape, scale=scale, seed=self._seed, stream=_QUADRATURE, device=self._device
            )
        real = not self._modulator.is_phase and self._round_trips is None
        self._transfer = TransferMatrix(matrix_PD, towards_PD=towards_PD, real_field=real)

    def _now(self) -> tuple[torch.Tensor, Turn | None]:
        """Return the transfer matrix that the next row meets, and the angle of it."""
        if self._turn is None:
            return self._transfer.matrix, None
        angle = torch.from_numpy(np.atleast_1d(self._turn.at(np.array([self._clock.now]))))[:, None].to(self._device)
        turn = angle.cos().float(), angle.sin().float()
        return self._transfer.matrix * turn[0] + self._transfer.towards * turn[1], turn

    def _respond(self, drive: torch.Tensor, passes: Passes) -> tuple[torch.Tensor, NDArray[np.uint8] | None]:
        start_N = self._clock.advance(len(drive))
        turn = None
        if self._turn is not None:
            angle_N1 = torch.from_numpy(self._turn.at(start_N)).to(self._device)[:, None]
            turn = angle_N1.cos().float(), angle_N1.sin().float()
        plain = not (torch.is_grad_enabled() and drive.requires_grad)
        response_NR = drive.new_empty((len(drive), *self._spec.response.shape))

        def expose(rows: slice) -> tuple[torch.Tensor, NDArray[np.uint8] | None]:
            angle = None if turn is None else (turn[0][rows], turn[1][rows])
            field_NK = self._modulator.field(drive[rows])
            if self._round_trips is not None:
                field_NK = self._round_trips(field_NK, angle)
            out_NR = response_NR[rows] if plain else None
            return self._camera.expose(self._transfer(field_NK, angle), passes[rows], out_NR=out_NR)

        def expose_alone(rows: slice) -> tuple[torch.Tensor, NDArray[np.uint8] | None]:
            with torch.no_grad():  # each thread has its own mode
                return expose(rows)

        # Portion by portion: a field is detected while it is still in the cache. Large ones by threads that don't meet.
        threads = torch.get_num_threads() if plain and self._device.type == "cpu" else 1
        if len(drive) * self._transfer.numbers < _WORTH:
            threads = 1
        portions = list(self._transfer.cut(len(drive), parts=threads))
        if threads > 1 and len(portions) > 1:
            with lone_threads(min(threads, len(portions)), flush=False) as pool:
                exposed = list(pool.map(expose_alone, portions))
        else:
            exposed = [expose(rows) for rows in portions]
        flags = [flag_N for _, flag_N in exposed if flag_N is not None]
        if not plain:
            response_NR = torch.cat([part_NR for part_NR, _ in exposed])
        return response_NR, np.concatenate(flags) if flags else None
