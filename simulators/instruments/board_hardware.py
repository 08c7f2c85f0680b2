"""Outputs and inputs of a simulated board: converters, shift registers, a trigger, and a record of what outputs did.

Axis letters: D output channels or elements; R input channels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from ..keyed import keyed_normal
from .board_messages import MAX_CHANNELS, Abilities
from .board_protocol import HardwareFault
from .frames import MAX_PAYLOAD

Respond = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From the outputs, each as a fraction of its range, 0 to 1, to the voltages at the inputs, in V."""
Trigger = Callable[[NDArray[np.uint8]], None]
"""Takes the elements that are latched when the trigger output pulses, shape `(elements,)`."""

_REMEMBERED = 100_000  # events
_NOISE = 64  # stream of keyed_normal


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """Something that the outputs did.

    Args:
        time: When, by `time.monotonic`, in s.
        kind: `safe`, all at their safe level; `out`, DAC channels set; `pattern`, elements latched; `trigger`, a pulse.
        value: Codes of the DAC channels, or bytes of the packed pattern; empty for the others.
    """

    time: float
    kind: Literal["safe", "out", "pattern", "trigger"]
    value: tuple[int, ...] = ()


class SimulatedHardware:
    """Converters and registers, with a medium between outputs and inputs.

    The output of a DAC is exact at its codes. The input of the ADC has Gaussian noise, keyed by seed and number of the
    row, and rounds to the nearest code; beyond its range it gives the last code and says so.

    Args:
        abilities: What it has.
        voltages: Answers to DAC channels; None for a board without.
        elements: Answers to switchable elements; None for a board without. A board with both answers to what was
            played last.
        trigger: Called at each pulse of the trigger output.
        noise: Of the inputs, standard deviation in V.
        seed: Of the noise.
        stuck: An element that always latches the opposite of what it is told; None for none.

    Raises:
        SpecError: More channels than a frame holds, or outputs without a medium.
    """

    def __init__(
        self,
        abilities: Abilities,
        *,
        voltages: Respond | None = None,
        elements: Respond | None = None,
        trigger: Trigger | None = None,
        noise: float = 0.0,
        seed: int = 0,
        stuck: int | None = None,
    ) -> None:
        _check(abilities, voltages, elements)
        self.abilities = abilities
        self.record: deque[OutputEvent] = deque(maxlen=_REMEMBERED)
        """What the outputs did, in order; the last 100 000 events."""
        self._voltages, self._elements, self._trigger = voltages, elements, trigger
        self._noise, self._seed, self._stuck = noise, seed, stuck
        self._row = 0
        low, high = abilities.dac_range
        self._last_code = 2**abilities.dac_bits - 1
        # 0 V, or what comes nearest
        self._safe_code = round(float(np.clip(-low / (high - low), 0, 1)) * self._last_code)
        self._codes: tuple[int, ...] = ()
        self._pattern = b""
        self._patterned = False

    @property
    def pattern(self) -> NDArray[np.uint8]:
        """What is latched, shape `(elements,)`."""
        packed = np.frombuffer(self._pattern, np.uint8)
        return np.unpackbits(packed, bitorder="little")[: self.abilities.elements]

    def make_safe(self) -> None:
        """Set DAC channels to 0 V, or what comes nearest, and switch all elements off."""
        self._codes = (self._safe_code,) * self.abilities.dac_channels
        self._pattern = bytes(self.abilities.pattern_bytes)
        self._note("safe")

    def write_outputs(self, codes: tuple[int, ...]) -> None:
        """Set all DAC channels together."""
        self._codes, self._patterned = codes, False
        self._note("out", codes)

    def write_pattern(self, packed: bytes) -> None:
        """Latch a pattern, element 0 in bit 0 of byte 0."""
        if self._stuck is not None:
            byte, bit = divmod(self._stuck, 8)
            packed = packed[:byte] + bytes([packed[byte] ^ 1 << bit]) + packed[byte + 1 :]
        self._pattern, self._patterned = packed, True
        self._note("pattern", tuple(packed))

    def read_pattern(self) -> bytes:
        """Return what is latched, packed."""
        return self._pattern

    def pulse_trigger(self) -> None:
        """Give a pulse, if there is such an output."""
        if not self.abilities.trigger:
            return
        self._note("trigger")
        if self._trigger is not None:
            self._trigger(self.pattern)

    def read_inputs(self) -> tuple[tuple[int, ...], bool]:
        """Return the codes of all inputs, and whether one left its range.

        Raises:
            HardwareFault: The medium did not answer, or with something that is no number.
        """
        respond = self._elements if self._patterned else self._voltages
        if respond is None:
            raise HardwareFault("nothing is connected to these outputs")
        outputs_D = self.pattern if self._patterned else np.array(self._codes) / self._last_code
        volts_R = respond(outputs_D.astype(np.float64))
        if self._noise:
            row = np.array([self._row], np.int64)
            volts_R = volts_R + self._noise * keyed_normal(self._seed, row, len(volts_R), stream=_NOISE)[0].numpy()
        self._row += 1
        if not np.isfinite(volts_R).all():
            raise HardwareFault("a voltage that is no number came to an input")
        low, high = self.abilities.adc_range
        full = 2**self.abilities.adc_bits - 1
        codes_R = np.rint((volts_R - low) * (full / (high - low)))
        clipped = bool(((codes_R < 0) | (codes_R > full)).any())
        return tuple(int(code) for code in np.clip(codes_R, 0, full)), clipped

    def _note(self, kind: Literal["safe", "out", "pattern", "trigger"], value: tuple[int, ...] = ()) -> None:
        self.record.append(OutputEvent(time.monotonic(), kind, value))


def _check(abilities: Abilities, voltages: Respond | None, elements: Respond | None) -> None:
    for label, count in (("dac_channels", abilities.dac_channels), ("adc_channels", abilities.adc_channels)):
        if not 0 <= count <= MAX_CHANNELS:
            raise SpecError(f"{label} of a simulated board must be 0 to {MAX_CHANNELS}, got {count}.")
    if not 0 <= abilities.elements <= 8 * MAX_PAYLOAD:
        raise SpecError(f"elements of a simulated board must be 0 to {8 * MAX_PAYLOAD}, got {abilities.elements}.")
    for label, bits in (("dac_bits", abilities.dac_bits), ("adc_bits", abilities.adc_bits)):
        if not 1 <= bits <= 16:
            raise SpecError(f"{label} of a simulated board must be 1 to 16, got {bits}.")
    for label, (low, high) in (("dac_range", abilities.dac_range), ("adc_range", abilities.adc_range)):
        if not low < high:
            raise SpecError(f"{label} of a simulated board must rise, got {low:g} to {high:g} V.")
    if len(abilities.unique_id) != 8:
        raise SpecError(f"unique_id of a simulated board must have 8 bytes, got {len(abilities.unique_id)}.")
    for label, count, medium in (
        ("dac_channels", abilities.dac_channels, voltages),
        ("elements", abilities.elements, elements),
    ):
        if count and medium is None:
            raise SpecError(f"a simulated board with {label} = {count} needs a medium that answers to them.")
