"""What a daemon that re-executes itself leaves to the program that it becomes: descriptors, and what only it knew.

A sealed memfd. Its number is in the environment, and in it are those of the other descriptors.
"""

import fcntl
import os
from collections.abc import MutableMapping
from typing import Self

import msgspec

from supervisor.runtime.output import Stream, Tail
from supervisor.telemetry.bus import EventRecord

VARIABLE = "NSVISOR_REEXEC"
FORMAT = 1  # fields may be added; it grows where an older or a newer program would go wrong
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class HandoverError(Exception):
    """The environment says that there is something to take over, and there is not."""

    def __init__(self, why: str) -> None:
        super().__init__(f"cannot start: {VARIABLE} is set, and {why}; it is set by `nsvisor reexec` only: unset it")


class Descriptors(msgspec.Struct, frozen=True):
    """Open, and inherited."""

    runtime_lock: int
    state_lock: int
    control: int  # listening
    execution: int  # the same
    state: int  # the memfd: the keeper has it, too, unless it dies just now
    ids: int = -1  # the file whose locks tell whose ids are whose
    client: int = -1  # who asked for it, and awaits the answer


class Handover(msgspec.Struct, frozen=True):
    """All of it."""

    version: str  # of the program that leaves
    pid: int
    asked_at: float  # CLOCK_MONOTONIC
    fds: Descriptors
    last_event_id: int
    events: tuple[EventRecord, ...]  # for followers that come back
    tails: dict[str, dict[Stream, Tail]]  # by instance
    format: int = FORMAT

    def write(self) -> int:
        """Write it to a memfd: the descriptor."""
        fd = os.memfd_create("reexec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        rest = memoryview(msgspec.msgpack.encode(self, enc_hook=repr))
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return fd

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Take what was left to this process; None where it was started as others are. HandoverError."""
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 8):
            raise HandoverError(f"{text!r} is no descriptor")
        fd = int(text)
        try:
            handover = msgspec.msgpack.decode(_read(fd), type=cls)
        except msgspec.DecodeError as error:
            raise HandoverError(f"what descriptor {fd} holds is not for this program: {error}") from None
        if handover.pid != os.getpid():
            raise HandoverError(f"was meant for process {handover.pid}")
        for fd in msgspec.structs.astuple(handover.fds):
            if fd >= 0:
                os.set_inheritable(fd, False)
        return handover


def _read(fd: int) -> bytes:
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) != _SEALS:
            raise HandoverError(f"descriptor {fd} is not sealed")
        data = os.pread(fd, os.fstat(fd).st_size, 0)
    except OSError as error:
        raise HandoverError(f"descriptor {fd} cannot be read: {error.strerror}") from None
    os.close(fd)
    return data
