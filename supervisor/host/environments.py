"""What a program outside the host view needs beside its own file: of a Python environment all, and its base."""

import os

from supervisor.spec.facts import HostFacts


def directories_of(command: str, facts: HostFacts) -> list[str]:
    """The directories to be bound so that an absolute command runs inside; those that the host view has are left out.

    Of a virtual environment that is the one with pyvenv.cfg and, where it lies elsewhere, the interpreter's prefix.
    """
    directory = os.path.dirname(command)
    environment = os.path.dirname(directory)
    try:
        with open(os.path.join(environment, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            settings = dict(line.split("=", 1) for line in file if "=" in line)
    except OSError:
        return [directory]
    home = next((value.strip() for key, value in settings.items() if key.strip() == "home"), "")
    base = os.path.dirname(os.path.realpath(home)) if home else ""
    return [environment, base] if base and not _is_shown(base, facts) else [environment]


def _is_shown(path: str, facts: HostFacts) -> bool:
    return any(path == entry.target or path.startswith(entry.target.rstrip("/") + "/") for entry in facts.view)
