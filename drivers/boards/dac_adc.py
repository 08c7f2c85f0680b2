"""A board that plays voltages and reads voltages: microcontrollers with DAC and ADC channels.

Axis letters: N rows; D drive channels; R response channels.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import DriveSpec, ResponseSpec
from physnet.errors import InputError

from .messages import BoardIdentity, Kind
from .options import Place, SerialOptions
from .serial_board import SerialBoard

_ROUNDING = 1e-9  # of the range: a voltage that came through microvolts and floating point


class DacAdcBoard(SerialBoard):
    """DAC and ADC channels over a serial port, with the firmware that lies beside this file.

    For each row the board sets all its DAC channels together, waits and reads all its ADC channels. Outputs are at the
    board's safe level before and after every batch, and when the host is silent for the watchdog's time.

    Voltages are rounded to the nearest code, towards the inside of the range at its limits. Codes stay integers: a
    response in counts is what the converter gave.

    Args:
        port: Serial port, `COM3` or `/dev/ttyACM0`.
        drives: DAC channels of the board.
        responses: ADC channels of the board.
        drive_range: Lowest and highest drive in V, within what the DAC can give. Nothing outside is ever sent.
        response_unit: `count` for the codes; `V` for voltages by the board's nominal range.
        adc_bits: Bits of the ADC: the full scale in counts.
        baud: Line rate in bit/s; a USB port of the board ignores it.
        settle: Wait between output and input, in s.
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

    _row_kind = Kind.PLAY

    def __init__(
        self,
        *,
        port: str,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        drive_range: tuple[float, float] = (0.0, 1.0),
        response_unit: Literal["count", "V"] = "count",
        adc_bits: Annotated[int, Field(ge=1, le=16)] = 12,
        baud: Annotated[int, Field(ge=1)] = 115200,
        settle: Annotated[float, Field(ge=0)] = 0.0,
        watchdog: Annotated[float, Field(ge=0.001)] | None = None,
        timeout: Annotated[float, Field(gt=0)] = 1.0,
        open_timeout: Annotated[float, Field(gt=0)] = 5.0,
        reopen_timeout: Annotated[float, Field(ge=0)] = 5.0,
        max_batch: Annotated[int, Field(ge=1)] = 256,
        unique_id: str = "",
        simulated: bool = False,
        nonlinearity: tuple[Place, ...] = ("medium",),
        stateful: bool = False,
        name: str = "dac_adc_board",
    ) -> None:
        counts = response_unit == "count"
        self._adc_bits = adc_bits
        low, high = drive_range
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
            drive=DriveSpec(shape=(drives,), low=float(low), high=float(high), unit="V", axes=("drive",)),
            response=ResponseSpec(
                shape=(responses,),
                unit=response_unit,
                dtype="int32" if counts else "float64",
                axes=("response",),
                full_scale=2.0**adc_bits - 1 if counts else None,
            ),
            payload=2 * drives,
            max_batch=max_batch,
            nonlinearity=nonlinearity,
            stateful=stateful,
        )

    def _check_board(self, board: BoardIdentity) -> None:
        name, drive, response = self.spec.name, self.spec.drive, self.spec.response
        for label, found, declared in (
            ("drives", board.dac_channels, drive.channels),
            ("responses", board.adc_channels, response.channels),
            ("adc_bits", board.adc_bits, self._adc_bits),
        ):
            if found != declared:
                raise InputError(f"{label} of {name} must be {found}, as its board has, got {declared}.")
        low, high = board.dac_range
        slack = _ROUNDING * (high - low)
        wanted_low, wanted_high = float(drive.low_array[0]), float(drive.high_array[0])
        if not low - slack <= wanted_low < wanted_high <= high + slack:
            raise InputError(
                f"drive_range of {name} must be within {low:g} to {high:g} V, which its board can give, got "
                f"{wanted_low:g} to {wanted_high:g} V."
            )
        if self._code_limits(board)[0] >= self._code_limits(board)[1]:
            raise InputError(f"drive_range of {name} must hold at least two codes of its {board.dac_bits}-bit DAC.")

    def _code_limits(self, board: BoardIdentity) -> tuple[int, int]:
        """Lowest and highest code whose voltage is within the drive's range."""
        low, high = board.dac_range
        per_volt = (2**board.dac_bits - 1) / (high - low)
        drive = self.spec.drive
        first = math.ceil((drive.low_array[0] - low) * per_volt - _ROUNDING * 2**board.dac_bits)
        last = math.floor((drive.high_array[0] - low) * per_volt + _ROUNDING * 2**board.dac_bits)
        return max(0, first), min(2**board.dac_bits - 1, last)

    def _pack(self, drive_ND: NDArray[Any]) -> list[bytes]:
        low, high = self.board.dac_range
        codes_ND = np.rint((drive_ND - low) * ((2**self.board.dac_bits - 1) / (high - low)))
        codes_ND = np.clip(codes_ND, *self._code_limits(self.board)).astype("<u2")
        return [row.tobytes() for row in codes_ND]

    def _responses(self, codes_NR: NDArray[np.int32]) -> NDArray[Any]:
        if self.spec.response.unit == "count":
            return codes_NR
        low, high = self.board.adc_range
        volts_NR: NDArray[np.float64] = low + codes_NR * ((high - low) / (2**self.board.adc_bits - 1))
        return volts_NR
