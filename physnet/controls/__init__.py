"""Controls: what the same data, seeds and rule give without the physics, and the verdict that follows.

`Study` runs the network and its controls for several seeds, resumably; `judge` turns accuracies into a verdict.
"""

from __future__ import annotations

from .kinds import CONTROLS, NETWORK, Plan, plan
from .statistics import Comparison, Verdict, compare, judge
from .store import FILE, ControlsFile, Training
from .study import Study

__all__ = [
    "CONTROLS",
    "FILE",
    "NETWORK",
    "Comparison",
    "ControlsFile",
    "Plan",
    "Study",
    "Training",
    "Verdict",
    "compare",
    "judge",
    "plan",
]
