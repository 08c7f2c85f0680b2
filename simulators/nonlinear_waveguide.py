"""A shaped light pulse in a nonlinear single-mode waveguide, read by a spectrometer or by gates in time.

Axis letters: N rows; D drives; T samples in time; R responses.
"""

from __future__ import annotations

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
    DriveSpec,
    Passes,
    PhysicalSystem,
    Reading,
    ResponseSpec,
    SystemSpec,
)
from physnet.errors import SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .devices import device_of
from .pulse_detectors import EnergyDetector
from .pulse_line import Numerics, PulseLine
from .pulse_shaper import Pulse, Shaper
from .waveguide_medium import TimeGrid, Waveguide, describe
from .waveguide_routes import Backend, choose, maker
from .waveguide_solver import Propagated
from .waveguide_view import WaveguideView

_SIDES = 3  # a spectrum has room to grow to so many times the shaper's span


class NonlinearWaveguide(PhysicalSystem, Differentiable, Viewable):
    """A pulse laser, a pulse shaper, a nonlinear waveguide and a spectrometer.

    The drive sets phase or amplitude of bands of the pulse's spectrum. In the guide the pulse follows the nonlinear
    Schroedinger equation (`waveguide_medium` writes it out), with a late (Raman) response and self-steepening as
    options: bands mix by the third power of the field. The response is the energy in bands of the spectrum, or in
    slices of time, at the end. A phase is lost on the detector but for what the guide, and in time the dispersion, made
    of it before.

    Numbers decide whether a row is resolved. What is wrong for the unshaped pulse, which has the highest peak, is
    refused at once. What shows in the guide only is looked at in every row: the nonlinear phase of a step, and at
    stations on the way the energy at the edges of the time window, which is periodic, and of the spectrum, beyond which
    frequencies fold back. `numerics` tells them, with the error of the steps, for drives of your choice.

    A row's response has the same bits wherever it stands in a batch and for any number of torch threads. `forward` has
    the gradient of the plain torch solver.

    Defaults: 10 m of standard fibre at 1550 nm and a mode-locked laser's pulses of 0.4 nJ and 200 fs, shaped over the 5
    THz of the C band. The unshaped pulse is a soliton of order 1.2, and passes 17 dispersion lengths: its error after
    200 steps is 0.1, the largest of all. Shaped ones, whose energy is spread over the inverse width of a band, turn by
    some 0.4 rad in the mean and a few at their peaks, with errors of 1e-3.

    Args:
        drives: Bands of the shaper.
        responses: Bands of the spectrum, or slices of time.
        modulator: `phase` (drive in rad) or `amplitude` (drive 0 to 1).
        signed: Amplitudes from -1 to 1. Amplitude only.
        phase_range: Largest phase in rad, pi unless given. Phase only.
        pulse: `sech` or `gaussian`.
        duration: Full width of the power at half its maximum before shaping, s.
        energy: Of the pulse before shaping, J.
        span: Width of all bands of the shaper together in Hz.
        spot: Standard deviation of the light's spot on the shaper in widths of a band.
        length: Of the guide, m.
        beta2: Dispersion of the group velocity, s^2/m.
        beta3: Third-order dispersion, s^3/m.
        gamma: Nonlinearity in 1/(W m).
        attenuation: Of power, 1/m.
        raman_fraction: Share of the nonlinearity that comes late; 0.18 in silica.
        self_steepening: Whether the nonlinearity grows with the optical frequency.
        wavelength: Of the carrier in vacuum, m.
        response: `spectrum` or `time`.
        response_span: Width that the responses cover together, in Hz or s. None: twice the shaper's span, or half the
            window.
        steps: Along the guide.
        order: Of accuracy: 2, or 4 by extrapolation with three times the work.
        samples: Of the time window, a power of two. None for a bandwidth of at least three times the shaper's span, and
            for a sample in each slice.
        window: In s. None for three inverse widths of a band and what dispersion spreads the span one and a half times,
            and for a bin in each band of the response.
        precision: `single` or `double`.
        backend: What steps the field: `torch`; `numba` (several times faster on a CPU) and `cuda` (a row stays on a
            multiprocessor of a CUDA device, up to 8 192 samples), both in single precision and without self-steepening;
            `graph` (torch on a CUDA device, launched as graphs); `auto` chooses.
        phase_limit: Largest nonlinear phase of a step in rad.
        edge_limit: Largest share of energy at the edges of window or spectrum.
        seconds_per_pass: Declared cost of a row in s: a frame of the shaper's liquid crystal.
        device: torch device.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or two don't fit.

    Source:
        G. P. Agrawal, Nonlinear Fiber Optics, 5th ed., 2013, chapters 2 (equation, splitting) and 5 (solitons). A fibre
        as a physical network: arXiv:2503.03649.
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 32, "responses": 48}
    """Options of a waveguide to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        modulator: Literal["phase", "amplitude"] = "phase",
        signed: bool = False,
        phase_range: Annotated[float, Field(gt=0)] | None = None,
        pulse: Literal["sech", "gaussian"] = "sech",
        duration: Annotated[float, Field(gt=0)] = 200e-15,
        energy: Annotated[float, Field(gt=0)] = 0.4e-9,
        span: Annotated[float, Field(gt=0)] = 5e12,
        spot: Annotated[float, Field(gt=0)] = 0.5,
        length: Annotated[float, Field(gt=0)] = 10.0,
        beta2: float = -21.7e-27,
        beta3: float = 0.13e-39,
        gamma: Annotated[float, Field(ge=0)] = 1.3e-3,
        attenuation: Annotated[float, Field(ge=0)] = 4.6e-5,
        raman_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        self_steepening: bool = False,
        wavelength: Annotated[float, Field(gt=0)] = 1550e-9,
        response: Literal["spectrum", "time"] = "spectrum",
        response_span: Annotated[float, Field(gt=0)] | None = None,
        steps: Annotated[int, Field(ge=1)] = 200,
        order: Literal[2, 4] = 2,
        samples: Annotated[int, Field(ge=128, le=16384)] | None = None,
        window: Annotated[float, Field(gt=0)] | None = None,
        precision: Literal["single", "double"] = "single",
        backend: Backend = "auto",
        phase_limit: Annotated[float, Field(gt=0)] = 0.25,
        edge_limit: Annotated[float, Field(gt=0)] = 1e-3,
        seconds_per_pass: Annotated[float, Field(ge=0)] = 0.02,
        device: str = "cpu",
        name: str = "nonlinear_waveguide",
    ) -> None:
        for label, count in (("drives", drives), ("responses", responses), ("steps", steps)):
            if count < 1:
                raise SpecError(f"{label} of {name} must be >= 1, got {count}.")
        if order not in (2, 4) or precision not in ("single", "double"):
            raise SpecError(
                f"order and precision of {name} must be 2 or 4, and single or double, got {order} and {precision!r}."
            )
        for label, value in (("span", span), ("phase_limit", phase_limit), ("edge_limit", edge_limit)):
            if not 0 < value < math.inf:
                raise SpecError(f"{label} of {name} must be > 0, got {value}.")
        waveguide = Waveguide(
            length=length, beta2=beta2, beta3=beta3, gamma=gamma, attenuation=attenuation, wavelength=wavelength,
            raman_fraction=raman_fraction, self_steepening=self_steepening,
        )  # fmt: skip
        if window is None:
            window = 3 * drives / span + 1.5 * waveguide.spread(span)
            if response == "spectrum":
                window = max(window, responses / (2 * span if response_span is None else response_span))
        if response_span is None:
            response_span = 2 * span if response == "spectrum" else window / 2
        if samples is None:
            cells = [_SIDES * span * window, *([responses * window / response_span] if response == "time" else [])]
            samples = 1 << max(7, math.ceil(math.log2(max(cells))))
        grid = TimeGrid(samples=samples, window=window)
        source = Pulse(shape=pulse, duration=duration, energy=energy)
        self._device, self._waveguide, self._grid = device_of(device, name=name), waveguide, grid
        single = precision == "single"
        kinds: dict[str, Any] = {"dtype": torch.complex64 if single else torch.complex128, "device": self._device}
        shaper = Shaper(grid, source, bands=drives, span=span, spot=spot, modulator=modulator, **kinds)
        detector = EnergyDetector(
            grid, quantity=response, parts=responses, span=response_span,
            dtype=torch.float32 if single else torch.float64, device=self._device,
        )  # fmt: skip
        solver = choose(backend, waveguide, grid, precision=precision, device=self._device, name=name)
        make = maker(solver, grid, order=order, precision=precision, device=self._device)
        self._line = PulseLine(
            shaper=shaper, detector=detector, solver=make(waveguide, steps),
            band=span / drives, dispersed=waveguide.spread(span), phase_limit=phase_limit, edge_limit=edge_limit,
            device=self._device, name=name,
        )  # fmt: skip
        self._view = WaveguideView(
            line=self._line, waveguide=waveguide, grid=grid, pulse=source, make=make, steps=steps, bands=drives,
            span=span, spectral=response == "spectrum", parts=responses, detected=response_span,
        )  # fmt: skip
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=_drive_spec(name, drives, modulator, signed, phase_range),
            response=ResponseSpec(
                shape=(responses,), unit="J", dtype="float32" if single else "float64", axes=("response",)
            ),
            # The spec has no name for a modulator: phases are counted to the medium.
            nonlinearity=frozenset({"medium", "detector"} if gamma or modulator == "phase" else {"detector"}),
            repeatable=True,
            reproducible=True,
            cost=Cost(per_pass=seconds_per_pass),
            array="torch",
            device=device,
            identity={
                "model": "NonlinearWaveguide", **describe(waveguide), "pulse": pulse, "duration": duration,
                "energy": energy, "span": span, "spot": spot, "modulator": modulator, "response": response,
                "response_span": response_span, "samples": samples, "window": window, "steps": steps, "order": order,
                "precision": precision, "compiled": solver in ("numba", "cuda"), "solver": solver,
                "nonlinear_length": _finite(waveguide.nonlinear_length(source.peak)),
                "dispersion_length": _finite(waveguide.dispersion_length(source.t0)),
            },
        )  # fmt: skip

    @property
    def spec(self) -> SystemSpec:
        """The waveguide's description of itself."""
        return self._spec

    @property
    def waveguide(self) -> Waveguide:
        """Its equation."""
        return self._waveguide

    @property
    def grid(self) -> TimeGrid:
        """Samples in time."""
        return self._grid

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Shape a pulse for each row of `drive`, shape `(n, drives)`, and read it. There is no noise.

        Raises:
            MeasurementError: A row is not resolved; the message has the number. It carries the rows before.
        """
        started = time.time()
        with torch.no_grad():
            response_NR = self._line.respond(drive.detach())
        return Reading(response=response_NR, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`. The gradient has no graph of its own.

        Raises:
            MeasurementError: As for `measure`.
        """
        return self._line.forward(drive)

    def geometry(self) -> Geometry:
        """Return the unshaped pulse, and what shaper and detector cut out of it."""
        return self._view.geometry()

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return pulse and spectrum along the guide for one row, whatever the limits; see `Viewable`."""
        with torch.no_grad():
            row_ND = torch.from_numpy(drive).to(self._device, torch.float32)[None]
            return self._view.field(row_ND, frames=frames, pixels=pixels)

    def fields(self, drive: torch.Tensor) -> Propagated:
        """Return the pulses at the end of the guide and what was seen on the way, whatever the limits: for plots."""
        with torch.no_grad():
            return self._line.propagate(drive.detach())

    def numerics(self, drive: torch.Tensor) -> Numerics:
        """Return how well rows of drives, shape `(n, drives)`, are resolved; takes three runs of the plain solver."""
        with torch.no_grad():
            return self._line.numerics(drive.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


def _finite(length: float) -> float | None:
    return length if math.isfinite(length) else None


def _drive_spec(name: str, drives: int, modulator: str, signed: bool, phase_range: float | None) -> DriveSpec:
    if modulator == "phase":
        if signed:
            raise SpecError(f"signed of {name} must be false with a phase modulator: a phase has no sign to add.")
        high = math.pi if phase_range is None else phase_range
        return DriveSpec(shape=(drives,), high=high, unit="rad", dtype="float32", domain="phase", axes=("drive",))
    if phase_range is not None:
        raise SpecError(f"phase_range of {name} must be left out with an amplitude modulator, got {phase_range}.")
    return DriveSpec(
        shape=(drives,), low=-1.0 if signed else 0.0, dtype="float32", domain="real" if signed else "non_negative",
        axes=("drive",),
    )  # fmt: skip
