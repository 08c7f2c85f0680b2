"""How a parameter of a simulated bench moves with time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A parameter's departure from its value at 0 s. What the parameter is, and its unit, is up to whoever reads it.

    `linear` grows for ever (creep, warming up); `sine` and `triangle` start at 0 and swing (a room over a day);
    `square` is at `+amplitude` for half a period, then at `-amplitude` (a relay, a compressor; the harshest test of
    play order).

    Args:
        profile: Shape in time.
        rate: Slope of `linear`, per s.
        amplitude: Largest departure of the periodic profiles.
        period: Duration of one cycle of the periodic profiles in s, > 0.

    Raises:
        SpecError: A field is missing for this profile, does not belong to it, or is not finite.
    """

    profile: Literal["linear", "sine", "triangle", "square"] = "linear"
    rate: float | None = None
    amplitude: float | None = None
    period: float | None = None

    def __post_init__(self) -> None:
        wanted = {"rate"} if self.profile == "linear" else {"amplitude", "period"}
        given = {name for name in ("rate", "amplitude", "period") if getattr(self, name) is not None}
        if self.profile not in ("linear", "sine", "triangle", "square"):
            raise SpecError(f"drift profile must be linear, sine, triangle or square, got {self.profile!r}.")
        if given != wanted:
            raise SpecError(
                f"a {self.profile} drift must have {' and '.join(sorted(wanted))} and nothing else, "
                f"got {' and '.join(sorted(given)) or 'none of them'}."
            )
        for name in wanted:
            value = getattr(self, name)
            if not math.isfinite(value) or (name == "period" and value <= 0):
                rule = "> 0 s" if name == "period" else "finite"
                raise SpecError(f"drift {name} must be {rule}, got {value}.")

    def at(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the departure at each `time`, in s: shape of `time`."""
        if self.rate is not None:
            return self.rate * time
        assert self.amplitude is not None and self.period is not None  # checked at construction
        cycle = time / self.period
        if self.profile == "sine":
            return self.amplitude * np.sin(2 * math.pi * cycle)
        if self.profile == "triangle":
            return self.amplitude * (1 - 4 * np.abs((cycle + 0.25) % 1 - 0.5))
        return np.where(cycle % 1 < 0.5, self.amplitude, -self.amplitude)
