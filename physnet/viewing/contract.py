"""The optional protocols of a system that shows its inside. A black box needs none of them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..contracts import PhysicalSystem
from .picture import Field, Geometry

FRAMES, PIXELS = 96, 40_000
"""Most frames of a movie, and most numbers of one frame of it."""


@runtime_checkable
class Viewable(Protocol):
    """A simulator whose parts and field can be looked at. Training never does."""

    def geometry(self) -> Geometry:
        """Return where things are."""
        ...

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Field:
        """Return what happens inside for one row of drive, by the numbers that `measure` goes through.

        It begins where the next row would begin, and changes nothing.

        Args:
            drive: One row, shape `spec.drive.shape`, within the declared range.
            frames: Most frames.
            pixels: Most numbers of one image of a frame.
        """
        ...


@runtime_checkable
class Wrapper(Protocol):
    """A system that stands around another one, such as impairments: the field is that of the other one."""

    @property
    def system(self) -> PhysicalSystem:
        """The other system."""
        ...

    def sent(self, drive: Any) -> Any:
        """Return what reaches the other system of rows of drive."""
        ...


def field_of(system: PhysicalSystem, drive: NDArray[Any]) -> tuple[Viewable | None, NDArray[Any], bool]:
    """Find what shows a field within a system.

    Args:
        system: The system, perhaps a wrapper around another one.
        drive: One row, as the outermost system gets it.

    Returns:
        What can be looked at, or None; the row as it gets there; and whether something stands around it.
    """
    import torch

    wrapped = False
    while not isinstance(system, Viewable) and isinstance(system, Wrapper):
        rows = system.sent(torch.from_numpy(drive[None]) if system.spec.array == "torch" else drive[None])
        drive, system, wrapped = np.asarray(rows)[0], system.system, True
    return (system if isinstance(system, Viewable) else None), drive, wrapped
