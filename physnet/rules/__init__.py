"""Local learning rules: how a layer changes its own digital weights from what it measured.

A rule is an objective, a gradient route, a schedule's needs and a read-out. `base` holds the contract; every rule has a
file of its own and is found by its entry point in the group `physnet.rules`.
"""

from .base import (
    Await,
    Batch,
    Learned,
    Learner,
    LearnSteps,
    LocalRule,
    Need,
    Placement,
    Present,
    Refeeds,
    Resumed,
    Write,
    Written,
)

__all__ = [
    "Await",
    "Batch",
    "LearnSteps",
    "Learned",
    "Learner",
    "LocalRule",
    "Need",
    "Placement",
    "Present",
    "Refeeds",
    "Resumed",
    "Write",
    "Written",
]
