"""Simulated boards by the options that their drivers have, and some of the board's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physnet.errors import SpecError

from .board import SimulatedBoard
from .board_hardware import SimulatedHardware, Trigger
from .board_medium import BoardMedium
from .board_messages import Abilities
from .faults import FaultPlan
from .serial_line import Line
from .shared_system import SharedSystem

Bits = Annotated[int, Field(ge=1, le=16)]
_UNIQUE = b"SIMULATE"


def make_dac_adc_board(
    system: SharedSystem,
    line: Line,
    *,
    drives: Annotated[int, Field(ge=1)],
    responses: Annotated[int, Field(ge=1)],
    dac_bits: Bits = 12,
    dac_range: tuple[float, float] = (0.0, 3.3),
    adc_bits: Bits = 12,
    adc_range: tuple[float, float] = (0.0, 3.3),
    gain: float = 1.0,
    noise: Annotated[float, Field(ge=0)] = 0.0,
    watchdog: Annotated[float, Field(ge=0.001)] = 0.5,
    max_settle: Annotated[float, Field(ge=0)] = 0.1,
    unique_id: str = "",
    seed: Annotated[int, Field(ge=0)] = 0,
    faults: FaultPlan | None = None,
) -> SimulatedBoard:
    """A board with DAC and ADC channels, a system between them.

    Args:
        system: What is connected.
        line: Where it is served.
        drives: DAC channels.
        responses: ADC channels.
        dac_bits: Of an output.
        dac_range: Outputs at the lowest and the highest code in V: the lowest and the highest drive of the system.
        adc_bits: Of an input.
        adc_range: Inputs that give the lowest and the highest code in V.
        gain: V per unit of a response.
        noise: Of the inputs, standard deviation in V.
        watchdog: Longest silence of a host that outputs survive, in s.
        max_settle: Longest wait between output and input, in s.
        unique_id: 16 hexadecimal digits; empty for those of "SIMULATE".
        seed: Of the noise.
        faults: What goes wrong on the line.

    Raises:
        SpecError: An option is out of its range, or the system doesn't fit.
    """
    abilities = Abilities(
        name="SIMULATED dac_adc_board",
        unique_id=_unique(unique_id),
        dac_channels=drives,
        dac_bits=dac_bits,
        dac_range=dac_range,
        adc_channels=responses,
        adc_bits=adc_bits,
        adc_range=adc_range,
        watchdog=watchdog,
        max_settle=max_settle,
    )
    medium = BoardMedium(system, drives=drives, responses=responses, gain=gain)
    return SimulatedBoard(SimulatedHardware(abilities, voltages=medium, noise=noise, seed=seed), line, faults=faults)


def make_metasurface_board(
    system: SharedSystem,
    line: Line,
    *,
    elements: Annotated[int, Field(ge=1)],
    responses: Annotated[int, Field(ge=1)],
    adc_bits: Bits = 12,
    adc_range: tuple[float, float] = (0.0, 3.3),
    gain: float = 1.0,
    noise: Annotated[float, Field(ge=0)] = 0.0,
    watchdog: Annotated[float, Field(ge=0.001)] = 0.5,
    max_settle: Annotated[float, Field(ge=0)] = 0.1,
    stuck: Annotated[int, Field(ge=0)] | None = None,
    unique_id: str = "",
    seed: Annotated[int, Field(ge=0)] = 0,
    trigger: Trigger | None = None,
    faults: FaultPlan | None = None,
) -> SimulatedBoard:
    """A board that holds the bits of a metasurface, and reads detectors.

    Args:
        system: What is connected: each element is off at its lowest drive, on at its highest.
        line: Where it is served.
        elements: Switchable elements.
        responses: ADC channels: diodes that see the modulus of the first responses.
        adc_bits: Of an input.
        adc_range: Inputs that give the lowest and the highest code in V.
        gain: V per unit of a response.
        noise: Of the inputs, standard deviation in V.
        watchdog: Longest silence of a host that outputs survive, in s.
        max_settle: Longest wait between trigger and input, in s.
        stuck: An element that latches the opposite of what it is told; None for none.
        unique_id: 16 hexadecimal digits; empty for those of "SIMULATE".
        seed: Of the noise.
        trigger: What its trigger output is connected to.
        faults: What goes wrong on the line.

    Raises:
        SpecError: An option is out of its range, or the system doesn't fit.
    """
    if stuck is not None and not stuck < elements:
        raise SpecError(f"stuck must be one of {elements} elements, got {stuck}.")
    abilities = Abilities(
        name="SIMULATED metasurface_board",
        unique_id=_unique(unique_id),
        elements=elements,
        adc_channels=responses,
        adc_bits=adc_bits,
        adc_range=adc_range,
        trigger=True,
        watchdog=watchdog,
        max_settle=max_settle,
    )
    hardware = SimulatedHardware(
        abilities,
        elements=BoardMedium(system, drives=elements, responses=responses, gain=gain),
        trigger=trigger,
        noise=noise,
        seed=seed,
        stuck=stuck,
    )
    return SimulatedBoard(hardware, line, faults=faults)


def _unique(digits: str) -> bytes:
    try:
        found = bytes.fromhex(digits) if digits else _UNIQUE
    except ValueError:
        found = b""
    if len(found) != len(_UNIQUE):
        raise SpecError(f"unique_id of a simulated board must be 16 hexadecimal digits, got {digits!r}.")
    return found
