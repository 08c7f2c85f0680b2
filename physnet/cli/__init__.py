"""The command line: `physnet train`, `watch`, `show`, `report`, `controls`, `characterise`, `check`, ...

Exit codes: 0 done; 1 internal error; 2 bad input, before any training; 3 stopped by a fault, session sound; 130
Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..errors import FaultError, PhysnetError
from ..printable import printable
from .parser import parse

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words of the command line without the program's name; the process's own when None.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        # A run or a class may have a name that this terminal can't spell.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        chosen = parse(arguments)
        code = int(chosen.command(chosen))
        if sys.stdout is not None:
            # Here, where a failure still has a message and an exit code.
            sys.stdout.flush()
        return code
    except PhysnetError as error:
        _complain(str(error), *getattr(error, "__notes__", []))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped by SIGINT")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has gone (`physnet show RUN | head`): what was asked for is done.
        _drop_output()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _drop_output()
            _complain(f"the disk is full: {error}. Free some space. What a run recorded is in its folder.")
            return FaultError.exit_code
        traceback.print_exc()
        _complain(_blame(error))
        return 1


def _drop_output() -> None:
    """Keep Python from complaining when it flushes, at exit, what can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _blame(error: Exception) -> str:
    """Say whose mistake an unexpected exception is: the code that ran last before the libraries took over."""
    # Not resolved: in a checkout, drivers and simulators are reached through links in this folder.
    own = Path(__file__).absolute().parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename).absolute()
        if file.is_relative_to(own):
            break
        if file.is_file() and not {"site-packages", "dist-packages"} & set(file.parts) and not _is_python_itself(file):
            return f"{type(error).__name__} in {file}, line {frame.lineno}: {error}. Correct that file and start again."
    return "this is a mistake in physnet, not in what you asked for. Please report it with the lines above."


def _is_python_itself(file: Path) -> bool:
    return file.is_relative_to(Path(os.__file__).absolute().parent)


def _complain(message: str, *commands: str) -> None:
    """Print a message, and below it what must not be broken into lines, because people copy it."""
    if sys.stderr is None:
        return
    said = printable(message).splitlines()
    lines = [textwrap.fill(line, 100, break_long_words=False, break_on_hyphens=False) for line in said]
    print("physnet: " + "\n".join([*lines, *commands]), file=sys.stderr)
