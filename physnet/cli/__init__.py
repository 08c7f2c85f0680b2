"""The command line: `physnet train`, `show`, `evaluate`, `predict`, `list`.

Exit codes: 0 done; 1 internal error; 2 bad input, before anything was touched; 3 stopped by a fault, session sound; 130
Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Sequence

from ..errors import PhysnetError
from .parser import parse

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words of the command line without the program's name; the process's own when None.

    Returns:
        The exit code.
    """
    try:
        chosen = parse(arguments)
        return int(chosen.command(chosen))
    except PhysnetError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped by SIGINT")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has gone (`physnet show RUN | head`): keep Python from complaining when it flushes at
        # exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        import traceback

        traceback.print_exc()
        _complain("this is a mistake in physnet, not in what you asked for. Please report it with the lines above.")
        return 1


def _complain(message: str) -> None:
    lines = [textwrap.fill(line, 100, break_long_words=False, break_on_hyphens=False) for line in message.splitlines()]
    print("physnet: " + "\n".join(lines), file=sys.stderr)
