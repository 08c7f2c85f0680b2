"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

import h5py

PACKAGES = ("physnet", "numpy", "torch", "h5py", "scipy", "scikit-learn")


def version(package: str) -> str:
    """Version of an installed package, or `not installed`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def describe() -> dict[str, Any]:
    """Python, platform, package versions, git commit and command line, as plain values.

    The host's name and the user's are left out: sessions are shared.
    """
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads() if torch is not None else None,
        "versions": {**{name: version(name) for name in PACKAGES}, "hdf5": h5py.version.hdf5_version},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "command_line": list(sys.argv),
    }


def _git(*arguments: str) -> str:
    """What git says about the working directory; empty where there is no git or no repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [git, *arguments], capture_output=True, text=True, timeout=2, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
