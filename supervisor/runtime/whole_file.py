"""A small file that is replaced as a whole, or left as it was."""

import os
from contextlib import suppress


def replace(path: str, data: bytes) -> None:
    """Write it beside, to the disk, then in its place; mode 0600. OSError: it is as it was."""
    beside = f"{path}.new"
    try:
        with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, path)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        raise
