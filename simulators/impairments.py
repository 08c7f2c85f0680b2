"""What a bench adds to the physics: converters, noise, drift, memory, broken channels. They wrap any system.

Axis letters: N rows; X real parts of response channels, (real, imaginary) pairs for a complex response.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import DriveSpec, Flag, Passes, PhysicalSystem, Reading, Stateful, SystemSpec, Tunable
from physnet.errors import DriveError, MeasurementError, SessionError, SpecError
from physnet.registry import as_table

from .clock import VirtualClock
from .common_gain import CommonGain, Monitor, MonitorUse, check_monitor, monitored
from .converter import Dac
from .detector_limits import BrokenChannels, Limits, check_bits
from .detector_noise import Flicker, FlickerNoise, ShotNoise, WhiteNoise
from .detector_range import check_full_scale, settle_range
from .drift import Drift
from .real_parts import from_parts, to_parts
from .response_mixing import Crosstalk, Exchange, Rotation, SuddenChange
from .row_memory import AcCoupling, Lag, Recursion

# Streams of keyed numbers: the noise of each impaired system within another, and from 64 on 16 for all else of each.
_NOISE, _OTHERS, _EACH = 16, 64, 16
_GAIN, _MONITOR, _SHOTS, _FLICKER = 0, 1, 2, 4  # shot noise takes two

Stage = Callable[[torch.Tensor, Passes, NDArray[np.float64]], torch.Tensor]


class Impaired(PhysicalSystem, Stateful, Tunable):
    """A system seen through imperfect electronics, or made worse than it is to see what training bears.

    In this order, each left out by default:

    1. The drive is rounded to the levels of a DAC: `2^dac_bits` levels from the lowest to the highest drive of each
       channel; of a complex drive, modulus and phase (over a turn). Joint limits (RMS, sum, slew) are declared tighter
       by what rounding can add, so that the system's own are kept. A binary drive passes unchanged.
    2. The system answers.
    3. `change`: some channels have changed places, from a given step of training on (`SuddenChange`).
    4. `memory`: the response keeps a share of the one before (`Lag`).
    5. `gain_drift`, `gain_noise`: a gain common to all channels (`CommonGain`).
    6. `rotation_drift`: fixed random pairs of channels turn, slow cross-talk (`Rotation`). A rotated response can be
       negative where the system's never is.
    7. `crosstalk`: a share goes to each neighbour (`Crosstalk`).
    8. `photoelectrons`: shot noise (`ShotNoise`).
    9. `ac_time`: what stays constant droops (`AcCoupling`).
    10. `noise`: white noise relative to the RMS of the row (`WhiteNoise`).
    11. `flicker`: 1/f noise (`FlickerNoise`).
    12. The detector clips at full scale, real and imaginary part apart, and flags the row; `dead` and `stuck` channels
        read what they always read (`BrokenChannels`); an ADC rounds to `2^adc_bits` codes (`Limits`).
    13. `monitor`: a monitor of the gain is appended as a channel, or the row is divided by it (`Monitor`). Divided
        responses are computed: they have no full scale.

    What is random from row to row (5, 8, 10, the monitor) is keyed by seed and pass number, as 3 is by pass number:
    neither chunks nor order nor retries change it, and the system stays reproducible, but is no longer repeatable.
    Drifts and 1/f noise follow a virtual clock, and 4 and 9 remember earlier rows: with these the system is stateful
    and not reproducible, and its state resumes it to the bit. 7, dead and stuck channels and converters change neither.

    The wrapped system's kind stays: noise added to a bench leaves a bench. What was added is told in
    `identity["impairments"]`. Parameters of the wrapped system, where it has any, are this one's. Its gradients are
    reached through `system`, not through this class.

    Args:
        system: Any system.
        seed: Seed of all that is random here.
        noise: Standard deviation over the RMS of the row, >= 0.
        photoelectrons: Mean electrons per unit of the response; None for no shot noise. Real responses only.
        flicker: Strength and band of 1/f noise.
        gain_drift: Departure of the gain from 1.
        gain_noise: Relative standard deviation of the gain from row to row.
        monitor: What becomes of a monitor of the gain: `none`, `append`, `divide`.
        monitor_noise: Relative standard deviation of what it reads.
        rotation_drift: Angle of the rotation in rad.
        crosstalk: Share of a channel that goes to each neighbour, at most 0.5.
        change: When channels change places, and how many.
        memory: Share of the response before that is left in the next one, < 1.
        ac_time: Time constant of an AC coupling in s; None for none.
        dead: Share of the channels that read 0.
        stuck: Share of the channels that read a level of their own; needs a full scale.
        dac_bits: Bits of the DAC, 1 to 24; None for no rounding.
        adc_bits: Bits of the ADC, 1 to 24; None for no rounding.
        full_scale: Where the detector clips, in the unit of the response. None: the system's own full scale, or no
            clipping. `auto`: 4 times the RMS of the responses to 32 keyed random drives, measured here at
            construction; they count in no session, so it is refused for a system that isn't simulated.
        signed: Whether the ADC is bipolar. None: judged from the same 32 drives, with the same rule; a rotation or an
            AC coupling makes it so.
        seconds_per_pass: Duration of a row on the virtual clock in s. None: the system's own cost per pass.

    Raises:
        SpecError: An argument is out of range, an ADC has no full scale, or what needs a clock has none.
    """

    def __init__(
        self,
        system: PhysicalSystem,
        *,
        seed: Annotated[int, Field(ge=0)] = 0,
        noise: Annotated[float, Field(ge=0)] = 0.0,
        photoelectrons: Annotated[float, Field(gt=0)] | None = None,
        flicker: Flicker | None = None,
        gain_drift: Drift | None = None,
        gain_noise: Annotated[float, Field(ge=0)] = 0.0,
        monitor: MonitorUse = "none",
        monitor_noise: Annotated[float, Field(ge=0)] = 0.0,
        rotation_drift: Drift | None = None,
        crosstalk: Annotated[float, Field(ge=0, le=0.5)] = 0.0,
        change: SuddenChange | None = None,
        memory: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        ac_time: Annotated[float, Field(gt=0)] | None = None,
        dead: Annotated[float, Field(ge=0, le=1)] = 0.0,
        stuck: Annotated[float, Field(ge=0, le=1)] = 0.0,
        dac_bits: Annotated[int, Field(ge=1, le=24)] | None = None,
        adc_bits: Annotated[int, Field(ge=1, le=24)] | None = None,
        full_scale: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None,
        signed: bool | None = None,
        seconds_per_pass: Annotated[float, Field(ge=0)] | None = None,
    ) -> None:
        spec, response = system.spec, system.spec.response
        if not 0 <= noise < math.inf:
            raise SpecError(f"noise of {spec.name} must be >= 0 (a fraction of the row's RMS), got {noise}.")
        check_bits(spec.name, dac_bits=dac_bits, adc_bits=adc_bits)
        check_monitor(monitor, monitor_noise)
        pace = spec.cost.per_pass if seconds_per_pass is None else seconds_per_pass
        timed = any(part is not None for part in (gain_drift, rotation_drift, flicker, ac_time))
        if timed and not pace > 0:
            raise SpecError(
                f"seconds_per_pass of the impairments of {spec.name} must be > 0 s for a drift, 1/f noise or an AC "
                f"coupling, got {pace} s. The system declares no cost per pass, so give one."
            )
        self.system = system
        # A bench may remember without being able to tell: then there is nothing to save.
        self._memory = system if spec.stateful and isinstance(system, Stateful) else None
        self._tunable = system if isinstance(system, Tunable) else None
        self._depth: int = system._depth + 1 if isinstance(system, Impaired) else 0
        self._clock = VirtualClock(seconds_per_pass=pace)
        self._dac = None if dac_bits is None or spec.drive.domain == "binary" else Dac(spec.drive, dac_bits)
        full_scale, signed = settle_range(
            system,
            full_scale=full_scale,
            signed=signed,
            swings=rotation_drift is not None or ac_time is not None,
            needs_sign=adc_bits is not None or stuck > 0,
            seed=seed,
        )
        check_full_scale(spec.name, response.unit, full_scale, adc_bits)
        self._limits = None if full_scale is None else Limits(response.dtype, full_scale, bits=adc_bits, signed=signed)
        others = _OTHERS + _EACH * self._depth
        self._gain = None
        if gain_drift is not None or gain_noise or monitor != "none":
            self._gain = CommonGain(drift=gain_drift, fluctuation=gain_noise, seed=seed, stream=others + _GAIN)
        self._monitor = None
        if monitor != "none":
            self._monitor = Monitor(
                response, monitor, noise=monitor_noise, full_scale=full_scale, seed=seed, stream=others + _MONITOR
            )
        self._broken = None
        if dead or stuck:
            lowest = 0.0 if self._limits is None else self._limits.lowest
            self._broken = BrokenChannels(
                response, dead=dead, stuck=stuck, lowest=lowest, full_scale=full_scale, seed=seed
            )
        parts = response.channels * (2 if response.complex else 1)
        before: list[Stage | None] = [
            None if change is None else Exchange(response, change, seed=seed),
            Lag(parts, memory) if memory else None,
        ]
        after: list[Stage | None] = [
            None if rotation_drift is None else Rotation(response, rotation_drift, seed=seed),
            Crosstalk(response, crosstalk) if crosstalk else None,
            None if photoelectrons is None else ShotNoise(response, photoelectrons, seed=seed, stream=others + _SHOTS),
            None if ac_time is None else AcCoupling(parts, ac_time, seconds_per_pass=pace),
            WhiteNoise(noise, seed=seed, stream=_NOISE + self._depth) if noise else None,
            None
            if flicker is None
            else FlickerNoise(
                response, flicker, seconds_per_pass=pace, seed=seed, stream=others + _FLICKER, device=spec.device
            ),
        ]
        self._before = [stage for stage in before if stage is not None]
        self._after = [stage for stage in after if stage is not None]
        self._recursions: list[Recursion] = [
            stage for stage in (*self._before, *self._after) if isinstance(stage, Recursion)
        ]
        told = {
            "seed": seed,
            "noise": noise,
            "dac_bits": dac_bits or 0,
            "adc_bits": adc_bits or 0,
            "full_scale": full_scale or 0.0,
            "signed": signed,
            "gain_drift": as_table(gain_drift),
            "rotation_drift": as_table(rotation_drift),
            "seconds_per_pass": pace,
        }
        more = {
            "photoelectrons": photoelectrons, "gain_noise": gain_noise, "monitor_noise": monitor_noise,
            "crosstalk": crosstalk, "memory": memory, "ac_time": ac_time, "dead": dead, "stuck": stuck,
            "flicker": as_table(flicker), "change": as_table(change),
            "monitor": "" if monitor == "none" else monitor,
        }  # fmt: skip
        told |= {name: value for name, value in more.items() if value}
        if "impairments" in spec.identity:
            told["within"] = spec.identity["impairments"]
        remembers = timed or bool(self._recursions)
        varies = bool(noise or gain_noise or monitor_noise) or photoelectrons is not None or change is not None
        self._spec = dataclasses.replace(
            spec,
            drive=spec.drive if self._dac is None else self._dac.tightened,
            response=monitored(response, full_scale, monitor),
            repeatable=spec.repeatable and not varies and not remembers,
            reproducible=spec.reproducible and not remembers,
            stateful=spec.stateful or remembers,
            identity={**spec.identity, "impairments": told},
        )

    @property
    def spec(self) -> SystemSpec:
        """The wrapped system's description, with what the impairments change in it."""
        return self._spec

    @property
    def clock(self) -> VirtualClock:
        """The clock that drifts and 1/f noise follow."""
        return self._clock

    @property
    def parameters(self) -> Mapping[str, DriveSpec]:
        """Those of the wrapped system; none where it has none."""
        return self._tunable.parameters if self._tunable else {}

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """What they are."""
        return self._tunable.values if self._tunable else {}

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        """Write parameters of the wrapped system; see `Tunable.configure`."""
        if self._tunable is None:
            raise DriveError(f"{self._spec.name} has no parameters, got {', '.join(values) or 'none'}.")
        return self._tunable.configure(values)

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Play `drive` through the impairments; see `PhysicalSystem.measure`."""
        try:
            reading = self.system.measure(self.sent(drive), passes)
        except MeasurementError as error:
            if error.reading is not None:
                # What was measured before the fault went through the same electronics.
                error.reading = self._impair(error.reading, passes)
            raise
        return self._impair(reading, passes)

    def sent(self, drive: Any) -> Any:
        """Return what reaches the wrapped system of rows of drive."""
        return drive if self._dac is None else self._dac.convert(drive)

    def _impair(self, reading: Reading, passes: Passes) -> Reading:
        """Do to a reading what comes after the system; `passes` are those of its rows, and perhaps of more."""
        passes = passes[: len(reading)]
        start_N = self._clock.advance(len(reading))
        value_NX = to_parts(reading.response)
        for stage in self._before:
            value_NX = stage(value_NX, passes, start_N)
        gain_N = None
        if self._gain is not None:
            gain_N = self._gain.gain(passes, start_N)
            value_NX *= gain_N.to(value_NX)[:, None]
        for stage in self._after:
            value_NX = stage(value_NX, passes, start_N)
        if self._monitor is not None:
            assert gain_N is not None  # there is a gain where there is a monitor
            value_NX = self._monitor.beside(value_NX, gain_N, passes)
        flag_N = np.zeros(len(reading), np.uint8) if reading.flags is None else reading.flags.copy()
        if self._limits is not None:
            flag_N[self._limits.exceeded(value_NX)] |= np.uint8(Flag.CLIPPED)
        if self._broken is not None:
            value_NX = self._broken(value_NX)
        if self._limits is not None:
            value_NX = self._limits(value_NX)
        if self._monitor is not None and self._monitor.divides:
            value_NX, dark_N = self._monitor.divide(value_NX)
            flag_N[dark_N] |= np.uint8(Flag.LOW_SIGNAL)
        analogue = self._before or self._after or self._gain or self._broken
        return dataclasses.replace(
            reading,
            response=from_parts(value_NX, reading.response, self._spec.response.shape),
            flags=flag_N if reading.flags is not None or self._limits or self._monitor else None,
            spread=None if analogue else reading.spread,
        )

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the clock and what earlier rows left, and under `system.` the wrapped system's state if it has one."""
        own = dict(self._clock.state())
        for recursion in self._recursions:
            own |= recursion.state()
        inner = self._memory.state() if self._memory else {}
        return {f"impairments.{name}": value for name, value in own.items()} | {
            f"system.{name}": value for name, value in inner.items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned.

        Raises:
            SessionError: `state` is not that of a system impaired alike.
        """
        parts: dict[str, dict[str, NDArray[Any]]] = {"impairments": {}, "system": {}}
        for name, value in state.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise SessionError(
                    f"names in an impaired system's state must start with impairments. or system., got {name}."
                )
            parts[part][rest] = value
        if self._memory:
            self._memory.restore(parts["system"])
        self._clock.restore(parts["impairments"])
        for recursion in self._recursions:
            recursion.restore(parts["impairments"])

    def reset(self) -> None:
        """Set the clock to 0 s, forget earlier rows, and reset the wrapped system if it is stateful."""
        self._clock.reset()
        for recursion in self._recursions:
            recursion.reset()
        if self._memory:
            self._memory.reset()

    def __enter__(self) -> Self:
        self.system.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Leave the wrapped system."""
        return self.system.__exit__(kind, error, trace)
