"""Resource limits of a process that runs already, set by its own user: prlimit(1)."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.accounts import Account


@contextmanager
def limited(user: Account, pid: int, name: str, soft: int) -> Iterator[None]:
    """Give a process this soft limit (nofile, nproc, as), and what it had back in the end."""
    command = ["prlimit", f"--pid={pid}", f"--{name}"]
    identity = user.identity()
    before = subprocess.run(
        [*command, "--raw", "--noheadings", "--output=SOFT"],
        check=True,
        capture_output=True,
        text=True,
        **identity,  # type: ignore[call-overload]
    ).stdout.strip()
    command.pop()
    subprocess.run([*command, f"--{name}={soft}:"], check=True, **identity)  # type: ignore[call-overload]
    try:
        yield
    finally:
        subprocess.run([*command, f"--{name}={before}:"], check=True, **identity)  # type: ignore[call-overload]


def lower(user: Account, pid: int, name: str, soft: int) -> None:
    """Give a process this soft limit for good."""
    identity = user.identity()
    subprocess.run(["prlimit", f"--pid={pid}", f"--{name}={soft}:"], check=True, **identity)  # type: ignore[call-overload]


def lowest_free(taken: set[int]) -> int:
    """The number that the next descriptor would get: as a limit, it leaves room for none."""
    return min(set(range(len(taken) + 1)) - taken)
