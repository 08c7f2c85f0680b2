"""Below the seam of the acoustic cavity: from a drive to waveforms of the sources, and from microphones to a response.

Every tensor of a call has one fixed number of rows: then a row's bits don't depend on its neighbours.

Axis letters: N rows; D drives; S sources; M microphones; T time steps; J tones; K slices; W steps of the window.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.errors import SpecError

from .acoustic_grid import Floats, Ints

_TAPS = 8  # zero crossings of the interpolation filter on each side


class Codec(ABC):
    """Drives to waveforms.

    Args:
        sources: How many.
        steps: Time steps of a row.
    """

    def __init__(self, *, sources: int, steps: int) -> None:
        self.sources = sources
        self.steps = steps

    @abstractmethod
    def waveforms(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the strength of each source at each step, shape `(n, sources, steps)`, in units of the full drive."""

    @abstractmethod
    def peak(self) -> float:
        """Return the largest value that a waveform can take for drives of size 1."""


class ToneCodec(Codec):
    """Each drive is the amplitude of one tone of one source in one slot; drive `(slot * S + source) * J + tone`.

    Tones keep their phase from slot to slot: they are coherent, and sound that still rings interferes with the next
    slot. Slots overlap where they last longer than their spacing. A slot that ends with the row does not fall: a
    lock-in that listens to it finds it settled.

    Args:
        drives: How many are used of `slots * sources * tones`.
        sources: How many.
        tones: Frequencies, Hz.
        phases_SJ: Phase of each tone at each source, rad.
        slots: How many.
        slot: Duration of a slot, s.
        spacing: Time between the beginnings of two slots, s.
        ramp: Duration of the raised-cosine rise and fall within a slot, s.
        steps: Time steps of a row.
        time_step: s.
    """

    def __init__(
        self,
        *,
        drives: int,
        sources: int,
        tones: tuple[float, ...],
        phases_SJ: Floats,
        slots: int,
        slot: float,
        spacing: float,
        ramp: float,
        steps: int,
        time_step: float,
    ) -> None:
        super().__init__(sources=sources, steps=steps)
        number = np.arange(drives)
        place, tone_D = np.divmod(number, len(tones))
        slot_D, self.source_D = np.divmod(place, sources)
        time_T = np.arange(steps) * time_step
        self.basis_DT = np.empty((drives, steps))
        for d in range(drives):
            since_T = time_T - slot_D[d] * spacing
            left_T = slot - since_T if slot_D[d] * spacing + slot < (steps - 0.5) * time_step else np.inf
            edge_T = np.clip(np.minimum(since_T, left_T) / max(ramp, time_step), 0, 1)
            angle_T = 2 * math.pi * tones[tone_D[d]] * time_T + phases_SJ[self.source_D[d], tone_D[d]]
            self.basis_DT[d] = np.sin(math.pi / 2 * edge_T) ** 2 * np.sin(angle_T)
        self._parts = [
            (torch.from_numpy(rows), torch.from_numpy(self.basis_DT[rows].astype(np.float32)))
            for rows in (np.flatnonzero(self.source_D == source) for source in range(sources))
        ]

    def waveforms(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the waveforms of all sources."""
        source_NST = drive_ND.new_zeros((len(drive_ND), self.sources, self.steps))
        for source, (drive, basis_DT) in enumerate(self._parts):
            if len(drive):
                source_NST[:, source] = drive_ND[:, drive] @ basis_DT
        return source_NST

    def peak(self) -> float:
        """Return the largest sum of a source's tones."""
        return max(float(basis_DT.abs().sum(0).max()) for _, basis_DT in self._parts if len(basis_DT))


class AudioCodec(Codec):
    """A drive is a waveform, played by all sources alike: interpolated to the time step with a windowed sinc.

    Args:
        drives: Samples of a row.
        sources: How many.
        ratio: Time steps per sample.
        steps: Time steps of a row, at least `drives * ratio`.
    """

    def __init__(self, *, drives: int, sources: int, ratio: int, steps: int) -> None:
        super().__init__(sources=sources, steps=steps)
        self._drives, self._ratio = drives, ratio
        offset = np.arange(-_TAPS, _TAPS + 1)[:, None] + np.arange(ratio)[None] / ratio
        window = np.where(np.abs(offset) < _TAPS, np.cos(math.pi / 2 * offset / _TAPS) ** 2, 0.0)
        self._filter = torch.from_numpy((np.sinc(offset) * window).astype(np.float32))

    def waveforms(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the waveforms of all sources."""
        padded = torch.nn.functional.pad(drive_ND, (_TAPS, _TAPS))
        wave = drive_ND.new_zeros((len(drive_ND), self._drives, self._ratio))
        for tap, part in enumerate(self._filter):  # sample k, shifted by tap: x(t) = sum_m x_m sinc(t - m)
            first = 2 * _TAPS - tap
            wave += padded[:, first : first + self._drives, None] * part
        wave = torch.nn.functional.pad(wave.flatten(1), (0, self.steps - self._drives * self._ratio))
        return wave[:, None].expand(-1, self.sources, -1)

    def peak(self) -> float:
        """Return the largest value between samples of size 1."""
        return float(self._filter.abs().sum(0).max())


class Receiver(ABC):
    """Microphone signals to responses.

    Args:
        microphones: How many.
        each: Responses of one microphone.
    """

    unit = "1"
    dtype = "float32"

    def __init__(self, *, microphones: int, each: int) -> None:
        self.microphones = microphones
        self.each = each

    @abstractmethod
    def detect(self, trace_NMT: torch.Tensor) -> torch.Tensor:
        """Return the responses, shape `(n, microphones * each)`; those of one microphone are neighbours."""


class EnergyReceiver(Receiver):
    """The integrated square of the pressure, in equal slices of the last part of a row.

    Args:
        microphones: How many.
        slices: How many.
        window: Steps at the end of a row that are listened to.
        steps: Time steps of a row.
        time_step: s.
    """

    unit = "Pa2 s"

    def __init__(self, *, microphones: int, slices: int, window: int, steps: int, time_step: float) -> None:
        super().__init__(microphones=microphones, each=slices)
        if not slices <= window <= steps:
            raise SpecError(
                f"window must be {slices} to {steps} time steps (at least one per slice, at most a row), got {window}."
            )
        self.edges: list[int] = (steps - window + np.linspace(0, window, slices + 1).round().astype(int)).tolist()
        self.time_step = time_step

    def detect(self, trace_NMT: torch.Tensor) -> torch.Tensor:
        """Return energies in Pa^2 s."""
        parts = [
            trace_NMT[:, :, first:last].square().sum(2)
            for first, last in zip(self.edges[:-1], self.edges[1:], strict=True)
        ]
        return torch.stack(parts, 2).flatten(1) * self.time_step


class LockIn(Receiver):
    """Amplitude and phase of each tone, as a complex number: `(2 / W) sum u exp(-i w t)` over the last W steps.

    W steps hold an integer number of periods of every tone, so that tones don't leak into each other.

    Args:
        microphones: How many.
        tones: Frequencies, Hz.
        window: W.
        steps: Time steps of a row.
        time_step: s.

    Raises:
        SpecError: The window does not hold whole periods.
    """

    unit = "Pa"
    dtype = "complex64"

    def __init__(
        self, *, microphones: int, tones: tuple[float, ...], window: int, steps: int, time_step: float
    ) -> None:
        super().__init__(microphones=microphones, each=len(tones))
        if not 1 <= window <= steps:
            raise SpecError(f"window must be 1 to {steps} time steps, got {window}.")
        for tone in tones:
            periods = tone * window * time_step
            if abs(periods - round(periods)) > 1e-6 or not 0 < 2 * tone * time_step < 1:
                raise SpecError(
                    f"a tone must have a whole number of periods in the window of {window * time_step:.6g} s, so be a "
                    f"multiple of {1 / (window * time_step):.6g} Hz, got {tone:g} Hz. Change the tone or the window."
                )
        time_W = (np.arange(steps - window, steps) + 1) * time_step  # a microphone is read after the step
        phase_WJ = 2 * math.pi * time_W[:, None] * np.asarray(tones, dtype=np.float64)[None]
        self.phasor_WJ: NDArray[np.complex128] = 2 / window * np.exp(-1j * phase_WJ)
        self.window = window
        parts = np.concatenate([self.phasor_WJ.real, self.phasor_WJ.imag], axis=1)
        self._parts = torch.from_numpy(parts.astype(np.float32))

    def detect(self, trace_NMT: torch.Tensor) -> torch.Tensor:
        """Return complex amplitudes in Pa."""
        real, imag = (trace_NMT[:, :, -self.window :] @ self._parts).chunk(2, dim=2)
        return torch.complex(real.contiguous(), imag.contiguous()).flatten(1)


def choose_cells(allowed_YX: NDArray[np.bool_], count: int, *, seed: int, stream: int, what: str) -> Ints:
    """Choose cells at random, without repetition.

    Returns:
        `(y, x)` of each, shape `(count, 2)`: the same first ones however many are asked for.

    Raises:
        SpecError: There are too few.
    """
    cells = np.argwhere(allowed_YX)
    if count > len(cells):
        raise SpecError(f"{what} must fit into the {len(cells)} free cells, got {count}. Make the pitch smaller.")
    order = generator(seed, stream).permutation(len(cells))[:count]
    return np.asarray(cells[order], dtype=np.int64)


def generator(seed: int, stream: int) -> np.random.Generator:
    """Return a generator of its own for each purpose, so that more microphones don't move the scatterers."""
    key: Any = np.array([seed, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
