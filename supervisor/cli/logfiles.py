"""Reading the log files of instances: the past by parts, and the present as it is written, across rotations.

A file holds JSON lines; FILE.1 is the one before it, FILE.2 the one before that. Lines are bytes here, without their
ends.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

BLOCK_BYTES = 64 * 1024
Wanted = Callable[[bytes], bool]


class LogReader:
    """One instance's log."""

    def __init__(self, path: str) -> None:
        """The file need not exist yet."""
        self._path = path
        self._descriptor: int | None = None
        self._offset = 0
        self._rest = b""
        self._open()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def last(self, count: int, wanted: Wanted) -> list[bytes]:
        """The last lines that are wanted, oldest first. Call it once, before `fresh`."""
        if self._descriptor is None:
            return []
        size = os.fstat(self._descriptor).st_size
        self._offset = size - _unfinished(self._descriptor, size)
        found: list[bytes] = []
        for line in self._backwards() if count > 0 else ():
            if wanted(line):
                found.append(line)
                if len(found) == count:
                    break
        return found[::-1]

    def everything(self) -> Iterator[bytes]:
        """Every line there is, oldest first. Read it to its end, once, before `fresh`."""
        with _closing(self._older()) as older:
            for descriptor in reversed(older):
                yield from _lines(descriptor)
        yield from self.fresh()

    def fresh(self) -> Iterator[bytes]:
        """Whole lines that were not read yet, of this file and of those that came after it."""
        if self._descriptor is None and not self._open():
            return
        yield from self._read()
        for newer in self._newer():
            # Only now: whoever renamed the file may have written to it after it was read above.
            yield from self._read()
            self.close()
            self._descriptor, self._offset, self._rest = newer, 0, b""
            yield from self._read()

    def _open(self) -> bool:
        self._descriptor = _open(self._path)
        self._offset, self._rest = 0, b""
        return self._descriptor is not None

    def _read(self) -> Iterator[bytes]:
        assert self._descriptor is not None  # noqa: S101 for the type checker
        while block := os.pread(self._descriptor, BLOCK_BYTES, self._offset):
            self._offset += len(block)
            *whole, self._rest = (self._rest + block).split(b"\n")
            yield from whole

    def _older(self) -> list[int]:
        """Descriptors of the files before this one, newest first."""
        found: dict[int, int] = {}  # by inode: a rotation meanwhile shows a file twice
        own = None if self._descriptor is None else os.fstat(self._descriptor).st_ino
        for descriptor in self._descriptors(1):
            inode = os.fstat(descriptor).st_ino
            if inode == own:  # rotated since it was opened: only what comes after is older
                _close_all(found)
            if inode == own or inode in found:
                os.close(descriptor)
            else:
                found[inode] = descriptor
        return list(found.values())

    def _newer(self) -> list[int]:
        """Descriptors of the files after this one, oldest first; empty while it is the present one."""
        assert self._descriptor is not None  # noqa: S101 for the type checker
        own = os.fstat(self._descriptor).st_ino
        found: dict[int, int] = {}
        # Where it is nowhere any more it was deleted by its age: what is there is newer.
        for descriptor in self._descriptors(0):
            inode = os.fstat(descriptor).st_ino
            if inode == own or inode in found:
                os.close(descriptor)
            else:
                found[inode] = descriptor
            if inode == own:
                break
        return list(found.values())[::-1]

    def _descriptors(self, first: int) -> Iterator[int]:
        """Open the files from this number on. Upwards, as a rotation moves them: none slips through meanwhile.

        A rotation also leaves a gap for a moment.
        """
        directory, name = os.path.split(self._path)
        try:
            present = os.listdir(directory or ".")
        except FileNotFoundError:
            return
        suffixes = (one[len(name) + 1 :] for one in present if one.startswith(f"{name}."))
        highest = max((int(suffix) for suffix in suffixes if suffix.isdecimal()), default=0)
        for number in range(first, highest + 2):
            descriptor = _open(f"{self._path}.{number}" if number else self._path)
            if descriptor is not None:
                yield descriptor

    def _backwards(self) -> Iterator[bytes]:
        """Whole lines, newest first, of this file and those before it."""
        assert self._descriptor is not None  # noqa: S101 for the type checker
        yield from _reversed_lines(self._descriptor, self._offset)
        with _closing(self._older()) as older:
            for descriptor in older:
                yield from _reversed_lines(descriptor, os.fstat(descriptor).st_size)


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _closing(descriptors: list[int]) -> Iterator[list[int]]:
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _close_all(descriptors: dict[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)
    descriptors.clear()


def _lines(descriptor: int) -> Iterator[bytes]:
    rest = b""
    offset = 0
    while block := os.pread(descriptor, BLOCK_BYTES, offset):
        offset += len(block)
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _reversed_lines(descriptor: int, end: int) -> Iterator[bytes]:
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        block = os.pread(descriptor, end - start, start) + rest
        end = start
        rest, *whole = block.split(b"\n")
        for line in reversed(whole):
            if line:
                yield line
    if rest:
        yield rest


def _unfinished(descriptor: int, size: int) -> int:
    """How many bytes at the end belong to a line that is still being written."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            return size - (start + at + 1)
        end = start
    return size
