"""The command line. Commands load when they run; a person's mistake is one line on stderr and an exit code.

==  =====================================================================
0   everything went well
1   a bug in simsparse: the traceback follows
2   wrong usage, or a file with mistakes
3   nothing in the model can be simulated
4   a ``--require`` condition or a validation target was missed
==  =====================================================================
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from simsparse.errors import FileError, SimsparseError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a × is no reason to fail in an ASCII terminal
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; only bugs leave as exceptions."""
    from cyclopts import CycloptsError

    from simsparse.cli.app import app

    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except SimsparseError as error:
        return _complain(error)
    except CycloptsError as error:
        return _misused(str(error))
    except SystemExit as leaving:  # --help and --version
        return leaving.code if isinstance(leaving.code, int) else 0
    except BrokenPipeError:
        # the reader of our output is gone; let the interpreter's own flush at exit not find that out again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _complain(error: SimsparseError) -> int:
    lines = error.mistakes if isinstance(error, FileError) else (" ".join(str(error).split("\n")),)
    for line in lines:
        sys.stderr.write(f"error: {line}\n")
    return error.exit_code


def _misused(message: str) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())} (simsparse --help lists commands and options)\n")
    return 2
