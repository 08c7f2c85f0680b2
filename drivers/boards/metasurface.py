"""A programmable metasurface: elements that are on or off, and detectors read by the same board.

Axis letters: N rows; D elements; R response channels.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import DriveSpec, ResponseSpec
from physnet.errors import InputError

from .messages import BoardIdentity, Kind
from .options import Place, SerialOptions
from .serial_board import SerialBoard


class MetasurfaceBoard(SerialBoard):
    """The elements of a metasurface behind shift registers, over a serial port.

    For each row the board shifts out the pattern, latches all elements together, reads back what is latched, pulses its
    trigger output, waits, and reads its ADC channels. A row is believed only if the checksum of the read-back is that
    of the pattern sent. All elements are off before and after every batch, and when the host is silent.

    Args:
        port: Serial port, `COM3` or `/dev/ttyACM0`.
        elements: Elements of the metasurface.
        responses: ADC channels of the board, in counts.
        adc_bits: Bits of the ADC: the full scale in counts.
        trigger: The bench needs the trigger output: a board without one is refused.
        baud: Line rate in bit/s; a USB port of the board ignores it.
        settle: Wait between trigger and input, in s.
        watchdog: Silence of the host that outputs survive, in s; None for the board's own, which is the longest.
        timeout: Longest wait for an answer beside settling, in s.
        open_timeout: Longest wait for a board that starts when its port is opened, in s.
        reopen_timeout: Longest attempt to get a line back that was lost, in s.
        max_batch: Most rows of one call. Any number fits the board's buffer: rows are sent as it frees.
        unique_id: The board's own number, so that no other is driven by mistake; empty for any.
        simulated: The board is the firmware's host build: the session then says that nothing was measured.
        nonlinearity: Where the system behind the board is nonlinear: `medium`, `detector`, `digital`.
        stateful: The system behind the board remembers earlier rows.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range.
    """

    _row_kind = Kind.PATTERN

    def __init__(
        self,
        *,
        port: str,
        elements: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        adc_bits: Annotated[int, Field(ge=1, le=16)] = 12,
        trigger: bool = False,
        baud: Annotated[int, Field(ge=1)] = 115200,
        settle: Annotated[float, Field(ge=0)] = 0.0,
        watchdog: Annotated[float, Field(ge=0.001)] | None = None,
        timeout: Annotated[float, Field(gt=0)] = 1.0,
        open_timeout: Annotated[float, Field(gt=0)] = 5.0,
        reopen_timeout: Annotated[float, Field(ge=0)] = 5.0,
        max_batch: Annotated[int, Field(ge=1)] = 256,
        unique_id: str = "",
        simulated: bool = False,
        nonlinearity: tuple[Place, ...] = ("detector",),
        stateful: bool = False,
        name: str = "metasurface_board",
    ) -> None:
        self._adc_bits = adc_bits
        self._trigger = trigger
        super().__init__(
            SerialOptions(
                port=port,
                baud=baud,
                settle=settle,
                watchdog=watchdog,
                timeout=timeout,
                open_timeout=open_timeout,
                reopen_timeout=reopen_timeout,
                unique_id=unique_id,
                simulated=simulated,
            ),
            name=name,
            drive=DriveSpec(shape=(elements,), dtype="uint8", domain="binary", axes=("element",)),
            response=ResponseSpec(
                shape=(responses,),
                unit="count",
                dtype="int32",
                axes=("response",),
                full_scale=2.0**adc_bits - 1,
            ),
            payload=-(-elements // 8),
            max_batch=max_batch,
            nonlinearity=nonlinearity,
            stateful=stateful,
        )

    def _check_board(self, board: BoardIdentity) -> None:
        name = self.spec.name
        for label, found, declared in (
            ("elements", board.pattern_bits, self.spec.drive.channels),
            ("responses", board.adc_channels, self.spec.response.channels),
            ("adc_bits", board.adc_bits, self._adc_bits),
        ):
            if found != declared:
                raise InputError(f"{label} of {name} must be {found}, as its board has, got {declared}.")
        if self._trigger and not board.trigger:
            raise InputError(f"{name} needs a trigger output, and its board has none. Set trigger = false without it.")

    def _pack(self, drive_ND: NDArray[Any]) -> list[bytes]:
        # Element 0 is bit 0 of byte 0.
        return [row.tobytes() for row in np.packbits(drive_ND, axis=1, bitorder="little")]

    def _responses(self, codes_NR: NDArray[np.int32]) -> NDArray[Any]:
        return codes_NR
