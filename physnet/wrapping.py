"""Systems that stand around another one, such as impairments."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .contracts import PhysicalSystem


@runtime_checkable
class Wrapper(Protocol):
    """A system around another one."""

    @property
    def system(self) -> PhysicalSystem:
        """The other one."""
        ...


def innermost(system: PhysicalSystem) -> PhysicalSystem:
    """Return what a system is wrapped around, through all wrappers; the system itself where it is none."""
    while isinstance(system, Wrapper) and isinstance(system.system, PhysicalSystem):
        system = system.system
    return system
