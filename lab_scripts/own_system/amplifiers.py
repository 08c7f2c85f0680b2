"""A system to copy: light through a scattering medium into pumped amplifiers, and a photodiode behind each of them.

Axis letters: N rows; D drives; K the field as [Re | Im]; R responses, one for each amplifier.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import (
    Cost,
    Differentiable,
    DriveSpec,
    Passes,
    PhysicalSystem,
    Reading,
    ResponseSpec,
    Stateful,
    SystemSpec,
    Tunable,
)
from physnet.errors import DriveError, SpecError
from physnet.simulators.clock import VirtualClock
from physnet.simulators.keyed import keyed_normal
from physnet.simulators.row_product import RowProduct


class Amplifiers(PhysicalSystem, Tunable, Stateful, Differentiable):
    """Amplitudes that a medium mixes, `y = T x`, and amplifiers that saturate: `I = G |y|^2 / (1 + |y|^2 / P)`.

    `T` is circular complex Gaussian, fixed by the seed. The gain `G` of each amplifier is a parameter; while the pump
    warms up, all of them are lower by `droop`, and less so as `exp(-t / warm_up)`.

    Args:
        drives: Amplitudes, 0 to 1.
        responses: Amplifiers.
        saturation: Power P in W at which an amplifier gives half of what it would, for a mean power of 1 W at full
            drive.
        noise: Standard deviation of the photodiodes' noise in W.
        droop: Share of the gain that is missing at first; 0 for a pump that is warm.
        warm_up: Time constant in s.
        seed: Of the medium and of the noise.
        seconds_per_pass: Duration of a row in s.
        name: Name in sessions.

    Raises:
        SpecError: An argument is out of its range.

    Source:
        A. E. Siegman, Lasers, 1986, chapter 7 (homogeneous saturation); the values are round numbers.
    """

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        saturation: Annotated[float, Field(gt=0)] = 0.5,
        noise: Annotated[float, Field(ge=0)] = 0.0,
        droop: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        warm_up: Annotated[float, Field(gt=0)] = 10.0,
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(gt=0)] = 1e-3,
        name: str = "amplifiers",
    ) -> None:
        if not saturation > 0:  # so that NaN fails too; an experiment file is held to the annotations besides
            raise SpecError(f"saturation of {name} must be > 0 W, got {saturation} W.")
        random = np.random.Generator(np.random.Philox(seed))
        matrix_DK = random.standard_normal((drives, 2 * responses)) / np.sqrt(2 * drives)
        # Not `@`: a row must have the same bits wherever it stands in a batch.
        self._product = RowProduct(torch.from_numpy(matrix_DK))
        self._saturation, self._noise, self._seed = saturation, noise, seed
        self._droop, self._warm_up = droop, warm_up
        self._clock = VirtualClock(seconds_per_pass=seconds_per_pass)
        self._gain_R, self._version = np.ones(responses), 0
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=DriveSpec(shape=(drives,), low=0.0, high=1.0, dtype="float32", domain="non_negative"),
            response=ResponseSpec(shape=(responses,), unit="W", dtype="float32"),
            nonlinearity=frozenset({"medium", "detector"}),
            repeatable=not noise and not droop,  # the same drive, the same response
            reproducible=not droop,  # the same drive and pass number, the same response
            stateful=droop > 0,  # what was played before, or when, decides as well
            cost=Cost(per_pass=seconds_per_pass, parameter_write=1e-2),
            array="torch",
            identity={"model": "Amplifiers", "seed": seed, "saturation": saturation, "noise": noise, "droop": droop},
        )

    @property
    def spec(self) -> SystemSpec:
        """What it is."""
        return self._spec

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play `drive`, shape `(n, drives)`, and read the photodiodes."""
        started = time.time()
        with torch.no_grad():
            response_NR = self.forward(drive, passes)
        return Reading(response=response_NR, started=started, stopped=time.time())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    # Differentiable: for the baselines that look through the physics. Leave it out where there is no gradient.

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`."""
        start_N = self._clock.advance(len(drive))
        real_NR, imag_NR = self._product(drive).chunk(2, dim=1)
        power_NR = real_NR.square() + imag_NR.square()
        warm_N1 = torch.from_numpy(1 - self._droop * np.exp(-start_N / self._warm_up)).to(power_NR)[:, None]
        response_NR = torch.from_numpy(self._gain_R).to(power_NR) * warm_N1 * power_NR
        response_NR = response_NR / (1 + power_NR / self._saturation)
        if self._noise:
            # Keyed by pass number: neither the order of the rows nor a retry changes it.
            response_NR = response_NR + self._noise * keyed_normal(self._seed, passes, response_NR.shape[1])
        return response_NR

    # Tunable: parameters that can be written. Leave it out where there are none.

    @property
    def parameters(self) -> Mapping[str, DriveSpec]:
        """The gain of each amplifier, 0 to 2."""
        return {"gain": DriveSpec(shape=self._spec.response.shape, low=0.0, high=2.0)}

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """Copies of the gains as they are."""
        return {"gain": self._gain_R.copy()}

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        """Set the gains, and return the number of writes so far.

        Raises:
            DriveError: A value is out of its bounds. Nothing was written.
        """
        gain_R = np.array(values.get("gain", ()), dtype=np.float64)
        if set(values) != {"gain"} or gain_R.shape != self._gain_R.shape or not ((gain_R >= 0) & (gain_R <= 2)).all():
            raise DriveError(
                f"parameters of {self._spec.name} must be gain, {len(self._gain_R)} numbers from 0 to 2, got "
                f"{' and '.join(sorted(values)) or 'none'} of shape {gain_R.shape}. Nothing was written."
            )
        self._gain_R, self._version = gain_R, self._version + 1
        return self._version

    # Stateful: so that a run can be resumed. Leave it out where nothing is remembered and nothing drifts.

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return all that the next response depends on beside the drive."""
        return {**self._clock.state(), **self.values}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        self._clock.restore(state)
        self._gain_R = np.array(state["gain"], dtype=np.float64)

    def reset(self) -> None:
        """Let the pump cool down. Gains stay as they were written."""
        self._clock.reset()
