"""Tasks that are still to do, done: kept one by one as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .store import Outcome, Store
from .tasks import Task
from .workers import Workers

Tell = Callable[[Task, Outcome, int], None]
"""Called with a task that was just done, what came of it, and how many are left."""


def carry_out(
    tasks: Iterable[Task],
    store: Store,
    *,
    jobs: int,
    device: str = "cpu",
    interrupted: Callable[[], None] | None = None,
    tell: Tell | None = None,
) -> None:
    """Do those of some tasks that are not in a store yet.

    Args:
        tasks: The tasks, in the order in which they are to begin.
        store: Where outcomes are kept, each before the next is looked at.
        jobs: Tasks at once.
        device: torch device of the digital part.
        interrupted: Called all the time; raises to end.
        tell: Hears of each.

    Raises:
        PhysnetError: What ended a task. What was done is kept.
    """
    left = {task.digest: task for task in tasks if store.get(task) is None}
    with Workers(min(jobs, max(1, len(left))), device=device) as workers:
        for task in left.values():
            workers.submit(task)
        for number in reversed(range(len(left))):
            task, outcome = workers.next(interrupted or (lambda: None))
            store.add(task, outcome)
            if tell is not None:
                tell(task, outcome, number)
