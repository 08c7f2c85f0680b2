"""Where and with what a run was made."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import h5py

PACKAGES = ("physnet", "numpy", "torch", "h5py", "scipy", "scikit-learn")
_PATIENCE = 2.0  # seconds for git: a repository on a network may be slow


@functools.cache
def version(package: str) -> str:
    """Version of an installed package, or `not installed`."""
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return "not installed"
    # `metadata.version` decodes all of the file as a mail: 1.4 ms a package
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    line = re.search(r"^Version:[ \t]*(\S+)", text, re.MULTILINE)
    return line[1] if line else found.version


def describe() -> dict[str, Any]:
    """Python, platform, package versions, git commit and command line, as plain values.

    The host's name and the user's are left out: sessions are shared.
    """
    with asked() as answer:
        return answer()


@contextlib.contextmanager
def asked() -> Iterator[Callable[[], dict[str, Any]]]:
    """Begin to look, and give what returns what `describe` does: git looks meanwhile, in a process of its own."""
    git = _ask("status", "--porcelain=v2", "--branch", "--untracked-files=no")

    def answer() -> dict[str, Any]:
        torch = sys.modules.get("torch")
        described = {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "threads": torch.get_num_threads() if torch is not None else None,
            "versions": {**{name: version(name) for name in PACKAGES}, "hdf5": h5py.version.hdf5_version},
        }
        said = _heard(git).splitlines()
        commit = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", "\n".join(said), re.MULTILINE)
        return {
            **described,
            "git_commit": commit[1] if commit else "",
            "git_changes": any(not line.startswith("#") for line in said),
            "command_line": list(sys.argv),
        }

    try:
        yield answer
    finally:
        if git is not None:
            with git:
                git.kill()


def _ask(*arguments: str) -> subprocess.Popen[str] | None:
    """Ask git about the working directory; None where there is no git."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        return subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            # It is killed when it takes too long: with a lock of the index, that would stay in the user's repository.
            [git, "--no-optional-locks", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
    except (OSError, ValueError):
        return None


def _heard(git: subprocess.Popen[str] | None) -> str:
    """What git says; empty where there is none, or no repository, or it takes too long."""
    if git is None:
        return ""
    try:
        said, _ = git.communicate(timeout=_PATIENCE)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return said if git.returncode == 0 else ""
