"""What a bench adds to the physics: converters, noise, drift. They wrap any system.

Axis letters: N rows; C response channels; X real parts of response channels, (real, imaginary)
pairs for a complex response.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.allowed_drives import random_drives, round_inward
from physnet.contracts import Flag, Passes, PhysicalSystem, Reading, Stateful, SystemSpec
from physnet.errors import MeasurementError, SessionError, SpecError
from physnet.seeding import stream

from .clock import VirtualClock
from .converter import Dac
from .drift import Drift
from .keyed import keyed_normal
from .real_parts import from_parts, row_sum, to_parts, torch_copy

_NOISE = 16  # stream of keyed_normal; plus one for each impaired system within
_AUTO_ROWS = 32
_AUTO_MARGIN = 4.0  # times the RMS: an exponential intensity exceeds it once in 290 values, a modulus once in 9 million


class Impaired(PhysicalSystem, Stateful):
    """A system seen through imperfect electronics, or made worse than it is to see what training bears.

    In this order: the drive is rounded to the levels of a DAC; the system answers; its gain has drifted; its response
    channels have mixed; noise is added; the detector clips; an ADC rounds.

    - The DAC has `2^dac_bits` levels from the lowest to the highest drive of each channel; of a complex drive,
      modulus and phase (over a turn) are rounded. Joint limits (RMS, sum, slew) are declared tighter by what rounding
      can add, so that the system's own are kept. A binary drive passes unchanged.
    - The gain is `1 + gain_drift`. The rotation turns fixed random pairs of response channels by an angle in rad, slow
      cross-talk; with an odd number of channels, one is left out. A rotated response can be negative where the system's
      never is.
    - The noise of a row is Gaussian, independent between channels, with a standard deviation of `noise` times the RMS
      over the channels of that row before noise. For a complex response that is the deviation of the complex number
      (circular). It is keyed by seed and pass number: neither chunks nor order nor retries change it.
    - Clipping acts on real and imaginary part apart, at `full_scale`, and flags the row. The ADC has `2^adc_bits`
      codes from `-full_scale` to `full_scale`, or from 0 for an unsigned response; below 0 an unsigned ADC gives 0,
      which is not flagged, since noise does that to every dark channel.

    Drifts follow a virtual clock. The wrapped system's kind stays: noise added to a bench leaves a bench. What was
    added is told in `identity["impairments"]`. Parameters and gradients of the wrapped system are reached through
    `system`, not through this class.

    Args:
        system: Any system.
        seed: Seed of the noise and of the pairs.
        noise: Standard deviation over the RMS of the row, >= 0.
        dac_bits: Bits of the DAC, 1 to 24; None for no rounding.
        adc_bits: Bits of the ADC, 1 to 24; None for no rounding.
        full_scale: Where the detector clips, in the unit of the response. None: the system's own full scale, or no
            clipping. `auto`: 4 times the RMS of the responses to 32 keyed random drives, measured here at
            construction; they count in no session, so it is refused for a system that isn't simulated.
        signed: Whether the ADC is bipolar. None: judged from the same 32 drives, with the same rule; a rotation makes
            it so.
        gain_drift: Departure of the gain from 1.
        rotation_drift: Angle of the rotation in rad.
        seconds_per_pass: Duration of a row on the virtual clock in s. None: the system's own cost per pass.

    Raises:
        SpecError: An argument is out of range, an ADC has no full scale, or a drift has no clock.
    """

    def __init__(
        self,
        system: PhysicalSystem,
        *,
        seed: Annotated[int, Field(ge=0)] = 0,
        noise: Annotated[float, Field(ge=0)] = 0.0,
        dac_bits: Annotated[int, Field(ge=1, le=24)] | None = None,
        adc_bits: Annotated[int, Field(ge=1, le=24)] | None = None,
        full_scale: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None,
        signed: bool | None = None,
        gain_drift: Drift | None = None,
        rotation_drift: Drift | None = None,
        seconds_per_pass: Annotated[float, Field(ge=0)] | None = None,
    ) -> None:
        spec = system.spec
        if not 0 <= noise < math.inf:
            raise SpecError(f"noise of {spec.name} must be >= 0 (a fraction of the row's RMS), got {noise}.")
        for label, bits in (("dac_bits", dac_bits), ("adc_bits", adc_bits)):
            if bits is not None and not 1 <= bits <= 24:
                raise SpecError(f"{label} of {spec.name} must be 1 to 24, got {bits}. Leave it out for no rounding.")
        drifts = gain_drift is not None or rotation_drift is not None
        pace = spec.cost.per_pass if seconds_per_pass is None else seconds_per_pass
        if drifts and not pace > 0:
            raise SpecError(
                f"seconds_per_pass of the impairments of {spec.name} must be > 0 s for a drift, got {pace} s. "
                "The system declares no cost per pass, so give one."
            )
        self.system = system
        # A bench may remember without being able to tell: then there is nothing to save.
        self._memory = system if spec.stateful and isinstance(system, Stateful) else None
        self._depth: int = system._depth + 1 if isinstance(system, Impaired) else 0
        self._seed = seed
        self._noise = noise
        self._gain_drift = gain_drift
        self._rotation_drift = rotation_drift
        self._clock = VirtualClock(seconds_per_pass=pace)
        self._dac = None if dac_bits is None or spec.drive.domain == "binary" else Dac(spec.drive, dac_bits)
        probe = None
        if full_scale == "auto" or (adc_bits is not None and signed is None and not spec.response.complex):
            probe = _probe(system, seed)
        if full_scale == "auto":
            assert probe is not None
            full_scale = _AUTO_MARGIN * float(np.sqrt(np.mean(np.abs(probe) ** 2)))
        self._full_scale = spec.response.full_scale if full_scale is None else full_scale
        if self._full_scale is not None and not 0 < self._full_scale < math.inf:
            raise SpecError(
                f"full_scale of {spec.name} must be > 0 {spec.response.unit}, got {self._full_scale}. "
                "With 'auto' this means that the system answers 0 to every drive."
            )
        # Full scale itself may be no number of the response's type.
        self._clip = (
            math.inf
            if self._full_scale is None
            else float(round_inward(np.array([self._full_scale]), spec.response.dtype, up=False)[0])
        )
        if signed is None:
            signed = rotation_drift is not None or probe is None or np.iscomplexobj(probe) or bool(probe.min() < 0)
        self._low_code = -1.0 if signed else 0.0
        self._adc_bits = adc_bits
        if adc_bits is not None and self._full_scale is None:
            raise SpecError(
                f"full_scale of {spec.name} must be given for an ADC of {adc_bits} bits: the system declares none. "
                f"Give it in {spec.response.unit}, or 'auto' for a simulated system."
            )
        channels = spec.response.channels
        order = stream(seed, "rotation pairs").permutation(channels)[: channels // 2 * 2]
        self._first, self._second = (torch.from_numpy(half.copy()) for half in np.split(order, 2))
        self._spec = dataclasses.replace(
            spec,
            drive=spec.drive if self._dac is None else self._dac.tightened,
            response=dataclasses.replace(spec.response, full_scale=self._full_scale),
            repeatable=spec.repeatable and noise == 0 and not drifts,
            reproducible=spec.reproducible and not drifts,
            stateful=spec.stateful or drifts,
            identity={
                **spec.identity,
                "impairments": {
                    "seed": seed,
                    "noise": noise,
                    "dac_bits": dac_bits or 0,
                    "adc_bits": adc_bits or 0,
                    "full_scale": self._full_scale or 0.0,
                    "signed": signed,
                    "gain_drift": repr(gain_drift) if gain_drift else "",
                    "rotation_drift": repr(rotation_drift) if rotation_drift else "",
                    "seconds_per_pass": pace,
                }
                | ({"within": spec.identity["impairments"]} if "impairments" in spec.identity else {}),
            },
        )

    @property
    def spec(self) -> SystemSpec:
        """The wrapped system's description, with what the impairments change in it."""
        return self._spec

    @property
    def clock(self) -> VirtualClock:
        """The clock that the drifts follow."""
        return self._clock

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Play `drive` through the impairments; see `PhysicalSystem.measure`."""
        try:
            reading = self.system.measure(drive if self._dac is None else self._dac.convert(drive), passes)
        except MeasurementError as error:
            if error.reading is not None:
                # What was measured before the fault went through the same electronics.
                error.reading = self._impair(error.reading, passes)
            raise
        return self._impair(reading, passes)

    def _impair(self, reading: Reading, passes: Passes) -> Reading:
        """Do to a reading what comes after the system; `passes` are those of its rows, and perhaps of more."""
        start_N = self._clock.advance(len(reading))
        value_NX = to_parts(reading.response)
        self._drift(value_NX, start_N)
        if self._noise:
            # Over the parts of a complex response the mean is half that of |r|^2, and each part has half the variance.
            rms_N = (row_sum(value_NX.square()) / value_NX.shape[1]).sqrt()
            noise_NX = keyed_normal(
                self._seed,
                passes[: len(reading)],
                value_NX.shape[1],
                stream=_NOISE + self._depth,
                device=value_NX.device,
            )
            value_NX += noise_NX.mul_(self._noise) * rms_N[:, None]
        flags = reading.flags
        if self._full_scale is not None:
            clipped_N = (value_NX.abs() > self._full_scale).any(1).cpu().numpy()
            flag_N = np.where(clipped_N, Flag.CLIPPED, Flag.NONE).astype(np.uint8)
            flags = flag_N if flags is None else flags | flag_N
            if self._adc_bits is not None:
                self._quantise(value_NX, self._full_scale, self._adc_bits)
            value_NX.clamp_(-self._clip, self._clip)
        plain = not self._noise and self._gain_drift is None and self._rotation_drift is None
        return dataclasses.replace(
            reading,
            response=from_parts(value_NX, reading.response),
            flags=flags,
            spread=reading.spread if plain else None,
        )

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the clock, and under `system.` the wrapped system's state if it is stateful."""
        own = {f"impairments.{name}": value for name, value in self._clock.state().items()}
        inner = self._memory.state() if self._memory else {}
        return own | {f"system.{name}": value for name, value in inner.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned.

        Raises:
            SessionError: `state` is not that of an impaired system.
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

    def reset(self) -> None:
        """Set the clock to 0 s, and reset the wrapped system if it is stateful."""
        self._clock.reset()
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

    def _drift(self, value_NX: torch.Tensor, start_N: NDArray[np.float64]) -> None:
        """Apply gain and rotation in place, each row at its own time."""
        if self._gain_drift is not None:
            gain_N = torch.from_numpy(1 + self._gain_drift.at(start_N)).to(value_NX)
            value_NX *= gain_N[:, None]
        if self._rotation_drift is not None:
            angle_N = torch.from_numpy(self._rotation_drift.at(start_N)).to(value_NX.device)
            cos_N, sin_N = (f.to(value_NX.dtype)[:, None, None] for f in (angle_N.cos(), angle_N.sin()))
            channel_NCX = value_NX.view(len(value_NX), self._spec.response.channels, -1)
            first, second = channel_NCX[:, self._first], channel_NCX[:, self._second]
            channel_NCX[:, self._first] = cos_N * first - sin_N * second
            channel_NCX[:, self._second] = sin_N * first + cos_N * second

    def _quantise(self, value_NX: torch.Tensor, full_scale: float, bits: int) -> None:
        low = self._low_code * full_scale
        step = (full_scale - low) / ((1 << bits) - 1)
        value_NX.clamp_(low, full_scale).sub_(low).div_(step).round_().mul_(step).add_(low)


def _probe(system: PhysicalSystem, seed: int) -> NDArray[Any]:
    """Return a simulated system's responses to a few keyed drives, and leave its state as it was."""
    spec = system.spec
    if spec.kind not in ("simulated", "twin"):
        raise SpecError(
            f"full_scale and signed of {spec.name} must be given, since its kind is {spec.kind}: only a simulated "
            "system is measured before a run. Take them from a calibration."
        )
    drive = random_drives(spec, rows=_AUTO_ROWS, seed=seed)
    size = min(_AUTO_ROWS, spec.max_batch or _AUTO_ROWS)
    memory = system if spec.stateful and isinstance(system, Stateful) else None
    responses = []
    with system:
        before = memory.state() if memory else {}
        for first in range(0, _AUTO_ROWS, size):
            rows = drive[first : first + size]
            responses.append(system.measure(rows, np.arange(first, first + len(rows), dtype=np.int64)).response)
        if memory:
            memory.restore(before)
    return np.concatenate([torch_copy(response).cpu().numpy() for response in responses])
