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
)
from .experiment import Experiment, load_experiment
from .function_system import system
from .layer import PhysicalLayer
from .network import LabelSlots, Network
from .port import Port
from .session import Run, Session, open_run
from .trainer import Trainer, TrainingOptions

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
    "Tunable",
    "load_experiment",
    "open_run",
    "system",
]
