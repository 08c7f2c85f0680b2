"""Media in double precision with a known derivative, and systems with parameters to train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Differentiable, DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.encoders import Norm
from physnet.layer import DigitalMap, Nonlinearity, PhysicalLayer
from physnet.port import Port

INPUTS, ENCODED, RESPONSES, WIDTH = 6, 5, 7, 8


class MixingMedium(PhysicalSystem, Differentiable):
    """Squared sines of mixed drives: what interferometers make of them, and a derivative that nobody outside knows."""

    def __init__(self, drives: int = ENCODED, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self._matrix_DR = torch.from_numpy(random.standard_normal((drives, RESPONSES)))
        self._spec = SystemSpec(
            name="mixing",
            kind="simulated",
            drive=DriveSpec(shape=(drives,), low=-1.0),
            response=ResponseSpec(shape=(RESPONSES,)),
            array="torch",
        )

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        return torch.sin(drive @ self._matrix_DR + 0.5).square()

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        return Reading(response=self.forward(drive, passes))

    def __enter__(self) -> MixingMedium:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class Switched(MixingMedium):
    """The same with four switches, each of which turns the phase of all drives in its own way."""

    def __init__(self, drives: int = ENCODED) -> None:
        super().__init__(drives)
        self._turn_BR = torch.from_numpy(np.random.default_rng(1).standard_normal((4, RESPONSES)))
        self.parameters = {"switch": DriveSpec(shape=(4,), domain="binary")}
        self.values: dict[str, NDArray[Any]] = {"switch": np.array([1.0, 0.0, 0.0, 1.0])}

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        self.values |= values
        return 1

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        phase = drive @ self._matrix_DR + torch.from_numpy(self.values["switch"]) @ self._turn_BR
        return torch.sin(phase).square()


def make_layer(
    system: Any, *, before: bool, nonlinearity: Nonlinearity = "relu", inputs: int = INPUTS, skip: bool = False
) -> PhysicalLayer:
    drives = system.spec.drive.channels
    return PhysicalLayer(
        port=Port(system, dtype=torch.float64),
        inputs=inputs if before else drives,
        width=WIDTH,
        encoder=Norm(),
        seed=3,
        skip=skip,
        before=DigitalMap.make("random", inputs, drives, seed=4) if before else None,
        nonlinearity=nonlinearity,
        name="layer0",
    )
