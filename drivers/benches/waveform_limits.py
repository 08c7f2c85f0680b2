"""What a device bears, held against every waveform before it is sent.

Axis letters: N rows; C channels of the source; T samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import DriveError, SpecError

PerChannel = tuple[float | None, ...] | None
UNITS: Mapping[str, str] = {"peak": "V", "rms": "V", "slew": "V/s", "duty": "of a row"}
WAYS_OUT: Mapping[str, str] = {
    "peak": "Lower amplitude, or choose phases that don't add up",
    "rms": "Lower amplitude, or make guard longer",
    "slew": "Lower amplitude, or use a longer ramp or lower tones",
    "duty": "Make guard longer, or use fewer slots",
}
_LOW = 0.01  # of the peak: below it a waveform counts as off


@dataclass(frozen=True, kw_only=True)
class WaveformLimits:
    """What a device bears, per channel; None where there is no limit.

    Args:
        peak: Largest absolute voltage in V.
        rms: Root mean square over a row in V, its silences included.
        slew: Largest change between neighbouring samples in V/s; before and after a row there are 0 V.
        duty: Part of a row that is above 1 % of the row's own peak, 0 to 1.

    Raises:
        SpecError: A limit is not > 0, or they are not one per channel.
    """

    peak: PerChannel = None
    rms: PerChannel = None
    slew: PerChannel = None
    duty: PerChannel = None

    def __post_init__(self) -> None:
        for name, unit in UNITS.items():
            for limit in getattr(self, name) or ():
                if limit is not None and not 0 < limit < math.inf:
                    raise SpecError(f"limit {name} must be > 0 {unit}, got {limit}. Leave it out for no limit.")
        if len({len(limits) for limits in (getattr(self, name) for name in UNITS) if limits is not None}) > 1:
            raise SpecError("limits must be one per channel of the source, all of one length.")

    def of(self, name: str, channels: int) -> NDArray[np.float64]:
        """Return a limit for each channel, infinite where there is none.

        Raises:
            SpecError: There are as many as for another number of channels.
        """
        limits = getattr(self, name)
        if limits is None:
            return np.full(channels, np.inf)
        if len(limits) != channels:
            raise SpecError(f"limit {name} must be one per channel, {channels}, got {len(limits)}.")
        return np.array([np.inf if limit is None else limit for limit in limits], np.float64)

    def check(self, waveform_NCT: NDArray[np.float64], sample_rate: float) -> None:
        """Refuse rows that the device does not bear.

        Args:
            waveform_NCT: Rows in V.
            sample_rate: In Hz.

        Raises:
            DriveError: A row is beyond a limit, or not finite; it names row, channel, quantity, value and limit.
            SpecError: The limits are for another number of channels.
        """
        if waveform_NCT.ndim != 3 or not waveform_NCT.shape[2]:
            raise DriveError(f"a waveform must have rows, channels and samples, got shape {waveform_NCT.shape}.")
        if not np.isfinite(waveform_NCT).all():
            row, channel, sample = np.argwhere(~np.isfinite(waveform_NCT))[0]
            raise DriveError(
                f"a waveform must be finite, got {waveform_NCT[row, channel, sample]} V in row {row}, channel "
                f"{channel}, sample {sample}. It was not sent; look at the drive that it was made of."
            )
        for name, value_NC in _quantities(waveform_NCT, sample_rate).items():
            limit_C = self.of(name, waveform_NCT.shape[1])
            wrong_NC = ~(value_NC <= limit_C)
            if wrong_NC.any():
                row, channel = np.argwhere(wrong_NC)[0]
                raise DriveError(
                    f"{name} of row {row}, channel {channel}, must be at most {limit_C[channel]:g} {UNITS[name]}, got "
                    f"{value_NC[row, channel]:.6g} {UNITS[name]}. It was not sent. {WAYS_OUT[name]}; the limit is set "
                    f"under limits."
                )


def _quantities(waveform_NCT: NDArray[np.float64], sample_rate: float) -> dict[str, NDArray[np.float64]]:
    """Return what is limited, shape `(n, channels)` each."""
    size_NCT = np.abs(waveform_NCT)
    peak_NC = size_NCT.max(2)
    step_NC = np.abs(np.diff(waveform_NCT, axis=2)).max(2, initial=0.0)
    ends_NC = np.maximum(size_NCT[:, :, 0], size_NCT[:, :, -1])
    return {
        "peak": peak_NC,
        "rms": np.sqrt(np.einsum("nct,nct->nc", waveform_NCT, waveform_NCT) / waveform_NCT.shape[2]),
        "slew": np.maximum(step_NC, ends_NC) * sample_rate,
        "duty": np.mean(size_NCT > _LOW * peak_NC[:, :, None], axis=2),
    }
