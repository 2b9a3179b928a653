"""What the next daemon must know: one slot per instance in a memfd that the keeper holds.

A slot is one page, written by one pwrite: a daemon killed in the middle of it leaves the old page or the new one.
Slot 0 is the head: `nsvisor state VERSION`, then which program wrote it, a line each. Fields may be added to a slot and
readers pass over those that they do not know; the version grows where an older reader would go wrong.
"""

import os
import re
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from supervisor import __version__
from supervisor.policy.health import Health, Said
from supervisor.policy.restart import Status

VERSION = 2
SLOT_BYTES = 4096
_HEAD_BYTES = 8  # of a slot: length and CRC-32 of the JSON that follows
_FIRST = re.compile(rb"nsvisor state ([0-9]{1,9})\n(?:nsvisor ([!-~]{1,60})\n)?")


class UnreadableStateError(ValueError):
    """The file as a whole is of no version that is known here. The text goes on after "cannot be read: "."""


class InstanceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instance, as a daemon left it."""

    instance: str
    spec: int | None  # digest of the effective spec: the next daemon may have read another. None: nobody knows
    status: Status
    started_at: float | None = None  # wall clock
    exec_at: float | None = None  # CLOCK_MONOTONIC
    paused_at: float | None = None  # the same; whether it is paused, its cgroup says
    asked_to_stop: bool = False  # its stop signal was sent, not only decided on
    health: Health | None = None
    said: Said | None = None


def _from_1(table: dict[str, Any]) -> dict[str, Any]:
    """Version 1 hashed every key of a spec, with defaults: one more key in a newer program changed all digests."""
    return {**table, "spec": None}


_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}  # version -> to the next one


class StateFile:
    """The memfd. Slots are given out once and freed by an empty page."""

    def __init__(self, fd: int = -1) -> None:
        """fd: one that a keeper held for us; nothing is written to it before save() or forget()."""
        self.fd = os.memfd_create("state", os.MFD_CLOEXEC) if fd < 0 else fd
        self.version = VERSION  # load() finds out
        self.damaged = 0  # slots that load() could not read
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._next = 1
        if fd < 0:
            head = b"nsvisor state %d\nnsvisor %s\n" % (VERSION, __version__.encode())
            os.pwrite(self.fd, head.ljust(SLOT_BYTES, b"\0"), 0)

    def load(self) -> dict[str, InstanceState]:
        """Read every slot, of this version or an older one; broken ones are left out. UnreadableStateError."""
        self.version = self._read_version()
        found: dict[str, InstanceState] = {}
        self._next = max(1, os.fstat(self.fd).st_size // SLOT_BYTES)
        for slot in range(1, self._next):
            page = os.pread(self.fd, SLOT_BYTES, slot * SLOT_BYTES)
            state = self._decode(page)
            if state is None:
                self._free.append(slot)
                self.damaged += any(page)
            else:
                found[state.instance] = state
                self._slots[state.instance] = slot
        return found

    def _read_version(self) -> int:
        match = _FIRST.match(os.pread(self.fd, SLOT_BYTES, 0))
        if match is None:
            raise UnreadableStateError("it does not begin as a state of nsvisor does")
        version = int(match[1])
        if not 1 <= version <= VERSION:
            writer = f"nsvisor {match[2].decode()}" if match[2] else "another nsvisor"
            raise UnreadableStateError(
                f"it has version {version}, written by {writer}; this is nsvisor {__version__}, "
                f"which reads versions 1 to {VERSION}"
            )
        return version

    def _decode(self, page: bytes) -> InstanceState | None:
        length = int.from_bytes(page[:4], "little")
        data = page[_HEAD_BYTES : _HEAD_BYTES + length]
        if not length or zlib.crc32(data) != int.from_bytes(page[4:_HEAD_BYTES], "little"):
            return None
        try:
            if self.version == VERSION:
                return msgspec.json.decode(data, type=InstanceState)
            table = msgspec.json.decode(data, type=dict[str, Any])
            for version in range(self.version, VERSION):
                table = _MIGRATIONS[version](table)
            return msgspec.convert(table, InstanceState)
        except msgspec.MsgspecError:
            return None

    def save(self, state: InstanceState) -> None:
        """Write an instance's slot in place. pread and pwrite only: the offset is shared with other holders."""
        data = msgspec.json.encode(state)
        if len(data) > SLOT_BYTES - _HEAD_BYTES:  # only max_restarts in the hundreds gets there: keep the newest
            starts = state.status.starts[-100:]
            data = msgspec.json.encode(
                msgspec.structs.replace(state, status=msgspec.structs.replace(state.status, starts=starts))
            )
        slot = self._slots.get(state.instance)
        if slot is None:
            slot = self._free.pop() if self._free else self._next
            self._next = max(self._next, slot + 1)
            self._slots[state.instance] = slot
        page = len(data).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data
        os.pwrite(self.fd, page.ljust(SLOT_BYTES, b"\0"), slot * SLOT_BYTES)

    def forget(self, instance: str) -> None:
        """Free an instance's slot."""
        slot = self._slots.pop(instance, None)
        if slot is not None:
            os.pwrite(self.fd, bytes(SLOT_BYTES), slot * SLOT_BYTES)
            self._free.append(slot)


def take_over(fd: int) -> tuple[StateFile, dict[str, InstanceState]]:
    """Go on with a state that another daemon left. UnreadableStateError: the descriptor is the caller's still.

    One of an older version is left as it is, and copied to a new file: until the keeper holds that, who cannot go on
    leaves the old one to the old program.
    """
    file = StateFile(fd)
    states = file.load()
    if file.version == VERSION:
        return file, states
    fresh = StateFile()
    fresh.damaged = file.damaged
    for state in states.values():
        fresh.save(state)
    os.close(fd)
    return fresh, states
