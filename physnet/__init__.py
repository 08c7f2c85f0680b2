"""physnet: train deep networks made of physical systems, with hardware in the loop and no model of the physics.

A first system in a few lines::

    import numpy as np
    import physnet


    @physnet.system(drives=20, responses=20, drive_range=(0, 1))
    def cavity(drive):  # (n, 20) in, (n, 20) out
        return np.abs(drive @ matrix)

`physnet.load_experiment` and the command `physnet train` run whole experiments; `Network`, `PhysicalLayer` and
`Trainer` are the parts for a notebook.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    # Waiting threads must spin briefly, then sleep: on a machine that does anything else beside (and an instrument PC
    # does), threads of GNU OpenMP that go on spinning make small steps a hundred times slower. See docs/decisions/0006.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from .callbacks import Callback
    from .contracts import (
        Cost,
        Differentiable,
        DriveSpec,
        Flag,
        PhysicalSystem,
        Reading,
        ResponseSpec,
        Stateful,
        SystemSpec,
        Tunable,
    )
    from .errors import (
        DataError,
        DriveError,
        ExperimentError,
        FaultError,
        InputError,
        MeasurementError,
        PhysnetError,
        ResponseError,
        SessionError,
        SpecError,
        Stopped,
        StorageError,
        TransportError,
    )
    from .experiment import Experiment, load_experiment
    from .function_system import system
    from .layer import PhysicalLayer
    from .network import LabelSlots, Network
    from .port import Port
    from .session import Run, Session, compare_runs, open_run
    from .trainer import Trainer
    from .training_options import TrainingOptions

_HOMES = {
    "Callback": "callbacks",
    "Cost": "contracts",
    "DataError": "errors",
    "Differentiable": "contracts",
    "DriveError": "errors",
    "DriveSpec": "contracts",
    "Experiment": "experiment",
    "ExperimentError": "errors",
    "FaultError": "errors",
    "Flag": "contracts",
    "InputError": "errors",
    "LabelSlots": "network",
    "MeasurementError": "errors",
    "Network": "network",
    "PhysicalLayer": "layer",
    "PhysicalSystem": "contracts",
    "PhysnetError": "errors",
    "Port": "port",
    "Reading": "contracts",
    "ResponseError": "errors",
    "ResponseSpec": "contracts",
    "Run": "session",
    "Session": "session",
    "SessionError": "errors",
    "SpecError": "errors",
    "Stateful": "contracts",
    "Stopped": "errors",
    "StorageError": "errors",
    "SystemSpec": "contracts",
    "Trainer": "trainer",
    "TrainingOptions": "training_options",
    "TransportError": "errors",
    "Tunable": "contracts",
    "compare_runs": "session",
    "load_experiment": "experiment",
    "open_run": "session",
    "system": "function_system",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `physnet --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


__all__ = [
    "Callback",
    "Cost",
    "DataError",
    "Differentiable",
    "DriveError",
    "DriveSpec",
    "Experiment",
    "ExperimentError",
    "FaultError",
    "Flag",
    "InputError",
    "LabelSlots",
    "MeasurementError",
    "Network",
    "PhysicalLayer",
    "PhysicalSystem",
    "PhysnetError",
    "Port",
    "Reading",
    "ResponseError",
    "ResponseSpec",
    "Run",
    "Session",
    "SessionError",
    "SpecError",
    "Stateful",
    "Stopped",
    "StorageError",
    "SystemSpec",
    "Trainer",
    "TrainingOptions",
    "TransportError",
    "Tunable",
    "compare_runs",
    "load_experiment",
    "open_run",
    "system",
]
