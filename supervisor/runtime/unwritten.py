"""How much of each instance's output was read, and is neither in its log nor told as lost: for the next daemon to see.

A file in the runtime directory, mapped: a store is there for the next daemon at once and costs no system call. One slot
for each instance: its name, the bytes, and which streams were last read in the middle of a line.
"""

import os
from collections.abc import Container
from contextlib import suppress

from supervisor.kernel.shared_memory import map_shared
from supervisor.telemetry.bus import EventBus

MAGIC = b"nsvisor unwritten 1\n"  # in slot 0
SLOT_BYTES = 256
SEGMENT_BYTES = 4096
_NAME_BYTES = SLOT_BYTES - 16
_BYTES, _CUT = _NAME_BYTES // 8, _NAME_BYTES // 8 + 1  # words of a slot
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
CUT = {"stdout": 1, "stderr": 2}


class Unwritten:
    """One instance's. What is counted is an upper limit at every moment: it is counted before, and settled after."""

    def __init__(self, words: memoryview | None = None) -> None:
        """words: of its slot; without it nobody else sees them."""
        self._words = memoryview(bytearray(SLOT_BYTES)).cast("Q") if words is None else words
        self.bytes = 0
        self.left_bytes: int = self._words[_BYTES]  # by an earlier daemon
        self._left_cut: int = self._words[_CUT]
        self._cut = 0

    def tell_left(self, bus: EventBus, **about: object) -> None:
        """Publish what an earlier daemon left, if anything; about: whose it is."""
        if self.left_bytes:
            cut = [stream for stream, bit in CUT.items() if self._left_cut & bit]
            bus.publish("log.lost", "warning", **about, lost_bytes_most=self.left_bytes, cut_streams=cut)
        self.left_bytes = self._left_cut = 0
        self.nothing_read()

    def reading(self, stream: str, most_bytes: int) -> None:
        """So much may be read now, up to the middle of a line; nothing_read(), or add() and note_line_end() follow."""
        self._words[_BYTES] = self.left_bytes + self.bytes + most_bytes
        self._words[_CUT] = self._cut | CUT[stream]

    def nothing_read(self) -> None:
        """There was nothing."""
        self._words[_BYTES] = self.left_bytes + self.bytes
        self._words[_CUT] = self._cut

    def add(self, size_bytes: int) -> None:
        """So much was read."""
        self.bytes += size_bytes
        self._words[_BYTES] = self.left_bytes + self.bytes

    def settle(self, size_bytes: int) -> None:
        """So much is in the log now, or told as lost."""
        self.add(-size_bytes)

    def note_line_end(self, stream: str, *, cut: bool) -> None:
        """Whether what was read last of a stream had no line end."""
        self._cut = self._cut | CUT[stream] if cut else self._cut & ~CUT[stream]
        self._words[_CUT] = self._cut


class UnwrittenFile:
    """All of them."""

    def __init__(self, path: str, bus: EventBus) -> None:
        """What an earlier daemon left at this path is gone on with."""
        self._path = path
        self._bus = bus
        self._segments: list[memoryview] = []
        self._slots: dict[str, memoryview] = {}
        self._free: list[memoryview] = []
        self._failed = False
        try:
            self._load()
        except OSError as error:
            self._fail(error)

    def _load(self) -> None:
        fd = os.open(self._path, _FLAGS, 0o600)
        try:
            if os.pread(fd, len(MAGIC), 0) != MAGIC:
                os.ftruncate(fd, 0)
            for _ in range(os.fstat(fd).st_size // SEGMENT_BYTES):
                self._map(fd)
            if not self._segments:
                os.posix_fallocate(fd, 0, SEGMENT_BYTES)
                self._map(fd)
                os.pwrite(fd, MAGIC, 0)
        finally:
            os.close(fd)

    def _map(self, fd: int) -> None:
        """The next segment, whose room on the disk is there: a store must not fail."""
        segment = map_shared(fd, SEGMENT_BYTES, len(self._segments) * SEGMENT_BYTES)
        first = SLOT_BYTES if not self._segments else 0
        self._segments.append(segment)
        for at in range(first, SEGMENT_BYTES, SLOT_BYTES):
            slot = segment[at : at + SLOT_BYTES]
            name = bytes(slot[:_NAME_BYTES]).rstrip(b"\0").decode(errors="replace")
            if name:
                self._slots[name] = slot
            else:
                self._free.append(slot)

    def of(self, instance: str) -> Unwritten:
        """Its slot, a new one where it has none."""
        slot = self._slots.get(instance) or self._new(instance.encode())
        if slot is None:
            return Unwritten()
        self._slots[instance] = slot
        return Unwritten(slot.cast("Q"))

    def _new(self, name: bytes) -> memoryview | None:
        if len(name) > _NAME_BYTES or not self._segments:
            return None
        if not self._free:
            try:
                fd = os.open(self._path, _FLAGS, 0o600)
                try:
                    os.posix_fallocate(fd, len(self._segments) * SEGMENT_BYTES, SEGMENT_BYTES)
                    self._map(fd)
                finally:
                    os.close(fd)
            except OSError as error:
                self._fail(error)
                return None
        slot = self._free.pop()
        slot[_NAME_BYTES:] = bytes(SLOT_BYTES - _NAME_BYTES)
        slot[: len(name)] = name
        return slot

    def forget(self, instance: str) -> None:
        """Free its slot."""
        slot = self._slots.pop(instance, None)
        if slot is not None:
            slot[:] = bytes(SLOT_BYTES)
            self._free.append(slot)

    def others(self, instances: Container[str]) -> list[str]:
        """Names that an earlier daemon had, and `instances` does not hold."""
        return [name for name in self._slots if name not in instances]

    def close(self) -> None:
        """An orderly end: there is nothing to go on with."""
        with suppress(OSError):  # it is gone, or somebody has put something else there
            os.unlink(self._path)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._bus.publish(
                "log.unwatched", "warning", path=self._path, error=f"{error.strerror or error}: {self._path}"
            )
