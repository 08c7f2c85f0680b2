"""Characterise a system: play the list through a port, ask every question of what came back."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

import numpy as np
import torch

from ..contracts import PhysicalSystem
from ..passes import Purpose, pass_numbers
from ..port import Port
from ..seeding import derive_seed
from .analysis import Played, resolution_of
from .linearity import homogeneity, mixing, parity
from .noise import clipping, rank, signal_and_noise
from .order import drift, memory
from .plan import DEFAULT, Plan, make_plan
from .quantities import Characterisation, Quantity, Trace
from .words import sentences

BLOCK = 256
"""Rows presented at a time, between which a stop request is obeyed."""
_EPOCHS = 1 << 14


def characterise(
    system: PhysicalSystem,
    *,
    passes: int = DEFAULT,
    seed: int = 0,
    number: int = 0,
    retries: int = 3,
    name: str | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Characterisation:
    """Measure what a system does to its drives. Enter the system first: nothing is opened or closed here.

    Every drive is within the range and the joint limits of the spec, and goes through a port, for the purpose
    `CALIBRATE`. The port plays the list in the order of the plan, which has shuffled what must be shuffled.

    Args:
        system: The system, open.
        passes: How many rows to play; retries come on top.
        seed: Fixes drives, order and pass numbers: on a reproducible system the same seed gives the same numbers.
        number: 0 to 63, for several systems of one experiment: keeps their pass numbers apart.
        retries: How many times a row is presented again before the port gives up.
        name: What to call it; the spec's own name when None.
        interrupted: Called between batches; raises to stop.

    Returns:
        What was found; nothing is written.

    Raises:
        InputError: `passes` is out of range, or a drive or a response contradicts the spec.
        MeasurementError: Rows stayed unusable after all retries.
    """
    spec, began = system.spec, time.perf_counter()
    plan = make_plan(spec, passes=passes, seed=seed)
    port = Port(system, seed=seed, retries=retries, dtype=torch.float64)
    played = _play(port, plan, seed=seed, number=number, interrupted=interrupted or (lambda: None))
    quantities: dict[str, Quantity] = {}
    traces: dict[str, Trace] = {}
    for question in (signal_and_noise, rank, homogeneity, mixing, parity, memory, drift, clipping):
        answer = question(played)
        quantities |= answer.quantities
        traces |= answer.traces
    return Characterisation(
        name=name or spec.name,
        kind=spec.kind,
        system=spec.plain(),
        seed=seed,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        seconds=time.perf_counter() - began,
        count=port.count,
        plan=plan.passes,
        quantities=quantities,
        traces=traces,
        notes=plan.notes,
        sentences=sentences(quantities, spec, plan),
    )


def _play(port: Port, plan: Plan, *, seed: int, number: int, interrupted: Callable[[], None]) -> Played:
    """Play the list in order, in blocks that a stop request can come between."""
    responses, flags = [], []
    # Another seed is another measurement: its simulated noise must be another one too.
    epoch = derive_seed(seed, "characterisation passes") % _EPOCHS if seed else 0
    for block, first in enumerate(range(0, len(plan.drive_PD), BLOCK)):
        interrupted()
        rows = plan.drive_PD[first : first + BLOCK]
        passes = pass_numbers(Purpose.CALIBRATE, epoch=epoch, step=block, layer=number, rows=len(rows))
        reading = port.measure(rows, passes, ordered=True)
        responses.append(torch.as_tensor(reading.response).flatten(1).cpu().numpy())
        flags.append(reading.flags if reading.flags is not None else np.zeros(len(rows), np.uint8))
    response_PR = np.concatenate(responses)
    resolution, step = resolution_of(port.spec, plan, response_PR)
    return Played(
        spec=port.spec,
        plan=plan,
        response_PR=response_PR,
        flag_P=np.concatenate(flags),
        resolution=resolution,
        step=step,
        seed=seed,
    )
