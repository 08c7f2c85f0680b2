"""A linear cavity as what it is: a matrix. Exactly the numbers of the field solver, from its impulse responses.

Axis letters: N rows; D drives; S sources; M microphones; T time steps; F frequencies; C responses; R squares of
a response.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.linalg import lapack

from .acoustic_codec import AudioCodec, Codec, EnergyReceiver, LockIn, Receiver, ToneCodec
from .acoustic_grid import Floats, Ints
from .acoustic_media import Scheme
from .acoustic_torch import TorchSolver

# Of the trace of an energy's quadratic form: what is left out, as much as float32 rounds off.
_LEFT_OUT = 6e-8


class Transfer(ABC):
    """A drive goes in, a response comes out, without a field in between.

    Args:
        strength: Strength of a source at full drive, Pa.
    """

    height: int = 256
    """Rows of a call of `respond`: always this many."""

    @abstractmethod
    def respond(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the responses to exactly `height` rows."""


class Squares(Transfer):
    """Energies of drives that are amplitudes: `sum_r (sum_d x_d F_dcr)^2` for response c.

    The energy is a quadratic form of the drive. A pivoted Cholesky decomposition finds its few squares.
    """

    def __init__(self, codec: ToneCodec, receiver: EnergyReceiver, impulse_SMT: Floats, strength: float) -> None:
        factors = []
        for m in range(receiver.microphones):
            trace_DT = strength * _convolve(impulse_SMT[codec.source_D, m], codec.basis_DT)
            for first, last in zip(receiver.edges[:-1], receiver.edges[1:], strict=True):
                part = trace_DT[:, first:last]
                factors.append(_factor(part @ part.T * receiver.time_step))
        rank = max(factor.shape[1] for factor in factors)
        matrix_DCR = np.zeros((len(codec.basis_DT), len(factors), rank), np.float32)
        for c, factor in enumerate(factors):
            matrix_DCR[:, c, : factor.shape[1]] = factor
        self._shape = len(factors), rank
        self._matrix_DQ = torch.from_numpy(matrix_DCR.reshape(len(matrix_DCR), -1))

    @property
    def rank(self) -> int:
        """Largest number of squares of a response."""
        return int(self._shape[1])

    def respond(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return energies in Pa^2 s."""
        return (drive_ND @ self._matrix_DQ).view(-1, *self._shape).square_().sum(2)


class Matrix(Transfer):
    """Lock-in amplitudes of drives that are amplitudes: one complex matrix."""

    def __init__(self, codec: ToneCodec, receiver: LockIn, impulse_SMT: Floats, strength: float) -> None:
        columns = []
        for m in range(receiver.microphones):
            trace_DT = strength * _convolve(impulse_SMT[codec.source_D, m], codec.basis_DT)
            columns.append(trace_DT[:, -receiver.window :] @ receiver.phasor_WJ)
        matrix_DC = np.concatenate(columns, axis=1)
        parts = np.concatenate([matrix_DC.real, matrix_DC.imag], axis=1)
        self._matrix_D2C = torch.from_numpy(parts.astype(np.float32))

    def respond(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return complex amplitudes in Pa."""
        real, imag = (drive_ND @ self._matrix_D2C).chunk(2, dim=1)
        return torch.complex(real.contiguous(), imag.contiguous())


class Convolution(Transfer):
    """Any drive: waveforms, convolved with the impulse responses by fast Fourier transforms."""

    def __init__(self, codec: Codec, receiver: Receiver, impulse_SMT: Floats, strength: float) -> None:
        self._codec, self._receiver = codec, receiver
        self._alike = isinstance(codec, AudioCodec)
        if self._alike:  # all sources play the same
            impulse_SMT = impulse_SMT.sum(0, keepdims=True)
        self._length = _fast_length(2 * codec.steps)
        spectrum_SMF = np.fft.rfft(strength * impulse_SMT, self._length)
        self._spectrum_SMF = torch.from_numpy(spectrum_SMF.astype(np.complex64))
        self.height = int(np.clip(8_000_000 // (self._length * receiver.microphones), 1, 64))

    def respond(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return what the receiver makes of the microphone signals."""
        wave_NST = self._codec.waveforms(drive_ND)
        if self._alike:
            wave_NST = wave_NST[:, :1]
        spectrum_NSF = torch.fft.rfft(wave_NST, self._length)
        total_NMF = spectrum_NSF[:, 0, None] * self._spectrum_SMF[0]
        for source in range(1, len(self._spectrum_SMF)):
            total_NMF += spectrum_NSF[:, source, None] * self._spectrum_SMF[source]
        return self._receiver.detect(torch.fft.irfft(total_NMF, self._length)[:, :, : self._codec.steps])


def make_transfer(
    scheme: Scheme, codec: Codec, receiver: Receiver, *, sources: Ints, microphones: Ints, strength: float
) -> Transfer:
    """Measure the impulse responses of a linear cavity with the field solver, in double precision, and fold them up."""
    solver = TorchSolver(scheme, sources=sources, microphones=microphones, dtype=np.float64)
    impulse_NST = np.zeros((len(sources), len(sources), codec.steps))
    for source in range(len(sources)):
        impulse_NST[source, source, 0] = 1
    impulse_SMT, _ = solver.propagate(impulse_NST)
    if isinstance(codec, ToneCodec) and isinstance(receiver, EnergyReceiver):
        return Squares(codec, receiver, impulse_SMT, strength)
    if isinstance(codec, ToneCodec) and isinstance(receiver, LockIn):
        return Matrix(codec, receiver, impulse_SMT, strength)
    return Convolution(codec, receiver, impulse_SMT, strength)


def _convolve(impulse_DT: Floats, wave_DT: Floats) -> Floats:
    length = _fast_length(2 * wave_DT.shape[1])
    product = np.fft.rfft(impulse_DT, length) * np.fft.rfft(wave_DT, length)
    return np.asarray(np.fft.irfft(product, length)[:, : wave_DT.shape[1]])


def _factor(form_DD: Any) -> Floats:
    """Return F with `form = F F^T`, but for `_LEFT_OUT` of the trace."""
    drives = len(form_DD)
    tolerance = _LEFT_OUT * float(np.trace(form_DD)) / drives
    if not tolerance > 0:
        return np.zeros((drives, 1))
    triangle, pivot, rank, _ = lapack.dpstrf(form_DD, tol=tolerance, lower=1)
    factor = np.zeros((drives, rank))
    factor[pivot - 1] = np.tril(triangle)[:, :rank]
    return factor


def _fast_length(least: int) -> int:
    return int(next_fast_len(least, real=True))
