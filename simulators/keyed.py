"""Random numbers that depend on a seed, a stream, a pass number and a channel, and on nothing else.

They are computed from a counter, not drawn from a generator, so chunks, order, threads and retries don't change them.

Axis letters: N rows, one per pass; P pairs of channels; C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from physnet.contracts import Passes
from physnet.errors import InputError

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))  # variant 13 of Stafford, as in splitmix64
_TILE = 32_768  # pairs: smaller tiles spend their time in dispatch, larger ones leave the second-level cache

_SQRT_HALF_BITS = 0x3F3504F3  # float32 sqrt(1/2): mantissas are taken in sqrt(1/2) to sqrt(2)
# atanh(s) = s (1 + z/3 + z^2/5 + ...), z = s^2 <= 0.0295: what is left out is below 1e-8 of the sum.
_ATANH = (1 / 9, 1 / 7, 1 / 5, 1 / 3)
# Taylor series on |t| <= pi/4: what is left out is below 2e-9 (sine) and 3e-8 (cosine).
_SINE = (1 / 362880, -1 / 5040, 1 / 120, -1 / 6)
_COSINE = (1 / 40320, -1 / 720, 1 / 24, -1 / 2)


def keyed_normal(
    seed: int, passes: Passes, channels: int, *, stream: int = 0, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Return normal numbers of mean 0 and standard deviation 1.

    Each 64-bit word gives two channels (Box-Muller); channel `c` is the same however many channels are asked for.
    Only integer operations and single float32 additions, products, quotients and square roots are used, each of which
    IEEE 754 rounds in one way: CPU and CUDA devices agree to the bit where they round so. There is no library
    logarithm or cosine in it, which differ in the last digit between devices and versions. The error against exact
    arithmetic is below 1e-6 + 1.2e-7 / r for a pair at radius r. No value exceeds 6.67: beyond lie 3 numbers in
    10^11.

    Args:
        seed: 0 to 2^63 - 1.
        passes: Pass numbers, shape `(n,)`, `int64`.
        channels: Numbers per pass, >= 1.
        stream: What the numbers are for, 0 to 2^63 - 1: streams of one seed are independent.
        device: torch device of the result.

    Returns:
        Shape `(n, channels)`, `float32`.

    Raises:
        InputError: An argument is out of range.

    Source:
        S. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the mixing function);
        G. Box, M. Muller, Ann. Math. Stat. 29, 610 (1958).
    """
    value_NC = torch.empty((len(passes), channels), dtype=torch.float32, device=device)
    scratch = _Scratch(device)
    for rows, word_NP in _words(seed, passes, channels, stream, device):
        even_NP, odd_NP = scratch.normal_pair(word_NP)
        value_NC[rows, 0::2] = even_NP
        value_NC[rows, 1::2] = odd_NP[:, : channels // 2]
    return value_NC


def keyed_uniform(
    seed: int, passes: Passes, channels: int, *, stream: int = 0, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Return uniform numbers in 0 <= u < 1, multiples of 2^-24: the same bits on every device.

    They are made of the same words as `keyed_normal`: use another stream where both are needed.

    Args:
        seed: 0 to 2^63 - 1.
        passes: Pass numbers, shape `(n,)`, `int64`.
        channels: Numbers per pass, >= 1.
        stream: What the numbers are for, 0 to 2^63 - 1.
        device: torch device of the result.

    Returns:
        Shape `(n, channels)`, `float32`.

    Raises:
        InputError: An argument is out of range.
    """
    value_NC = torch.empty((len(passes), channels), dtype=torch.float32, device=device)
    for rows, word_NP in _words(seed, passes, channels, stream, device):
        value_NC[rows, 0::2] = ((word_NP >> 40) & 0xFFFFFF).to(torch.float32).mul_(2.0**-24)
        odd_NP = ((word_NP >> 8) & 0xFFFFFF).to(torch.float32).mul_(2.0**-24)
        value_NC[rows, 1::2] = odd_NP[:, : channels // 2]
    return value_NC


def _words(
    seed: int, passes: Passes, channels: int, stream: int, device: str | torch.device
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the random words of a tile of rows, shape `(rows, pairs)`, `int64`; the tensor is used again."""
    for name, value in (("seed", seed), ("stream", stream)):
        if not 0 <= value < 1 << 63:
            raise InputError(f"{name} must be 0 to 2^63 - 1, got {value}.")
    if channels < 1:
        raise InputError(f"channels must be >= 1, got {channels}.")
    if passes.ndim != 1 or passes.dtype != np.int64:
        raise InputError(
            f"passes must be one int64 number per row, got shape {passes.shape} of {passes.dtype}. "
            "physnet.passes.pass_numbers allots them."
        )
    key = _mix_int(_mix_int(seed + _GOLDEN) ^ (stream + 1) * _GOLDEN)
    pairs = (channels + 1) // 2
    row_N = torch.from_numpy(np.ascontiguousarray(passes)).to(device, copy=True)
    _mix(row_N.mul_(_signed(_GOLDEN)).add_(_signed(key)), torch.empty_like(row_N))
    pair_P = torch.arange(pairs, dtype=torch.int64, device=device)
    _mix(pair_P.mul_(_signed(_GOLDEN)).add_(_signed(_mix_int(key + 1))), torch.empty_like(pair_P))
    height = max(1, _TILE // pairs)
    word_NP = torch.empty((min(height, len(row_N)), pairs), dtype=torch.int64, device=device)
    spare_NP = torch.empty_like(word_NP)
    for first in range(0, len(row_N), height):
        rows = slice(first, min(first + height, len(row_N)))
        count = rows.stop - rows.start
        tile_NP = torch.add(row_N[rows, None], pair_P, out=word_NP[:count])
        yield rows, _mix(tile_NP, spare_NP[:count])


class _Scratch:
    """The buffers of Box-Muller, made at the first tile and used again for the next ones."""

    def __init__(self, device: str | torch.device) -> None:
        self._device = device
        self._buffers: tuple[torch.Tensor, ...] = ()

    def normal_pair(self, word_NP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn words into two normal numbers each."""
        if not self._buffers:
            ints = tuple(torch.empty_like(word_NP, dtype=torch.int32) for _ in range(3))
            self._buffers = ints + tuple(torch.empty_like(word_NP, dtype=torch.float32) for _ in range(5))
        rows = len(word_NP)
        high, sign, power, a, z, radius, sine, cosine = (buffer[:rows] for buffer in self._buffers)

        # The low half is an angle. Over half a turn only: the sign, bit 63, turns it by another half.
        angle = a.copy_(word_NP.to(torch.int32)).mul_(math.pi / 4 * 2.0**-31)
        torch.mul(angle, angle, out=z)
        _polynomial(_SINE, z, sine).mul_(angle)
        _polynomial(_COSINE, z, cosine)
        cosine.mul_(sine).mul_(2.0)  # sin 2t
        sine.mul_(sine).mul_(-2.0).add_(1.0)  # cos 2t
        # The high half is a number u in 0 to 1, of which 2 ln u is taken: u = mantissa 2^power / 2^31.
        high.copy_(word_NP >> 32)
        torch.bitwise_and(high, -1 << 31, out=sign)
        a.copy_(high.bitwise_and_(0x7FFFFFFF)).add_(0.5)
        bits = a.view(torch.int32)
        torch.sub(bits, _SQRT_HALF_BITS, out=power)
        power.bitwise_right_shift_(23)
        bits.sub_(torch.bitwise_left_shift(power, 23, out=high))
        torch.add(a, 1.0, out=z)
        a.sub_(1.0).div_(z)
        torch.mul(a, a, out=z)
        _polynomial(_ATANH, z, radius).mul_(a).mul_(-4.0)
        a.copy_(power.neg_().add_(31)).mul_(2 * math.log(2))
        radius.add_(a).sqrt_()
        radius.view(torch.int32).bitwise_xor_(sign)
        return sine.mul_(radius), cosine.mul_(radius)


def _polynomial(coefficients: tuple[float, ...], z: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Evaluate 1 + c[-1] z + c[-2] z^2 + ..., one rounding per operation."""
    torch.mul(z, coefficients[0], out=out)
    for coefficient in coefficients[1:]:
        out.add_(coefficient).mul_(z)
    return out.add_(1.0)


def _mix(word: torch.Tensor, spare: torch.Tensor) -> torch.Tensor:
    """Mix 64-bit words in place so that every bit of the input reaches every bit of the output."""
    for shift, factor in _MIX:
        word.bitwise_xor_(_shift_right(word, shift, spare)).mul_(_signed(factor))
    return word.bitwise_xor_(_shift_right(word, 31, spare))


def _shift_right(word: torch.Tensor, shift: int, out: torch.Tensor) -> torch.Tensor:
    # torch shifts signed words and copies the sign down: the mask takes it off again.
    return torch.bitwise_right_shift(word, shift, out=out).bitwise_and_((1 << (64 - shift)) - 1)


def _mix_int(word: int) -> int:
    word &= _WORD
    for shift, factor in _MIX:
        word = ((word ^ word >> shift) * factor) & _WORD
    return word ^ word >> 31


def _signed(word: int) -> int:
    word &= _WORD
    return word - (1 << 64) if word >> 63 else word
