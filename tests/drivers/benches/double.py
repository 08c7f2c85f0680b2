"""A source and a detector without lines, and a linear medium between them: what a bench plays is what it hears.

Axis letters: N rows; C channels of the source; M of the detector; T samples.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from physnet.drivers.roles import (
    Capture,
    DetectorCapabilities,
    DetectorSetup,
    SourceCapabilities,
    SourceSetup,
)
from physnet.drivers.transport import Deadline
from physnet.errors import TransportError

_MEMORY = 4_000_000


class Loop:
    """Plays into impulse responses and records what comes out, in one device.

    `broken` names methods that fail, once each time they are named. `tricks` are played on the next bursts, in order:
    `stale` (the capture before is read again), `missing trigger` (one of the rows is not recorded), `no trigger`.
    """

    def __init__(
        self,
        impulse_MCT: NDArray[np.float64],
        *,
        noise: float = 0.0,
        bits: int = 12,
        marks: Literal["row", "burst"] = "row",
        latency: int = 0,
        seed: int = 0,
    ) -> None:
        self.impulse_MCT, self.noise, self.bits, self.marks, self.latency = impulse_MCT, noise, bits, marks, latency
        self.resource, self.identity, self.simulated = "LOOP", "MAKER,LOOP,SIMULATED,1", True
        self.log: list[str] = []
        self.broken: list[str] = []
        self.tricks: list[str] = []
        self.faults: Counter[str] = Counter()
        self._rng = np.random.default_rng(seed)
        self._burst_NCT: NDArray[np.float64] = np.zeros((0, 1, 1))
        self._fresh: Capture | None = None
        self._before: Capture | None = None

    @property
    def capabilities(self) -> SourceCapabilities:
        return SourceCapabilities(
            channels=(1, 2), sample_rate=(1.0, 1e9), points=(8, _MEMORY), step=8, bits=16, marks=self.marks
        )

    @property
    def recording(self) -> DetectorCapabilities:
        segments = 1000 if self.marks == "row" else 1
        return DetectorCapabilities(
            channels=(1, 2), sample_rate=(1.0, 1e9), points=_MEMORY, segments=segments, bits=self.bits
        )

    def open(self) -> None:
        self._do("open")

    def close(self) -> None:
        self.log.append("close")

    def make_safe(self) -> None:
        self._do("safe")

    def recover(self) -> Literal["cleared", "reopened"]:
        self._do("recover")
        return "cleared"

    def check_errors(self) -> None:
        self._do("errors")

    @overload
    def setup(self, setup: SourceSetup) -> SourceSetup: ...
    @overload
    def setup(self, setup: DetectorSetup) -> DetectorSetup: ...
    def setup(self, setup: SourceSetup | DetectorSetup) -> Any:
        self._do("setup")
        if isinstance(setup, SourceSetup):
            self.source = setup
        else:
            self.detector = setup
        return setup

    def load(self, waveform_NCT: NDArray[np.float64]) -> None:
        self._do("load")
        peak_C = np.array(self.source.peak)
        assert (np.abs(waveform_NCT).max((0, 2)) <= peak_C).all()
        assert not waveform_NCT[:, :, -1].any()
        step_C = peak_C[:, None] / (2**15 - 1)
        self._burst_NCT = np.rint(waveform_NCT / step_C) * step_C

    def arm(self, segments: int | None = None) -> None:
        self._do("arm")
        if segments is not None:
            self._before, self._fresh = self._fresh, None

    def fire(self) -> None:
        self._do("fire")
        trick = self.tricks.pop(0) if self.tricks else ""
        rows, _, samples = self._burst_NCT.shape
        heard_MT = self._heard(np.concatenate(list(self._burst_NCT), axis=1))
        starts = [row * samples for row in range(rows)] if self.marks == "row" else [0]
        if trick == "missing trigger":
            del starts[len(starts) // 2]
        if trick == "no trigger":
            return
        self._fresh = self._before if trick == "stale" else self._captured(heard_MT, starts)

    def wait(self, deadline: Deadline) -> int:
        self._do("wait")
        return 0 if self._fresh is None else self._fresh.counted

    def finish(self, deadline: Deadline) -> None:
        self._do("finish")

    def fetch(self) -> Capture:
        self._do("fetch")
        assert self._fresh is not None
        return self._fresh

    def _do(self, what: str) -> None:
        self.log.append(what)
        if what in self.broken:
            self.broken.remove(what)
            self.faults["timeout"] += 1
            raise TransportError("it is broken", kind="timeout", resource=self.resource)

    def _heard(self, played_CT: NDArray[np.float64]) -> NDArray[np.float64]:
        length = played_CT.shape[1] + self.impulse_MCT.shape[2] + self.detector.points + self.latency
        spectrum_MF = (np.fft.rfft(self.impulse_MCT, length) * np.fft.rfft(played_CT, length)[None]).sum(1)
        heard_MT = np.roll(np.fft.irfft(spectrum_MF, length), self.latency, axis=1)
        return np.asarray(heard_MT + self.noise * self._rng.standard_normal(heard_MT.shape))

    def _captured(self, heard_MT: NDArray[np.float64], starts: list[int]) -> Capture:
        top = 2 ** (self.bits - 1)
        scale_M = np.array(self.detector.full_scale) / top
        pieces_NMT = np.stack([heard_MT[:, start : start + self.detector.points] for start in starts])
        codes_NMT = np.clip(np.rint(pieces_NMT / scale_M[:, None]), -top, top - 1).astype(np.int32)
        return Capture(
            codes_NCT=codes_NMT, scale_C=scale_M, offset_C=np.zeros(len(scale_M)), lowest=-top, highest=top - 1,
            sample_rate=self.detector.sample_rate, start=0.0, counted=len(starts),
        )  # fmt: skip
