"""A microwave cavity whose walls carry a programmable metasurface: the drive sets the elements, antennas read S21.

Axis letters: N rows; D drive channels; E driven elements; J receivers; T transmitters; F frequencies; R responses.
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
from physnet.errors import SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .cavity_parameters import WrittenElements
from .cavity_spectrum import Spectrum
from .cavity_temperature import Temperature
from .cavity_view import CavityView
from .clock import VirtualClock
from .dipole_cavity import DipoleCavity
from .dipole_layout import furnish, warn_of_gaps
from .dipoles import Complexes, Dipoles
from .drift import Drift
from .metasurface import Control, make_metasurface
from .multiport import Multiport

_LIGHT = 299_792_458.0  # m/s
_REMEMBERED = 8  # stretches of the spectrum whose eliminations are kept


class ProgrammableCavity(PhysicalSystem, Stateful, Tunable, Differentiable, Viewable):
    """A microwave cavity with a programmable metasurface: coupled dipoles, and the equivalent multiport.

    A fence of dipoles is the wall; others are scatterers, antennas, and the elements of the metasurface before it.
    `W p = E` turns the moments of all dipoles into the fields that excite them: on the diagonal inverse
    polarizabilities, `((2 pi f_i)^2 - (2 pi f)^2) / chi_i^2 + i (k^2 / 4 + 2 pi f gamma_i / chi_i^2)`, elsewhere
    `i k^2 / 4 H0(k r)` with `k = 2 pi f`. A response is `S21 = W_rr (W^-1)_rt` between a receiver and a transmitter at
    each frequency, or its modulus.

    The drive is not a wave but the state of the elements. The medium is linear for waves and yet not in the drive:
    waves go from element to element, and S21 is a rational function of the states; it is linear where they scatter
    weakly.

    What the drive does not change is eliminated once for each frequency, elements that are parameters at every write. A
    row then costs one solution of the size of the driven elements or, for switched ones, of those in another than the
    most common state. `route = "full"` solves the whole cavity for each row, with the same numbers within rounding.

    With `stretch`, the temperature changes. A bench that has grown by a relative epsilon in all its parts answers at
    `f` as it did at `f (1 + epsilon)`: all resonances fall alike. Aluminium grows by 2.3e-5 per K. Time grows by
    `seconds_per_pass` at every row, those of `forward` included.

    `forward` has exact gradients; a switched element's inverse polarizability is interpolated linearly in each bit.

    A row's response has the same bits wherever it stands in a batch and for any number of torch threads. LAPACK's
    threads are not torch's: another number of them changes the last digits.

    Inside, frequencies are in units of `centre` and lengths in wavelengths at it (0.122 m at 2.45 GHz); `strength` is
    chi and `damping` gamma in these units, as in the source. Defaults are those of its published example (fence:
    resonance 10, chi 50, gamma 100; antennas 1, 0.5, 0; elements 5 when off and 1 when on, gamma 0) but for the chi of
    elements, 0.5 instead of 50: with 50, the states' inverse polarizabilities differ by 4 % only, and random patterns
    change less than 1 % of the received power in the geometry here, which is ours. 2.45 GHz is the band of experiments.

    Args:
        drives: Channels: elements, or bits of them for `2-bit`.
        responses: `receivers * transmitters * frequencies`, in this order.
        control: What sets an element: a bit (two resonances); two bits (four), most significant first; or its
            resonance frequency itself, linear in a drive from 0 to 1.
        resonances: Resonance frequencies of the states in the order of their number, or at drive 0 and 1, in Hz. None:
            5 and 1 times the centre; for two bits 5 times it and three such that an element alone reflects with phases
            a quarter of a turn apart at the centre; 0.9 and 1.1 times it.
        trainable: Further elements, set by `configure` instead of the drive; among the driven ones along the wall.
        frequencies: In Hz. None for five from 2 % below the centre to 2 % above.
        transmitters: How many; there are as many receivers as the responses need.
        response: `complex`, or `modulus`.
        centre: Frequency that is 1 inside, and resonance frequency of the antennas, in Hz.
        size: Width and height of the fence in m.
        wall_spacing: Distance between dipoles of the fence in m; a `NumericsWarning` tells if it is more than half of
            the shortest wavelength.
        wall_resonance: Resonance frequency of fence and scatterers in Hz; None for ten times the centre.
        wall_strength: Their chi.
        wall_damping: Their gamma.
        scatterers: Dipoles inside, at random places.
        element_spacing: Distance between elements in m; None spreads them evenly along the wall.
        standoff: Distance of the elements from the fence in m.
        element_strength: Their chi.
        element_damping: Their gamma.
        antenna_strength: Their chi.
        antenna_damping: Their gamma.
        route: `reduced`, or `full`, which is there to check it and hundreds of times slower.
        stretch: Relative stretch of the spectrum over time; None for a constant temperature.
        stretch_step: The stretch is rounded to multiples of this. Each new one costs an elimination.
        seed: Seed of the places of scatterers and antennas.
        seconds_per_pass: Duration of a row on the virtual clock in s; declared as the cost of a pass.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or two don't fit.

    Source:
        R. Faqiri et al., PhysFad: physics-based end-to-end channel modeling of RIS-parametrized environments with
        adjustable fading, IEEE Trans. Wireless Commun. 22 (2023), arXiv:2202.02673, and its published code, getH.m
        (model) and TestChannelMatrix.m (values). Cavity with a metasurface as a physical network: arXiv:2602.14152
        (experiment at 2.45 GHz with 100 one-bit elements), arXiv:2603.13602 (multiport model).
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 64, "responses": 40}
    """Options of a cavity to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        control: Control = "1-bit",
        resonances: tuple[Annotated[float, Field(gt=0)], ...] | None = None,
        trainable: Annotated[int, Field(ge=0)] = 0,
        frequencies: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] | None = None,
        transmitters: Annotated[int, Field(ge=1)] = 2,
        response: Literal["complex", "modulus"] = "complex",
        centre: Annotated[float, Field(gt=0)] = 2.45e9,
        size: tuple[float, float] = (2.4, 1.8),
        wall_spacing: Annotated[float, Field(gt=0)] = 0.03,
        wall_resonance: Annotated[float, Field(gt=0)] | None = None,
        wall_strength: Annotated[float, Field(gt=0)] = 50.0,
        wall_damping: Annotated[float, Field(ge=0)] = 100.0,
        scatterers: Annotated[int, Field(ge=0)] = 24,
        element_spacing: Annotated[float, Field(gt=0)] | None = None,
        standoff: Annotated[float, Field(gt=0)] = 0.03,
        element_strength: Annotated[float, Field(gt=0)] = 0.5,
        element_damping: Annotated[float, Field(ge=0)] = 0.0,
        antenna_strength: Annotated[float, Field(gt=0)] = 0.5,
        antenna_damping: Annotated[float, Field(ge=0)] = 0.0,
        route: Literal["reduced", "full"] = "reduced",
        stretch: Drift | None = None,
        stretch_step: Annotated[float, Field(gt=0)] = 1e-6,
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(ge=0)] = 1e-3,
        name: str = "programmable_cavity",
    ) -> None:
        if frequencies is None:
            frequencies = tuple(float(f) for f in centre * np.linspace(0.98, 1.02, 5))
        for label, value in (("centre", centre), ("each of frequencies", min(frequencies, default=0.0))):
            if not 0 < value < math.inf:
                raise SpecError(f"{label} of {name} must be > 0, got {value}.")
        if route not in ("reduced", "full") or response not in ("complex", "modulus"):
            raise SpecError(
                f"route and response of {name} must be reduced or full, and complex or modulus, got {route!r} and "
                f"{response!r}."
            )
        self._temperature = Temperature(stretch, step=stretch_step, seconds_per_pass=seconds_per_pass, name=name)
        receivers = _receivers(name, drives, responses, transmitters, len(frequencies))
        surface = make_metasurface(
            control, resonances, centre=centre, strength=element_strength, damping=element_damping
        )
        layout = furnish(
            size=size, wall_spacing=wall_spacing, driven=surface.elements(drives), trainable=trainable,
            element_spacing=element_spacing, standoff=standoff, scatterers=scatterers,
            antennas=transmitters + receivers, wavelength=_LIGHT / centre, seed=seed,
        )  # fmt: skip
        warn_of_gaps(name, spacing=wall_spacing, wavelength=_LIGHT / max(frequencies))
        scale = centre / _LIGHT
        antennas = Dipoles.alike(
            layout.antennas * scale, what="antenna", resonance=1.0, strength=antenna_strength, damping=antenna_damping
        )
        resonance = 10.0 if wall_resonance is None else wall_resonance / centre
        walls = Dipoles.alike(
            layout.fixed * scale, what="wall", resonance=resonance, strength=wall_strength, damping=wall_damping
        )
        self._cavity = DipoleCavity(
            antennas=antennas, walls=walls, element_E2=layout.elements * scale, trainable_E=layout.trainable,
            surface=surface, transmitters=transmitters, remembered=_REMEMBERED * len(frequencies),
        )  # fmt: skip
        self._spectrum = Spectrum(
            self._cavity, frequency_F=np.asarray(frequencies) / centre, receivers=receivers, transmitters=transmitters,
            modulus=response == "modulus", full=route == "full",
        )  # fmt: skip
        self._view = CavityView(
            self._cavity, size=size, scale=scale, centre=centre, frequency_F=np.asarray(frequencies) / centre,
            modulus=response == "modulus",
        )  # fmt: skip
        self._centre = centre
        self._written = WrittenElements(surface.spec(trainable * surface.bits) if trainable else None, name=name)
        nonlinearity: set[Literal["medium", "detector", "digital"]] = {"medium"}
        if response == "modulus":
            nonlinearity.add("detector")
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=surface.spec(drives),
            response=ResponseSpec(
                shape=(responses,), dtype="float64" if response == "modulus" else "complex128", axes=("response",)
            ),
            nonlinearity=frozenset(nonlinearity),
            repeatable=stretch is None,
            reproducible=stretch is None,
            stateful=stretch is not None,
            cost=Cost(per_pass=seconds_per_pass),
            identity={
                "model": "ProgrammableCavity", "seed": seed, "control": control, "frequencies": list(frequencies),
                "transmitters": transmitters, "receivers": receivers, "size": list(size), "environment": len(walls),
                "elements": int(np.count_nonzero(~layout.trainable)), "trainable": trainable,
                **({} if stretch is None else {"stretch": repr(stretch), "stretch_step": stretch_step}),
            },
        )  # fmt: skip

    @property
    def spec(self) -> SystemSpec:
        """The cavity's description of itself."""
        return self._spec

    @property
    def clock(self) -> VirtualClock:
        """The clock that the stretch follows."""
        return self._temperature.clock

    @property
    def parameters(self) -> Mapping[str, DriveSpec]:
        """The trainable elements as `elements`, where there are any: channels like those of the drive."""
        return self._written.parameters

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """A copy of `elements` as they are, where there are any."""
        return self._written.values

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        """Set the trainable elements; before, all their channels are 0.

        Args:
            values: `elements`, shape and range as `parameters` tells.

        Returns:
            The number of writes so far.

        Raises:
            DriveError: A name, a shape or a value is not one of `parameters`. Nothing was written.
        """
        self._written.write(values)
        self._cavity.configure(self._written.value_D)
        return self._written.version

    def multiport(self, frequency: float) -> Multiport:
        """Return the equivalent network between all antennas and the driven elements, at temperature 0.

        Its `transfer` of the `reflection` of a drive is `W_aa (W^-1)_ab` between all antennas, transmitters first.

        Args:
            frequency: In Hz; any, also between those of the response.
        """
        return self._cavity.multiport(frequency / self._centre)

    def reflection(self, drive: NDArray[Any], frequency: float) -> Complexes:
        """Return the reflection coefficients of the driven elements for `drive`, at a frequency in Hz.

        Shapes are `(n, drives)` and `(n, elements)`.
        """
        return self._cavity.reflection(np.asarray(drive, dtype=np.float64), frequency / self._centre)

    def measure(self, drive: NDArray[Any], passes: Passes) -> Reading:
        """Set the elements row by row, shape `(n, drives)`, and read S21. Pass numbers change nothing: no noise."""
        started = time.time()
        response_NR = self._spectrum.respond(np.asarray(drive, dtype=np.float64), self._temperature.advance(len(drive)))
        return Reading(response=response_NR, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`, and time passes alike."""
        return self._spectrum.forward(drive, self._temperature.advance(len(drive)))

    def geometry(self) -> Geometry:
        """Return where the dipoles are."""
        return self._view.geometry()

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return the field over the band for one row, by a solution of the whole cavity; see `Viewable`."""
        stretch = self._temperature.now()
        return self._view.field(np.asarray(drive, np.float64), stretch=stretch, frames=frames, pixels=pixels)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the clock and the parameters: nothing else is remembered."""
        return self.clock.state() | dict(self.values)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned; parameters that differ are written.

        Raises:
            SessionError: `state` lacks the parameters.
        """
        changed = self._written.changed(state)
        if changed:
            self.configure(changed)
        self.clock.restore(state)

    def reset(self) -> None:
        """Set the clock, and with it the temperature, back to the start. Parameters stay as they were written."""
        self.clock.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


def _receivers(name: str, drives: int, responses: int, transmitters: int, frequencies: int) -> int:
    """Return how many receivers the responses need."""
    each = max(1, transmitters) * frequencies
    if drives < 1 or transmitters < 1 or responses < 1 or responses % each:
        raise SpecError(
            f"drives and transmitters of {name} must be >= 1 and responses a multiple of {each}, {transmitters} "
            f"transmitters times {frequencies} frequencies, got {drives} drives and {responses} responses. "
            f"{max(1, round(responses / each)) * each} would do."
        )
    return responses // each
