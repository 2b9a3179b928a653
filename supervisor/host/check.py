"""The result of one check of the host."""

from typing import Literal

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One line of `nsvisor doctor`.

    fail: a worker of this configuration cannot start; warn: it starts, with less than it could have.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    fix: str | None = None  # a command, or one sentence where no command does it


def read(path: str) -> str | None:
    """A small file's text without the white space around it, or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:  # absent or not ours to read: the caller says what that means
        return None
