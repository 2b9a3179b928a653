"""The book of addresses on disk: read whole, replaced whole."""

import os

import msgspec

from supervisor.runtime.whole_file import replace

VERSION = 1


class BridgeLines(msgspec.Struct, frozen=True):
    """One bridge's."""

    subnet: str
    addresses: dict[str, str]  # by instance


class AddressFile(msgspec.Struct, frozen=True):
    """All of it."""

    owner: str  # a name of this state directory, in the aliases of its network devices
    bridges: dict[str, BridgeLines] = {}
    version: int = VERSION


class AddressFileError(Exception):
    """The book is there and cannot be read: which, why, and what to do."""


def read(path: str) -> AddressFile | None:
    """The book; None where there is none. AddressFileError."""
    try:
        with open(path, "rb") as file:
            kept = msgspec.json.decode(file.read(), type=AddressFile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise AddressFileError(f"cannot read {path}: {error}; remove it, and workers are given new addresses") from None
    if kept.version != VERSION:
        raise AddressFileError(
            f"cannot read {path}: version {kept.version}, written by another nsvisor; this one reads {VERSION}"
        )
    return kept


def write(path: str, book: AddressFile) -> None:
    """Replace it as a whole. OSError: it is as it was."""
    replace(path, msgspec.json.format(msgspec.json.encode(book), indent=1))


def new_owner() -> str:
    """A name that nobody else has."""
    return os.urandom(4).hex()
