"""Where a burst begins in the record of a cable that leads from an output to an input.

Axis letters: T samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError

_LEAST = 0.9  # correlation of what came with what was played; a cable and two converters keep 0.99


def find_burst(record_T: NDArray[np.int32], played_T: NDArray[np.float32], *, latest: int) -> int:
    """Find the sample at which a burst begins: where its correlation with the record is largest.

    The sign does not count, for some cards turn the phase by half a turn. Both are of one clock, so a whole sample is
    all that ever changes.

    Args:
        record_T: What the reference input recorded, from the burst's first sample in the stream on; at least `latest`
            samples longer than the burst.
        played_T: The burst, not silent.
        latest: Most samples that it may be late.

    Raises:
        MeasurementError: The record does not hold the burst.
    """
    length = 1 << (len(record_T) + len(played_T)).bit_length()
    spectrum = np.fft.rfft(record_T, length) * np.conj(np.fft.rfft(played_T, length))
    crossed = np.abs(np.fft.irfft(spectrum, length)[: latest + 1])
    delay = int(crossed.argmax())
    piece = record_T[delay : delay + len(played_T)].astype(np.float64)
    norms = float(np.linalg.norm(piece)) * float(np.linalg.norm(played_T.astype(np.float64)))
    likeness = float(crossed[delay]) / norms if norms > 0 else 0.0
    if not likeness >= _LEAST:
        raise MeasurementError(
            f"the reference input must hold the burst (correlation >= {_LEAST}), got {likeness:.2f} within {latest} "
            "samples. Check the cable from the first output that plays, its level, and that nothing else plays."
        )
    return delay
