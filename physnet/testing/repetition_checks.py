"""Checks that a system repeats itself as it says: repeatable, reproducible, with a state that can be put back.

A check yields a message for each thing that is wrong: what was found, what was expected, and the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from physnet.contracts import Differentiable, Stateful

from .bench import Bench, as_numpy, distance


def check_repeatable(bench: Bench) -> Iterator[str]:
    """Declared repeatable: the same drive gives the same response under any pass number."""
    system = bench.factory()
    if not system.spec.repeatable:
        return
    with system:
        drive, passes = bench.drives(system.spec), bench.passes(2 * bench.rows)
        first, second = (bench.response(system, drive, part) for part in (passes[: bench.rows], passes[bench.rows :]))
    if not np.array_equal(first, second, equal_nan=True):
        yield (
            "a system declared repeatable must give the same response to the same drive, "
            f"got a difference of up to {distance(first, second):g}. Declare repeatable=False."
        )


def check_reproducible(bench: Bench) -> Iterator[str]:
    """Declared reproducible: the same drive and pass number give the same response.

    In another order and other batches as well, unless the system declares that it remembers; then after `reset`.
    """
    system = bench.factory()
    spec = system.spec
    if not spec.reproducible:
        return
    with system:
        drive, passes = bench.drives(spec), bench.passes(bench.rows)
        first = bench.response(system, drive, passes)
        if spec.stateful and isinstance(system, Stateful):
            system.reset()
        second = bench.response(system, drive, passes)
        if not np.array_equal(first, second, equal_nan=True):
            yield (
                "a system declared reproducible must give the same response to the same drive and pass number, "
                f"got a difference of up to {distance(first, second):g}. Key what varies by the pass number, "
                "or declare reproducible=False."
            )
            return
        if spec.stateful:
            return
        order = np.random.Generator(np.random.Philox(bench.seed)).permutation(bench.rows)
        index = torch.from_numpy(order).to(spec.device) if isinstance(drive, torch.Tensor) else order
        shuffled = np.empty_like(first)
        cut = 1 + bench.rows // 3  # two batches of unlike size
        for part in (slice(0, cut), slice(cut, bench.rows)):
            if len(order[part]):
                shuffled[order[part]] = bench.response(system, drive[index[part]], passes[order[part]])
    if not np.array_equal(first, shuffled, equal_nan=True):
        yield (
            "a system declared reproducible must answer a row alike in any order and batch, "
            f"got a difference of up to {distance(first, shuffled):g}. Compute each row with the same operations "
            "wherever it stands (matrix products of a fixed height), or declare reproducible=False."
        )


def check_state(bench: Bench) -> Iterator[str]:
    """Declared stateful: it can be saved, put back and reset; a simulated one then repeats itself exactly."""
    system = bench.factory()
    spec = system.spec
    if not spec.stateful:
        return
    if not isinstance(system, Stateful):
        if spec.kind in ("simulated", "twin"):
            yield "a stateful simulator must have state, restore and reset (contracts.Stateful), got none."
        return
    with system:
        drive = bench.drives(spec, 2 * bench.rows)
        passes = bench.passes(2 * bench.rows)
        fresh = bench.response(system, drive[: bench.rows], passes[: bench.rows])
        saved = {name: np.array(value) for name, value in dict(system.state()).items()}
        if not isinstance(system.state(), Mapping):
            yield f"state must return a mapping of names to arrays, got {type(system.state()).__name__}."
        after = bench.response(system, drive[bench.rows :], passes[bench.rows :])
        system.restore(saved)
        again = bench.response(system, drive[bench.rows :], passes[bench.rows :])
        system.reset()
        anew = bench.response(system, drive[: bench.rows], passes[: bench.rows])
    if spec.kind not in ("simulated", "twin"):
        return
    if not np.array_equal(after, again, equal_nan=True):
        yield (
            "restore must put back everything the next response depends on, "
            f"got a difference of up to {distance(after, again):g}. Something is missing in state, or shared with it."
        )
    if not np.array_equal(fresh, anew, equal_nan=True):
        yield (
            "reset must bring back the system as it was built, "
            f"got a difference of up to {distance(fresh, anew):g}. Something survives it."
        )


def check_forward(bench: Bench) -> Iterator[str]:
    """Differentiable: `forward` gives the numbers of `measure`, and a finite gradient."""
    system = bench.factory()
    if not isinstance(system, Differentiable):
        return
    with system:
        drive = bench.drives(system.spec)
        measured = bench.response(system, drive)
    with bench.factory() as twin:
        leaf = torch.as_tensor(drive).clone().requires_grad_()
        size = twin.spec.max_batch or bench.rows
        passes = bench.passes(bench.rows)
        parts = [
            twin.forward(leaf[k : k + size], passes[k : k + size])  # type: ignore[attr-defined]
            for k in range(0, bench.rows, size)
        ]
        computed = torch.cat(parts)
        if not np.array_equal(as_numpy(computed), measured, equal_nan=True):
            yield (
                "forward must give the same numbers as measure, "
                f"got a difference of up to {distance(as_numpy(computed), measured):g}. Let measure call forward."
            )
        if not computed.requires_grad:
            yield "forward must keep the graph from drive to response, got a detached response."
            return
        (gradient,) = torch.autograd.grad(computed.abs().sum(), leaf)
        if not bool(torch.isfinite(gradient).all()):
            yield "the gradient through forward must be finite, got NaN or infinity. Mind square roots at 0."
