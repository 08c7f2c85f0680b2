"""Light through a multimode fibre, from a modulator to a camera: modes that interfere, and mix when it is strong.

Axis letters: N rows; D drives; M modes; T samples of a pulse; R responses.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self

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
    SystemSpec,
)
from physnet.errors import MeasurementError, SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .devices import device_of
from .fibre_detectors import BandPowers, Detector, EndCamera, ModePowers
from .fibre_launch import Launch
from .fibre_line import Line, Scales, make_line, scales_of
from .fibre_links import make_junctions
from .fibre_mode_solver import solve_modes
from .fibre_modes import Modes
from .fibre_optics import Pixels
from .fibre_profile import Complexes, Fibre, Profile
from .fibre_propagators import make_propagator
from .fibre_pulse import Shape, make_pulse
from .fibre_view import FibreView
from .fibre_watch import FibreNumerics, Watched, watch
from .modulator import Modulator

_ROWS = 512  # taken through at a time


class MultimodeFibre(PhysicalSystem, Differentiable, Viewable):
    """A modulator imaged on a multimode fibre, and a camera on its other end.

    Each pixel of the modulator lights a square of the fibre's end; what no guided mode takes up is lost. In the fibre
    the modes gather phases, and mix where two of its `sections` meet. The camera takes intensities. Light is scalar: of
    one polarisation, without birefringence.

    Weak light (`peak_power` 0) goes through linearly: for the amplitude modulator the square law is the only
    nonlinearity, even and of degree two. Strong light changes the index by its intensity (Kerr effect), which couples
    all quadruples of modes, and the response is no power of the drive any more. The equation is the multimode nonlinear
    Schroedinger equation

        dA_p/dz = (i beta_p - alpha / 2) A_p + dispersion + i n2 k sum_lmn S_plmn A_l A_m^* A_n

    for continuous light (or pulses so long that each instant stands alone; then at their peak), or for pulses of width
    `pulse`, with group velocities and dispersion up to the third order from profile and silica. It has no
    self-steepening and no late (Raman) response, which `n2` counts as instantaneous: right for pulses of 1 ps and
    longer below the threshold of Raman scattering. Overlaps S are those at the carrier. The sum is taken in real space,
    at nodes that are exact for a graded fibre; `kerr = "tensor"` takes it as it stands.

    Graded fibres are taken as parabolas without an end; `HermiteGaussModes` tells what that neglects. Without coupling
    their image comes back after each `2 pi radius n / NA`, 1.1 mm by default, less and less well: half a metre makes
    speckle of it.

    What is wrong for certain is refused at once: power beyond the critical one, steps longer than a beat, a window that
    modes walk out of. What shows in a row only is looked at in every row: energy that the steps lose, and energy at the
    edges of the time window and of the frequencies. `numerics` tells them, with the error of the steps.

    A row's response has the same bits wherever it stands in a batch and for any number of torch threads. `forward` has
    the exact gradient.

    Defaults: a graded fibre of 50 um with 55 modes at 1550 nm. What counts in the Kerr effect is power times length: 1
    MW over 2 cm turn phases by some radians, as do kilowatts over metres in experiments. Most of that is common to all
    modes and does not show: scaling signed random drives changed the pattern by 4 % at 1 MW over 1 cm, by 17 % at 3 MW
    over 2 cm.

    Args:
        drives: Pixels of the modulator, on a square; the last line may be short.
        responses: Pixels of the camera, alike; or modes, or bands.
        profile: `graded` (parabolic) or `step`.
        radius: Of the core, m.
        numerical_aperture: On the axis.
        wavelength: In vacuum, m.
        cladding_index: None for fused silica.
        modes: How many are kept; None for all that are guided.
        length: m.
        attenuation: Of the power, 1/m; 0.2 dB/km are 4.6e-5.
        sections: Equal straight parts.
        coupling: Random coupling where two sections meet; from about 1 on all modes mix there.
        kink: Standard deviation of the angles, along x and y, between two sections, rad.
        modulator: `amplitude` (drive 0 to 1) or `phase` (drive in rad).
        signed: Amplitudes from -1 to 1. Amplitude only.
        phase_range: Largest phase in rad, pi unless given. Phase only.
        aperture: Side of the modulator's image on the fibre, m; None for the square within the core.
        response: `camera`; `modes`, their powers; `spectrum`, bands of the spectrum of all modes, for pulses.
        view: Side of the square on the fibre's end that the camera sees, m; None for the diameter of the core.
        peak_power: On the fibre with a full drive, W; 0 for a linear fibre.
        n2: Nonlinear index, m^2/W.
        pulse: Full width of the pulse's power at half its maximum, s; None for continuous light.
        pulse_shape: `gaussian` or `sech`.
        window: Of time, periodic, s; None for 8 widths and what the modes walk off.
        samples: In the window, a power of two; None for at least 16 in a width.
        step: Of the Kerr effect, m; None for what the beats of the modes and the nonlinear phase ask for.
        kerr: `quadrature`, or `tensor`, which is there to check it.
        backend: `numba` (compiled, several times faster, CPU), `graph` (torch on a CUDA device, launched as graphs),
            `torch`; `auto` chooses.
        seed: Of coupling and kinks.
        seconds_per_pass: Declared cost of a row, s.
        device: torch device.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or two don't fit.

    Source:
        F. Poletti, P. Horak, J. Opt. Soc. Am. B 25, 1645 (2008) (equation); J. Hult, J. Lightwave Technol. 25, 3770
        (2007) (integrator). Values: NA 0.2 and radius 25 um at 1.55 um as in examples of pyMMF; n2 as in those of
        GMMNLSE-Solver. A multimode fibre as a physical network: U. Tegin et al., Nature Comput. Sci. 1, 542 (2021).
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 36, "responses": 100}
    """Options of a fibre to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        profile: Profile = "graded",
        radius: Annotated[float, Field(gt=0)] = 25e-6,
        numerical_aperture: Annotated[float, Field(gt=0)] = 0.2,
        wavelength: Annotated[float, Field(gt=0)] = 1.55e-6,
        cladding_index: Annotated[float, Field(ge=1)] | None = None,
        modes: Annotated[int, Field(ge=1)] | None = None,
        length: Annotated[float, Field(gt=0)] = 1.0,
        attenuation: Annotated[float, Field(ge=0)] = 0.0,
        sections: Annotated[int, Field(ge=1)] = 1,
        coupling: Annotated[float, Field(ge=0)] = 0.0,
        kink: Annotated[float, Field(ge=0)] = 0.0,
        modulator: Literal["amplitude", "phase"] = "amplitude",
        signed: bool = False,
        phase_range: Annotated[float, Field(gt=0)] | None = None,
        aperture: Annotated[float, Field(gt=0)] | None = None,
        response: Literal["camera", "modes", "spectrum"] = "camera",
        view: Annotated[float, Field(gt=0)] | None = None,
        peak_power: Annotated[float, Field(ge=0)] = 0.0,
        n2: Annotated[float, Field(gt=0)] = 2.3e-20,
        pulse: Annotated[float, Field(gt=0)] | None = None,
        pulse_shape: Shape = "gaussian",
        window: Annotated[float, Field(gt=0)] | None = None,
        samples: Annotated[int, Field(ge=32)] | None = None,
        step: Annotated[float, Field(gt=0)] | None = None,
        kerr: Literal["quadrature", "tensor"] = "quadrature",
        backend: Literal["auto", "torch", "numba", "graph"] = "auto",
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(ge=0)] = 1e-3,
        device: str = "cpu",
        name: str = "multimode_fibre",
    ) -> None:
        if drives < 1 or responses < 1:
            raise SpecError(f"drives and responses of {name} must be >= 1, got {drives} and {responses}.")
        if response not in ("camera", "modes", "spectrum"):
            raise SpecError(f"response of {name} must be camera, modes or spectrum, got {response!r}.")
        plain = {"length": length, "n2": n2, "attenuation": attenuation, "peak_power": peak_power}
        for label, value in {**plain, "seconds_per_pass": seconds_per_pass}.items():
            if not 0 <= value < math.inf or (value == 0 and label in ("length", "n2")):
                rule = "> 0" if label in ("length", "n2") else ">= 0"
                raise SpecError(f"{label} of {name} must be {rule} and finite, got {value}.")
        fibre = Fibre(
            profile=profile, radius=radius, numerical_aperture=numerical_aperture, wavelength=wavelength,
            cladding_index=cladding_index,
        )  # fmt: skip
        self._modes = solve_modes(fibre, modes=modes)
        made = None
        if pulse is not None:
            made = make_pulse(
                self._modes, length=length, width=pulse, shape=pulse_shape, window=window, samples=samples
            )
        self._scales = scales_of(self._modes, length=length, peak_power=peak_power, n2=n2, pulse=made)
        self._cut: dict[str, Any] = plain | {"pulse": made}
        self._cut["junction_JMM"] = make_junctions(
            self._modes, sections=sections, coupling=coupling, kink=kink, seed=seed
        )
        self._line = make_line(self._modes, self._scales, **self._cut, step=step)
        self._kept = math.exp(-attenuation * length)
        self._device = device_of(device, name=name)
        self._steps: dict[str, Any] = {"kerr": kerr, "backend": backend, "device": self._device, "name": name}
        self._propagator = make_propagator(self._line, self._modes, **self._steps)

        lights = Modulator(drives=drives, kind=modulator, signed=signed, phase_range=phase_range, name=name)
        pixels = Pixels(count=drives, width=math.sqrt(2) * radius if aperture is None else aperture)
        self._launch = Launch(lights, pixels, self._modes, self._line, device=self._device)
        self._detector: Detector
        if response == "camera":
            camera = Pixels(count=responses, width=2 * radius if view is None else view)
            self._detector = EndCamera(camera, self._modes, self._line, self._device)
        elif response == "modes":
            self._detector = ModePowers(responses, self._modes, self._line, self._device)
        else:
            self._detector = BandPowers(responses, self._line, self._device)
        seen = 2 * radius if view is None else view
        self._view = FibreView(
            modes=self._modes, line=self._line, beat=self._scales.beat, attenuation=attenuation, pixels=pixels,
            camera=Pixels(count=responses, width=seen) if response == "camera" else None, width=max(seen, 2.2 * radius),
            propagator=None if self._line.linear else self._propagator,
        )  # fmt: skip
        nonlinear = lights.is_phase or not self._line.linear
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=lights.spec,
            response=ResponseSpec(shape=(responses,), dtype="float32", axes=("response",)),
            nonlinearity=frozenset({"medium", "detector"} if nonlinear else {"detector"}),
            repeatable=True,
            reproducible=True,
            cost=Cost(per_pass=seconds_per_pass),
            array="torch",
            device=device,
            identity={
                "model": "MultimodeFibre", **dataclasses.asdict(fibre), **plain, "modes": len(self._modes),
                "sections": sections, "coupling": coupling, "kink": kink, "seed": seed, "modulator": modulator,
                "aperture": pixels.width, "response": response, "pulse": None if made is None else str(made),
                "step": self._line.step, "steps": self._line.steps * sections, "kerr": kerr,
                "solver": type(self._propagator).__name__.removesuffix("Propagator").lower(),
            },
        )  # fmt: skip

    @property
    def spec(self) -> SystemSpec:
        """The fibre's description of itself."""
        return self._spec

    @property
    def modes(self) -> Modes:
        """The modes that are kept."""
        return self._modes

    @property
    def scales(self) -> Scales:
        """The lengths that decide about the step."""
        return self._scales

    @property
    def line(self) -> Line:
        """Sections and steps."""
        return self._line

    @property
    def transfer(self) -> Complexes:
        """The matrix from modes to modes at the carrier without the Kerr effect, shape `(modes, modes)`.

        Its transpose is the matrix of light that comes from the other end.
        """
        return self._line.transfer()

    def launched(self, drive: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes of the modes at the beginning, complex, shape `(n, modes)`.

        A full drive carries a power of 1, of which the modes have what they take up.
        """
        return self._launch.amplitudes(drive)

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play `drive`, shape `(n, drives)`, and read the end. Pass numbers change nothing: there is no noise.

        Raises:
            MeasurementError: A row was not computed well; the message has the number. It carries the rows before.
        """
        started = time.time()
        with torch.no_grad():
            response_NR = self.forward(drive, passes)
        return Reading(response=response_NR, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`."""
        parts: list[torch.Tensor] = []
        for first in range(0, len(drive), _ROWS):
            begun_NM2 = self._launch.enter(drive[first : first + _ROWS])
            end_NM2T = self._end(begun_NM2)
            trouble = None if self._launch.reaches_end else self._watch(begun_NM2, end_NM2T).trouble()
            if trouble is not None:
                row, why = trouble
                before = [*parts, *([self._detector.detect(end_NM2T[:row])] if row else [])]
                reading = Reading(response=torch.cat(before).detach()) if before else None
                raise MeasurementError(f"{self._spec.name}, row {first + row}: {why}", reading=reading)
            parts.append(self._detector.detect(end_NM2T))
        return torch.cat(parts)

    def geometry(self) -> Geometry:
        """Return the ends of the fibre, and a few modes."""
        return self._view.geometry()

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return the light along the fibre for one row; see `Viewable`. Refuses no row."""
        with torch.no_grad():
            row_ND = torch.from_numpy(drive)[None].to(self._device)
            end_NM2T = self._end(self._launch.enter(row_ND))
            response_R = self._detector.detect(end_NM2T)[0].cpu().numpy()
            return self._view.field(self.launched(row_ND)[0], end_NM2T[0], response_R, frames=frames, pixels=pixels)

    def numerics(self, drive: torch.Tensor) -> FibreNumerics:
        """Compute rows with steps half as long, and return how well the steps of `measure` do. Refuses no row."""
        with torch.no_grad():
            begun_NM2 = self._launch.enter(drive)
            end_NM2T = self._end(begun_NM2)
            coarse_NR = fine_NR = self._detector.detect(end_NM2T)
            if not self._line.linear:
                finer = make_line(self._modes, self._scales, **self._cut, step=self._line.step / 2)
                propagator = make_propagator(finer, self._modes, **self._steps)
                fine_NR = self._detector.detect(propagator.propagate(begun_NM2))
            if self._launch.reaches_end:  # one matrix, without a beginning
                begun_NM2 = begun_NM2 / math.sqrt(self._kept)
            watched = self._watch(begun_NM2, end_NM2T)
        largest_N = fine_NR.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
        error_N = ((fine_NR - coarse_NR).abs().amax(1) / largest_N).double().cpu().numpy()
        return FibreNumerics(step_error_N=error_N, watched=watched, scales=self._scales, step=self._line.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _end(self, begun_NM2: torch.Tensor) -> torch.Tensor:
        """Return amplitudes at the end, shape `(n, modes, 2, samples)`, from those that the launch returns."""
        return begun_NM2[..., None] if self._launch.reaches_end else self._propagator.propagate(begun_NM2)

    def _watch(self, begun_NM2: torch.Tensor, end_NM2T: torch.Tensor) -> Watched:
        return watch(begun_NM2, end_NM2T, self._line, kept=self._kept)
