"""The book of slices on disk: read whole, replaced whole."""

import msgspec

from supervisor.policy.id_slices import Slice
from supervisor.runtime.whole_file import replace

VERSION = 1


class _File(msgspec.Struct):
    version: int
    slices: tuple[Slice, ...] = ()


class BookError(Exception):
    """The book is there and cannot be read: which, why, and what to do."""


def read(path: str) -> tuple[Slice, ...]:
    """The book; empty where there is none. BookError."""
    try:
        with open(path, "rb") as file:
            kept = msgspec.json.decode(file.read(), type=_File)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise BookError(f"cannot read {path}: {error}; remove it, and every worker is given new ids") from None
    if kept.version != VERSION:
        raise BookError(
            f"cannot read {path}: version {kept.version}, written by another nsvisor; this one reads {VERSION}"
        )
    return kept.slices


def write(path: str, book: tuple[Slice, ...]) -> None:
    """Replace it as a whole, on the disk before anybody uses it. OSError: it is as it was."""
    replace(path, msgspec.json.format(msgspec.json.encode(_File(VERSION, book)), indent=1))
