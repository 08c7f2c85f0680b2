"""What run folders are called."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path


def new_run_folder(parent: Path, name: str) -> Path:
    """Name a run folder that does not exist yet: `name-20260131-235959`, with `-2`, `-3` ... where that is taken.

    Args:
        parent: Folder of the runs; it need not exist.
        name: What the run is called; what a file name can't hold becomes `-`.

    Returns:
        The path. Nothing is created: `Session.create` does that.
    """
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "run"
    first = Path(parent) / f"{plain}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path, number = first, 1
    while os.path.lexists(path):
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    return path
