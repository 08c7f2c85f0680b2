"""A programmable mesh of Mach-Zehnder interferometers: amplitudes in, a unitary matrix of phases, powers out.

Axis letters: N rows; D drives; P ports; M interferometers; R responses.
"""

from __future__ import annotations

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
    DriveSpec,
    Passes,
    PhysicalSystem,
    Reading,
    ResponseSpec,
    Stateful,
    SystemSpec,
    Tunable,
)
from physnet.errors import DriveError, SessionError, SpecError
from physnet.seeding import stream
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .camera import Camera
from .devices import device_of
from .mesh_decomposition import Complexes, MeshLayout, MeshShape, decompose
from .mesh_phases import PhaseShifters, columns, transfer
from .mesh_view import field_of, geometry_of
from .modulator import Modulator
from .transfer_matrix import TransferMatrix

_TURN = 2 * math.pi


class MachZehnderMesh(PhysicalSystem, Stateful, Tunable, Differentiable, Viewable):
    """Light in `ports` waveguides that meet in interferometers; every unitary matrix is one setting of the phases.

    An interferometer is two couplers with a phase shifter `theta` between them and one, `phi`, before them, both on the
    upper arm: `B diag(e^{i theta}, 1) B diag(e^{i phi}, 1)`. The mesh is lossless: the powers of a row add up to those
    that were put in. Detectors read the powers of the first `responses` ports, `|U x|^2`: the square law is the only
    nonlinearity of amplitude drives. Phases of the outputs would not be seen and are left out.

    What is written to `theta` and `phi` (`configure`) is rounded to the levels of the drivers, then heats its
    neighbours; see `PhaseShifters`. Couplers of unlike splitting leave the matrix unitary, but it is another one, and
    not every matrix can be reached; `program` knows only the ideal mesh. Phases start as those of a random unitary
    matrix (Haar measure) in the ideal mesh.

    Args:
        drives: Channels, into the first ports.
        responses: Detectors, at the first ports.
        ports: Waveguides, >= 2; None for the larger of the two.
        mesh: `rectangular` (Clements), of `ports` columns, or `triangular` (Reck), of `2 ports - 3`.
        modulator: `amplitude`: the field at an input is the drive, 0 to 1; `phase`: it is `exp(i drive)`, drive in rad.
        signed: Amplitudes from -1 to 1. Amplitude only.
        phase_range: Largest phase of a drive in rad. Phase only.
        phase_bits: Bits of the drivers, over a turn; None for no rounding.
        phase_crosstalk: What a phase shifter adds to one at the smallest distance, as a share of its own phase.
        coupler_error: Standard deviation of the couplers' angles from pi / 4, in rad; drawn from the seed.
        seed: Seed of the first phases and of the couplers.
        seconds_per_pass: Declared as the cost of a pass, s.
        seconds_per_write: Declared as the cost of writing parameters, s; heaters take some 10 us to ms.
        device: torch device.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or belongs to the other modulator.

    Source:
        W. R. Clements et al., Optica 3, 1460 (2016), arXiv:1603.08788 (rectangular mesh); M. Reck et al., Phys. Rev.
        Lett. 73, 58 (1994) (triangular); F. Mezzadri, Notices AMS 54, 592 (2007) (random unitary matrices).
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 12, "responses": 12}
    """Options of one to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        ports: Annotated[int, Field(ge=2)] | None = None,
        mesh: MeshShape = "rectangular",
        modulator: Literal["amplitude", "phase"] = "amplitude",
        signed: bool = False,
        phase_range: Annotated[float, Field(gt=0)] | None = None,
        phase_bits: Annotated[int, Field(ge=1, le=24)] | None = None,
        phase_crosstalk: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        coupler_error: Annotated[float, Field(ge=0)] = 0.0,
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(ge=0)] = 1e-6,
        seconds_per_write: Annotated[float, Field(ge=0)] = 1e-4,
        device: str = "cpu",
        name: str = "mach_zehnder",
    ) -> None:
        if mesh not in ("rectangular", "triangular") or modulator not in ("amplitude", "phase"):
            raise SpecError(
                f"mesh and modulator of {name} must be rectangular or triangular, and amplitude or phase, got {mesh!r} "
                f"and {modulator!r}."
            )
        ports = max(drives, responses, 2) if ports is None else ports
        if not (1 <= drives <= ports and 1 <= responses <= ports and ports >= 2):
            raise SpecError(
                f"drives and responses of {name} must be 1 to the {ports} ports, which are two at least, got {drives} "
                f"and {responses}."
            )
        if not 0 <= coupler_error < math.inf:
            raise SpecError(f"coupler_error of {name} must be >= 0 rad, got {coupler_error} rad.")
        self._layout = MeshLayout.of(mesh, ports)
        self._mesh, self._ports = mesh, ports
        self._shifters = PhaseShifters(self._layout, bits=phase_bits, crosstalk=phase_crosstalk, name=name)
        count = len(self._layout.port_M)
        error_2M = coupler_error * stream(seed, "mesh couplers").standard_normal((2, count))
        self._coupler_2M = torch.from_numpy(math.pi / 4 + error_2M)
        self._modulator = Modulator(drives=drives, kind=modulator, signed=signed, phase_range=phase_range, name=name)
        self._detector = Camera(modulus=False, pooling=1, name=name)
        self._device = device_of(device, name=name)
        parameter = DriveSpec(shape=(count,), high=_TURN, unit="rad", domain="phase", axes=("interferometer",))
        self._parameters = {"theta": parameter, "phi": parameter}
        options: dict[str, Any] = {"mesh": mesh, "ports": ports, "modulator": modulator, "seed": seed}
        options |= {"phase_bits": phase_bits or 0, "phase_crosstalk": phase_crosstalk, "coupler_error": coupler_error}
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=self._modulator.spec,
            response=ResponseSpec(shape=(responses,), dtype="float32", axes=("response",)),
            nonlinearity=frozenset({"medium", "detector"} if self._modulator.is_phase else {"detector"}),
            repeatable=True,
            reproducible=True,
            cost=Cost(per_pass=seconds_per_pass, parameter_write=seconds_per_write),
            array="torch",
            device=device,
            identity={"model": "MachZehnderMesh", "camera": "intensity", **options},
        )
        self._version = 0
        phases = decompose(_random_unitary(ports, seed), mesh)
        self._theta_M, self._phi_M = phases.theta_M, phases.phi_M
        self._load()

    @property
    def spec(self) -> SystemSpec:
        """The mesh's description of itself."""
        return self._spec

    @property
    def layout(self) -> MeshLayout:
        """Where the interferometers are, in the order of the parameters."""
        return self._layout

    @property
    def parameters(self) -> Mapping[str, DriveSpec]:
        """`theta` and `phi`, a phase in rad from 0 to 2 pi for each interferometer."""
        return self._parameters

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """Copies of `theta` and `phi` as they were written, before rounding and crosstalk."""
        return {"theta": self._theta_M.copy(), "phi": self._phi_M.copy()}

    @property
    def matrix(self) -> Complexes:
        """What the mesh is now, shape `(ports, ports)`: outputs, inputs."""
        return self.transfer(torch.from_numpy(self._theta_M), torch.from_numpy(self._phi_M)).numpy()

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        """Write `theta`, `phi` or both, shape and range as `parameters` tells.

        Returns:
            The number of writes so far.

        Raises:
            DriveError: A name, a shape or a value is not one of `parameters`. Nothing was written.
        """
        if not values or not set(values) <= set(self._parameters):
            given = " and ".join(sorted(values)) or "none"
            raise DriveError(
                f"parameters of {self._spec.name} must be theta, phi or both, got {given}. Nothing was written."
            )
        new = {name: np.array(value, dtype=np.float64) for name, value in values.items()}
        for name, value_M in new.items():
            shape = self._parameters[name].shape
            inside = (value_M >= 0) & (value_M <= _TURN)
            if value_M.shape != shape or not bool(np.all(inside)):
                raise DriveError(
                    f"{name} of {self._spec.name} must be {shape[0]} phases from 0 to 2 pi rad, got shape "
                    f"{value_M.shape} and {np.count_nonzero(~inside)} others. Nothing was written."
                )
        self._theta_M, self._phi_M = new.get("theta", self._theta_M), new.get("phi", self._phi_M)
        self._load()
        self._version += 1
        return self._version

    def program(self, unitary_PP: NDArray[Any]) -> int:
        """Write the phases with which the ideal mesh is a unitary matrix but for phases of its outputs.

        Returns:
            The number of writes so far.

        Raises:
            InputError: The matrix is not one of as many ports, and unitary.
        """
        if np.shape(unitary_PP) != (self._ports, self._ports):
            raise DriveError(
                f"unitary must have a line and a column for each of the {self._ports} ports of {self._spec.name}, got "
                f"shape {np.shape(unitary_PP)}. Nothing was written."
            )
        phases = decompose(unitary_PP, self._mesh)
        return self.configure({"theta": phases.theta_M, "phi": phases.phi_M})

    def transfer(self, theta_M: torch.Tensor, phi_M: torch.Tensor) -> torch.Tensor:
        """Return the matrix of any phases with its graph, `complex128`, shape `(ports, ports)`; nothing is written.

        Rounding passes a gradient as if there were none.
        """
        return transfer(self._layout, *self._shifters(theta_M, phi_M), self._coupler_2M)

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play `drive`, shape `(n, drives)`, and read the powers. Pass numbers change nothing: there is no noise."""
        started = time.time()
        with torch.no_grad():
            response_NR = self.forward(drive, passes)
        return Reading(response=response_NR, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`."""
        return self._detector.expose(self._product(self._modulator.field(drive)), passes)[0]

    def geometry(self) -> Geometry:
        """Return the mesh with the phases that the light sees now."""
        theta_M, phi_M = self._seen()
        return geometry_of(self._layout, theta_M.numpy(), phi_M.numpy())

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return the powers behind each column for one row, in double precision; see `Viewable`."""
        field_K = self._modulator.field(torch.from_numpy(drive)[None])[0].double()
        drives = len(drive)
        input_P = torch.zeros(self._ports, dtype=torch.complex128)
        input_P[:drives] = torch.complex(*field_K.chunk(2)) if self._modulator.is_phase else field_K
        return field_of(
            self._layout, columns(self._layout, *self._seen(), self._coupler_2M), input_P,
            responses=self._spec.response.channels, frames=frames, pixels=pixels,
        )  # fmt: skip

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the phases: nothing else is remembered."""
        return self.values

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned; phases that differ are written.

        Raises:
            SessionError: `state` lacks them.
        """
        if not set(state) >= set(self._parameters):
            raise SessionError(
                f"a state of {self._spec.name} must hold theta and phi, got {sorted(state)}. Another system saved it."
            )
        if any(not np.array_equal(state[name], value) for name, value in self.state().items()):
            self.configure({name: state[name] for name in self._parameters})

    def reset(self) -> None:
        """Nothing to forget: phases stay as they were written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the phases that the light sees, after rounding and crosstalk."""
        return self._shifters(torch.from_numpy(self._theta_M), torch.from_numpy(self._phi_M))

    def _load(self) -> None:
        """Lay the matrix out for products with rows."""
        (drives,), (responses,) = self._spec.drive.shape, self._spec.response.shape
        matrix_RD = torch.from_numpy(self.matrix[:responses, :drives]).to(self._device, torch.complex64)
        self._product = TransferMatrix(matrix_RD, real_field=not self._modulator.is_phase)


def _random_unitary(ports: int, seed: int) -> Complexes:
    """Return a unitary matrix of the Haar measure."""
    parts_2PP = stream(seed, "mesh phases").standard_normal((2, ports, ports))
    unitary_PP, triangle_PP = np.linalg.qr(parts_2PP[0] + 1j * parts_2PP[1])
    # A QR decomposition leaves the phases of its columns open, not uniform: those of the diagonal make them so.
    diagonal_P = np.diag(triangle_PP)
    return np.asarray(unitary_PP * (diagonal_P / np.abs(diagonal_P)))
