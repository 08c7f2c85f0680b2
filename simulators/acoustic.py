"""A tabletop acoustic cavity: loudspeakers, scatterers, nonlinear elements and microphones in a shallow box of air.

Axis letters: N rows; D drives; S sources; M microphones; T time steps; C responses.
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

from physnet.contracts import Cost, DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, Stateful, SystemSpec
from physnet.errors import MeasurementError, SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .acoustic_backends import Backend, choose
from .acoustic_cavity import PHASES, furnish
from .acoustic_codec import AudioCodec, Codec, EnergyReceiver, LockIn, Receiver, ToneCodec, generator
from .acoustic_grid import Grid, Side
from .acoustic_media import Scheme, stable_time_step
from .acoustic_numerics import AcousticNumerics, numerics_of
from .acoustic_routes import FieldRoute, TransferRoute
from .acoustic_view import field_of, geometry_of
from .acoustic_waveforms import Waveforms
from .devices import device_of


class AcousticCavity(PhysicalSystem, Stateful, Viewable):
    """Sound in a shallow cavity: a 2-D scalar wave between loudspeakers and microphones.

    A drive is the amplitudes of coherent tones, played by several loudspeakers in slots that may overlap: while the
    sound of one slot still rings the next one begins, and both interfere at the microphones. Or it is a waveform
    (`drive = "audio"`). A response is the energy that a microphone receives, or amplitude and phase of each tone.

    The medium is linear unless there are `elements`; then the only nonlinearity is the square of an energy, which is
    even and of degree two, or none at all (`lock_in`). Such a cavity is computed as the matrix that it is: `route =
    "transfer"` takes impulse responses from the field solver once and gives the numbers of `route = "field"` within
    rounding. Nonlinear elements saturate, so that no drive can make the field grow without bound
    (`acoustic_media` derives it). The amplitude-dependent speed is phenomenological: no material's law, just the
    simplest one of even order that stays bounded.

    With `memory`, a row begins in the sound that the row before left, in the order of play: rows are then computed one
    by one, on the field route. Otherwise every row begins in silence.

    A `NumericsWarning` tells if the highest tone, or half of a waveform's band, travels more than 5 % too fast or too
    slowly on the grid, or if absorbing layers reflect more than 5 %; `numerics` has the numbers. An unstable time step
    is refused. Waves that nonlinear elements make are shorter than those of the drive.

    Defaults: air at 20 degrees C, 343 m/s; a box of 0.96 m x 0.72 m; tones of 1 to 2.2 kHz, whose shortest wave has
    10.4 cells: at order 2 it travels up to 1.5 % too slowly, (k h)^2 / 24, which changes the speckle but none of its
    statistics. Losses are round numbers for a box of that size, not measured ones.

    Args:
        drives: Channels: amplitudes of tones, or samples of a waveform.
        responses: Channels: `microphones * slices` energies, or `microphones * tones` amplitudes.
        size: Inner width along x and height along y in m, absorbing layers not included.
        pitch: Side of a cell of the grid in m.
        order: Order of accuracy in space.
        sides: Low y, high y, low x, high x: `closed` (rigid), `soft` (pressure release), `absorbing`, `periodic`.
        layer: Thickness of an absorbing layer in cells.
        speed: Speed of sound in m/s.
        speed_variation: Standard deviation of a smooth random map of the speed, relative.
        reverberation: Time in which sound decays by 60 dB in the bulk, s.
        admittance: Of closed walls, in units of that of air; 0 for perfectly rigid ones.
        scatterers: Rigid disks at random places.
        scatterer_radius: m.
        resonators: Resonant scatterers, each in one cell.
        resonance: Their frequency in Hz.
        resonator_quality: Their quality factor.
        resonator_mass: Inertia of each, as the area of air that has as much, m^2.
        elements: Nonlinear cells at random places.
        threshold: Pressure at which their terms begin to saturate, Pa.
        stiffness_frequency: Saturating stiffness: frequency at which it alone would let a cell swing, Hz.
        element_damping: Saturating damping rate in 1/s: an element absorbs weak sound and passes strong sound.
        phenomenological_speed: Amplitude-dependent speed: `c^2` grows as `1 + 3 n (u / threshold)^2` for weak sound;
            > -1.
        drive: `tones` or `audio`.
        signed: Amplitudes from -1 to 1 instead of 0 to 1. Audio always has both signs.
        sources: Loudspeakers.
        tones: Frequencies in Hz.
        slots: Slots of a row; None for as many as the drives need.
        slot: Duration of a slot in s.
        slot_spacing: Time between the beginnings of two slots in s.
        ramp: Rise and fall within a slot in s.
        audio_rate: Samples per s of a waveform.
        tail: Time listened after the last slot or sample, s.
        strength: Of a source at full drive, Pa: at a distance r in free air the pressure is
            `strength / 4 |H0(2 pi f r / c)|`.
        response: `energy` or `lock_in`.
        slices: Equal parts of the window, each with an energy of its own.
        window: Time at the end of a row that is listened to, s. None: all of it for audio, a slot for a lock-in, the
            spacing of slots for energies of tones.
        memory: Whether a row begins in the sound of the row before.
        route: `field` steps the wave; `transfer` uses the matrix of a linear cavity; `auto` chooses.
        backend: What steps the field: `torch`; `numba` (several times faster on a CPU); `cuda` (a row stays on a
            multiprocessor of a CUDA device); `graph` (torch on a CUDA device, launched as graphs); `auto` chooses the
            fastest that can.
        courant: Time step as a share of the largest stable one, 0 to 1.
        time_step: Time step in s instead; refused if unstable.
        seed: Seed of all places, and of the phases of the tones.
        seconds_per_pass: Declared cost of a row in s; None for its duration.
        device: torch device.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or two don't fit.

    Source:
        Discretisation: `acoustic_grid` and `acoustic_media` name theirs. Cavity as a physical network: A. Momeni,
        B. Rahmani, M. Mallejac, P. del Hougne, R. Fleury, Science 382, 1297 (2023), arXiv:2304.11042. Impulse
        responses and point sources: P. M. Morse, K. U. Ingard, Theoretical Acoustics, 1968, chapter 7.
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 64, "responses": 24}
    """Options of a cavity to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        size: tuple[float, float] = (0.96, 0.72),
        pitch: Annotated[float, Field(gt=0)] = 0.015,
        order: Literal[2, 4] = 2,
        sides: tuple[Side, Side, Side, Side] = ("closed", "closed", "closed", "closed"),
        layer: Annotated[int, Field(ge=1)] = 20,
        speed: Annotated[float, Field(gt=0)] = 343.0,
        speed_variation: Annotated[float, Field(ge=0, le=0.2)] = 0.0,
        reverberation: Annotated[float, Field(gt=0)] = 0.05,
        admittance: Annotated[float, Field(ge=0)] = 0.02,
        scatterers: Annotated[int, Field(ge=0)] = 8,
        scatterer_radius: Annotated[float, Field(gt=0)] = 0.03,
        resonators: Annotated[int, Field(ge=0)] = 0,
        resonance: Annotated[float, Field(gt=0)] = 1500.0,
        resonator_quality: Annotated[float, Field(gt=0)] = 20.0,
        resonator_mass: Annotated[float, Field(gt=0)] = 1e-3,
        elements: Annotated[int, Field(ge=0)] = 0,
        threshold: Annotated[float, Field(gt=0)] = 1.0,
        stiffness_frequency: Annotated[float, Field(ge=0)] = 0.0,
        element_damping: Annotated[float, Field(ge=0)] = 0.0,
        phenomenological_speed: Annotated[float, Field(gt=-1)] = 0.0,
        drive: Literal["tones", "audio"] = "tones",
        signed: bool = False,
        sources: Annotated[int, Field(ge=1)] = 32,
        tones: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1000.0, 1600.0, 2200.0),
        slots: Annotated[int, Field(ge=1)] | None = None,
        slot: Annotated[float, Field(gt=0)] = 5e-3,
        slot_spacing: Annotated[float, Field(gt=0)] = 2.5e-3,
        ramp: Annotated[float, Field(ge=0)] = 1e-3,
        audio_rate: Annotated[float, Field(gt=0)] = 16_000.0,
        tail: Annotated[float, Field(ge=0)] = 0.0,
        strength: Annotated[float, Field(gt=0)] = 1.0,
        response: Literal["energy", "lock_in"] = "energy",
        slices: Annotated[int, Field(ge=1)] = 1,
        window: Annotated[float, Field(gt=0)] | None = None,
        memory: bool = False,
        route: Literal["auto", "field", "transfer"] = "auto",
        backend: Backend = "auto",
        courant: Annotated[float, Field(gt=0, le=1)] = 0.9,
        time_step: Annotated[float, Field(gt=0)] | None = None,
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(ge=0)] | None = None,
        device: str = "cpu",
        name: str = "acoustic",
    ) -> None:
        each = len(tones) if response == "lock_in" else slices
        if responses % each:
            what = "tones" if response == "lock_in" else "slices"
            raise SpecError(f"responses of {name} must be a multiple of its {each} {what}, got {responses}.")
        if response == "lock_in" and (slices > 1 or drive == "audio"):
            raise SpecError(
                f"a lock-in of {name} must have tones and slices = 1, got drive {drive!r} and slices {slices}."
            )
        (low_y, high_y), (low_x, high_x) = ((side == "absorbing" for side in pair) for pair in (sides[:2], sides[2:]))
        shape = (
            round(size[1] / pitch) + layer * (low_y + high_y),
            round(size[0] / pitch) + layer * (low_x + high_x),
        )
        grid = Grid(shape=shape, pitch=pitch, order=order, sides=sides, layer=layer)
        microphones = responses // each
        room = furnish(
            grid, seed=seed, speed=speed, speed_variation=speed_variation, reverberation=reverberation,
            admittance=admittance, scatterers=scatterers, scatterer_radius=scatterer_radius, resonators=resonators,
            resonance=resonance, resonator_quality=resonator_quality, resonator_mass=resonator_mass, elements=elements,
            threshold=threshold, stiffness_frequency=stiffness_frequency, element_damping=element_damping,
            phenomenological_speed=phenomenological_speed, sources=sources, microphones=microphones,
        )  # fmt: skip
        self._linear = room.medium.elements is None
        if route == "transfer" and (memory or not self._linear):
            raise SpecError(
                f"route of {name} must be 'field' or 'auto' for a cavity with memory or nonlinear elements, got "
                "'transfer': it is no matrix."
            )
        self._by_field = route == "field" or (route == "auto" and (memory or not self._linear))
        longest = courant * stable_time_step(grid, room.medium)
        needed = math.ceil(drives / (sources * len(tones)))
        slots = needed if slots is None else slots
        if drive == "tones" and slots < needed:
            raise SpecError(
                f"slots of {name} must be >= {needed} for {drives} drives on {sources} sources with {len(tones)} "
                f"tones, got {slots}."
            )
        ratio = math.ceil(1 / (audio_rate * longest))
        duration = tail + (drives / audio_rate if drive == "audio" else (slots - 1) * slot_spacing + slot)
        usual = duration if drive == "audio" else slot if response == "lock_in" else min(slot_spacing, duration)
        listened = usual if window is None else window
        if time_step is None:  # so that a sample, or the window, is a whole number of steps
            time_step = 1 / (audio_rate * ratio) if drive == "audio" else listened / math.ceil(listened / longest)
        elif drive == "audio":
            raise SpecError(f"time_step of {name} must be left out with audio: it divides a sample. Set courant.")
        self._scheme = Scheme(grid=grid, medium=room.medium, time_step=time_step, frequency=float(np.mean(tones)))
        # Half of the band of a waveform: above, speech and music have little.
        self._numerics = numerics_of(self._scheme, (audio_rate / 4,) if drive == "audio" else tones)
        self._numerics.warn(name)
        steps = round(duration / time_step)
        self._codec: Codec
        if drive == "audio":
            self._codec = AudioCodec(drives=drives, sources=sources, ratio=ratio, steps=max(steps, drives * ratio))
        else:
            phases = generator(seed, PHASES).uniform(0, 2 * math.pi, (sources, len(tones)))
            self._codec = ToneCodec(
                drives=drives, sources=sources, tones=tones, phases_SJ=phases, slots=slots, slot=slot,
                spacing=slot_spacing, ramp=ramp, steps=steps, time_step=time_step,
            )  # fmt: skip
        timing: dict[str, Any] = {"window": round(listened / time_step), "steps": self._codec.steps}
        timing["time_step"] = time_step
        receiver: Receiver
        if response == "lock_in":
            receiver = LockIn(microphones=microphones, tones=tones, **timing)
        else:
            receiver = EnergyReceiver(microphones=microphones, slices=slices, **timing)
        parts: dict[str, Any] = {"scheme": self._scheme, "codec": self._codec, "receiver": receiver, "room": room}
        self._looks: dict[str, Any] = {"scheme": self._scheme, "room": room}
        self._looks |= {"tones": (audio_rate / 4,) if drive == "audio" else tones}
        self._looks |= {"listened": ((self._codec.steps - timing["window"]) * time_step, self._codec.steps * time_step)}
        self._device = device_of(device, name=name)
        asked = backend if self._by_field or backend == "torch" else "auto"  # a matrix needs none that can step
        kind = choose(asked, self._scheme, sources=room.sources, device=self._device, name=name)
        self._field = FieldRoute(**parts, strength=strength, memory=memory, kind=kind, device=self._device)
        self._transfer = TransferRoute(**parts, strength=strength)
        self._waveforms = Waveforms(
            scheme=self._scheme, room=room, stepped=self._by_field, kind=kind, device=self._device
        )

        low = -1.0 if signed or drive == "audio" else 0.0
        nonlinearity: set[Literal["medium", "detector", "digital"]] = set()
        if not self._linear:
            nonlinearity.add("medium")
        if response == "energy":
            nonlinearity.add("detector")
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=DriveSpec(
                shape=(drives,),
                low=low,
                dtype="float32",
                domain="real" if low < 0 else "non_negative",
                axes=("sample" if drive == "audio" else "drive",),
            ),
            response=ResponseSpec(shape=(responses,), unit=receiver.unit, dtype=receiver.dtype, axes=("response",)),
            nonlinearity=frozenset(nonlinearity),
            repeatable=not memory,
            reproducible=not memory,
            stateful=memory,
            cost=Cost(per_pass=duration if seconds_per_pass is None else seconds_per_pass),
            array="torch",
            device=device,
            identity={
                "model": "AcousticCavity",
                "seed": seed,
                "shape": list(shape),
                "pitch": pitch,
                "order": order,
                "time_step": time_step,
                "steps": self._codec.steps,
                "sources": sources,
                "microphones": microphones,
                "slots": slots,
                "drive": drive,
                "response": response,
                "solver": kind if self._by_field else "transfer",
                "nonlinear_elements": 0 if self._linear else elements,
            },
        )

    @property
    def spec(self) -> SystemSpec:
        """The cavity's description of itself."""
        return self._spec

    @property
    def scheme(self) -> Scheme:
        """The grid, the medium and the time step."""
        return self._scheme

    @property
    def numerics(self) -> AcousticNumerics:
        """How well the grid carries the tones; of a waveform, the middle of its band."""
        return self._numerics

    @property
    def steps(self) -> int:
        """Time steps of a row."""
        return self._codec.steps

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play `drive`, shape `(n, drives)`, and listen. Pass numbers change nothing: there is no noise.

        Raises:
            MeasurementError: The field ran away, in the cell and at the step that the message names. It carries the
                rows before.
        """
        started = time.time()
        parts: list[torch.Tensor] = []
        route = self._field if self._by_field else self._transfer
        height = route.height
        with torch.no_grad():
            drive = drive.detach().to(torch.float32).contiguous()
            for first in range(0, len(drive), height):
                tile = drive[first : first + height]
                rows = len(tile)
                if rows < height:
                    tile = torch.nn.functional.pad(tile, (0, 0, 0, height - rows))
                try:
                    parts.append(route.respond(tile.cpu(), rows)[:rows])
                except MeasurementError as error:
                    reading = Reading(response=torch.cat(parts), started=started) if parts else None
                    raise MeasurementError(f"{self._spec.name}, from row {first}: {error}", reading=reading) from error
        return Reading(response=torch.cat(parts).to(self._device), started=started, stopped=time.time())

    def signals(self, drive: torch.Tensor) -> torch.Tensor:
        """Return what the microphones hear before detection, by the field route: for plots and checks.

        Returns:
            Pressure in Pa, shape `(n, microphones, steps)`. Memory is neither used nor changed.
        """
        with torch.no_grad():
            return self._field.signals(drive.detach().to(torch.float32).cpu())

    def geometry(self) -> Geometry:
        """Return the room and what stands in it."""
        return geometry_of(self._scheme, self._looks["room"])

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return the pressure over time for one row, by the field route; see `Viewable`."""
        return field_of(drive, route=self._field, frames=frames, pixels=pixels, **self._looks)

    def propagate(self, source_NST: NDArray[Any]) -> NDArray[Any]:
        """Play any waveforms from silence, by the cavity's own route: for instruments in front of it.

        Memory is neither used nor changed, and what a waveform may be is not checked.

        Args:
            source_NST: Strength of each source at each time step (`scheme.time_step`), in Pa, of any length.

        Returns:
            Pressure at the microphones after each step in Pa, shape `(n, microphones, steps)`.

        Raises:
            MeasurementError: The field ran away.
            SpecError: A linear cavity rings too long for its impulse responses.
        """
        return self._waveforms.propagate(source_NST)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the field that the next row begins in."""
        return self._field.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        self._field.restore(state)

    def reset(self) -> None:
        """Silence."""
        self._field.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""
