"""What the next daemon must know: one slot per instance in a memfd that the keeper holds.

A slot is one page, written by one pwrite: a daemon killed in the middle of it leaves the old page or the new one.
"""

import os
import zlib

import msgspec

from supervisor.policy.diff import FLEET_KEYS, LIVE_KEYS
from supervisor.policy.health import Health, Said
from supervisor.policy.restart import Status
from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Worker

MAGIC = b"nsvisor state 1\n"
SLOT_BYTES = 4096
_HEAD_BYTES = 8  # length and CRC-32 of the JSON that follows


class InstanceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instance, as a daemon left it."""

    instance: str
    spec: int  # CRC-32 of the effective spec: the next daemon may have read another
    status: Status
    started_at: float | None = None  # wall clock
    exec_at: float | None = None  # CLOCK_MONOTONIC
    paused_at: float | None = None  # the same; whether it is paused, its cgroup says
    health: Health | None = None
    said: Said | None = None


def digest(worker: Worker) -> int:
    """Tell specs apart by what a reload would launch anew for."""
    table: dict[str, object] = msgspec.to_builtins(worker)
    built_in = {key: value for key, value in table.items() if key not in LIVE_KEYS | FLEET_KEYS}
    if (notify := notify_variables(worker)) is not None:
        built_in["notify"] = notify
    return zlib.crc32(msgspec.json.encode(built_in, order="sorted"))


class StateFile:
    """The memfd. Slots are given out once and freed by an empty page."""

    def __init__(self, fd: int = -1) -> None:
        """fd: one that a keeper held for us."""
        self.fd = os.memfd_create("state", os.MFD_CLOEXEC) if fd < 0 else fd
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._next = 1  # slot 0 is the head
        if fd < 0:
            os.pwrite(self.fd, MAGIC.ljust(SLOT_BYTES, b"\0"), 0)

    def load(self) -> dict[str, InstanceState]:
        """Read every slot; broken ones are left out. ValueError where the file is not of this version."""
        if os.pread(self.fd, len(MAGIC), 0) != MAGIC:
            raise ValueError("the state was written by another version")
        found: dict[str, InstanceState] = {}
        self._next = max(1, os.fstat(self.fd).st_size // SLOT_BYTES)
        for slot in range(1, self._next):
            state = self._read(slot)
            if state is None:
                self._free.append(slot)
            else:
                found[state.instance] = state
                self._slots[state.instance] = slot
        return found

    def _read(self, slot: int) -> InstanceState | None:
        page = os.pread(self.fd, SLOT_BYTES, slot * SLOT_BYTES)
        length = int.from_bytes(page[:4], "little")
        data = page[_HEAD_BYTES : _HEAD_BYTES + length]
        if not length or zlib.crc32(data) != int.from_bytes(page[4:_HEAD_BYTES], "little"):
            return None
        try:
            return msgspec.json.decode(data, type=InstanceState)
        except msgspec.DecodeError:
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
