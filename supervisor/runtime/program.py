"""How this process was started, so that it can be started again."""

import os
import sys
from typing import NamedTuple

WRAPPERS = (
    "env",
    "sh",
)  # in a first line, in place of the interpreter: #!/usr/bin/env python3, or pip's for long paths


class Program(NamedTuple):
    """What execve(2) takes, but for the environment."""

    path: str
    arguments: tuple[str, ...]  # the first is the name


def this_program() -> Program:
    """The script that was called, or the interpreter with what it was given (`python -m supervisor daemon`).

    The script by its own first line: an upgrade may have brought another interpreter.
    """
    script = os.path.abspath(sys.argv[0])
    if sys.argv[0] in sys.orig_argv[1:] and _is_called_by_first_line(script, sys.orig_argv[0]):
        return Program(script, (script, *sys.argv[1:]))
    return Program(sys.executable, (sys.executable, *sys.orig_argv[1:]))


def _is_called_by_first_line(script: str, interpreter: str) -> bool:
    """Whether executing it starts the interpreter that runs now, and not another one."""
    try:
        with open(script, "rb") as file:
            line = file.readline(256)
    except OSError:
        return False
    if not line.startswith(b"#!") or not os.access(script, os.X_OK):
        return False
    named = os.fsdecode(line[2:].split()[0]) if line[2:].split() else ""
    return named == interpreter or os.path.basename(named) in WRAPPERS
