"""Whether there is room for a run: a folder to write to, disk, and memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..experiment import Experiment
from .findings import Findings

_FREE = 0.9  # of what is free, the part that a run may plan with


def look_for_folder(experiment: Experiment, report: Findings) -> Path:
    """Return the nearest folder that exists where the run is to be written."""
    parent = Path(experiment.output.folder).absolute()
    name = experiment.output.name
    if name and os.path.lexists(parent / name):
        report.blame("output", f"run folder {parent / name} exists already. Choose another output.name.")
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        report.blame("output", f"{parent} must be a folder that you may write to. Choose another with --output.")
    return parent if parent.is_dir() else parent.parent


def look_for_disk(folder: Path, needed: int, report: Findings) -> None:
    """Compare what a run folder may come to with what is free, in bytes."""
    free = shutil.disk_usage(folder).free
    text = f"{_size(needed)} for the session, {_size(free)} free in {folder}"
    report.say("disk", text, disk_bytes=needed, disk_free_bytes=free)
    if needed > _FREE * free:
        report.blame("disk", f"a run takes up to {_size(needed)}, got {_size(free)} free in {folder}. Make room.")


def look_for_memory(needed: int, report: Findings) -> None:
    """Compare what a run takes with what is available, in bytes."""
    available = _available()
    has = f", {_size(available)} available" if available else ""
    report.say(
        "memory",
        f"about {_size(needed)} beside Python and torch, without what the systems themselves take{has}",
        memory_bytes=needed,
        memory_available_bytes=available or None,
    )
    if available and needed > _FREE * available:
        report.blame(
            "memory",
            f"a run needs about {_size(needed)}, got {_size(available)} available. Lower training.evaluation_batch or "
            "training.batch_size.",
        )


def _available() -> int:
    """Bytes that programs may still take, where the system tells; 0 elsewhere."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
