"""What is written to a programmable cavity and not driven row by row: elements that `configure` sets.

Axis letters: D channels of the trainable elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import DriveSpec
from physnet.errors import DriveError, SessionError

from .dipoles import Floats


class WrittenElements:
    """The trainable elements: what they are, and what may be written.

    Args:
        spec: Their channels, like those of the drive; None where there are none.
        name: Of the cavity, for messages.
    """

    def __init__(self, spec: DriveSpec | None, *, name: str) -> None:
        self._name = name
        self.parameters: Mapping[str, DriveSpec] = {} if spec is None else {"elements": spec}
        """Them as `elements`, where there are any."""
        self.value_D: Floats = np.zeros(0 if spec is None else spec.channels)
        """What was written last; 0 before."""
        self.version = 0
        """Writes so far."""

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """A copy of `elements` as they are, where there are any."""
        return {name: self.value_D.copy() for name in self.parameters}

    def write(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Check new values and keep them.

        Raises:
            DriveError: A name, a shape or a value is not one of `parameters`. Nothing was kept.
        """
        if set(values) != set(self.parameters) or not values:
            raise DriveError(
                f"parameters of {self._name} must be {' and '.join(self.parameters) or 'none'}, "
                f"got {' and '.join(sorted(values)) or 'none'}. Set `trainable` for elements that can be written."
            )
        spec, value_D = self.parameters["elements"], np.asarray(values["elements"], dtype=np.float64)
        inside = (value_D >= 0) & (value_D <= 1)
        if spec.domain == "binary":
            inside &= (value_D == 0) | (value_D == 1)
        if value_D.shape != spec.shape or not bool(np.all(inside)):
            rule = "0 or 1" if spec.domain == "binary" else "0 to 1"
            raise DriveError(
                f"elements of {self._name} must be {spec.channels} numbers, each {rule}, got shape "
                f"{value_D.shape} and {np.count_nonzero(~inside)} others. Nothing was written."
            )
        self.value_D = value_D.copy()
        self.version += 1

    def changed(self, state: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return the parameters in a saved state that differ from what was written last.

        Raises:
            SessionError: `state` lacks one.
        """
        for name in self.parameters:
            if name not in state:
                raise SessionError(
                    f"a state of {self._name} must hold {name}, got {sorted(state)}. Another system saved it."
                )
        return {name: state[name] for name in self.parameters if not np.array_equal(state[name], self.value_D)}
