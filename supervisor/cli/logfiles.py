"""Reading log files: the past by parts, and the present as it is written, across rotations and truncations.

A file holds JSON lines; FILE.1 is the one before it, FILE.2 the one before that. Lines are bytes here, without their
ends.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

BLOCK_BYTES = 64 * 1024
Complain = Callable[[OSError], None]


def _raise(error: OSError) -> None:
    raise error


class LogReader:
    """One log: of an instance, or the daemon's own records."""

    def __init__(self, path: str, complain: Complain = _raise) -> None:
        """The file need not exist yet. complain: is told of what is there and cannot be read, again and again."""
        self._path = path
        self._complain = complain
        self._offset = 0  # always at the end of a line: a writer may cut off one that it could not finish
        self._descriptor = self._open(path)
        if self._descriptor is None:  # between the two steps of a rotation
            self._descriptor = self._open(f"{path}.1")

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def newest_first(self) -> Iterator[bytes]:
        """Every whole line there is, backwards, as far as it is read. Call it once, before `fresh`."""
        if self._descriptor is None:
            return iter(())
        size = os.fstat(self._descriptor).st_size
        self._offset = size - _unfinished(self._descriptor, size)
        return self._backwards(self._descriptor, self._offset)

    def _backwards(self, descriptor: int, end: int) -> Iterator[bytes]:
        yield from _reversed_lines(descriptor, end)
        with _closing(self._older()) as older:
            for one in older:
                yield from _reversed_lines(one, os.fstat(one).st_size)

    def everything(self, since: float | None = None) -> Iterator[bytes]:
        """Every line there is, oldest first; not of files that ended before `since`. Read it to its end, once."""
        with _closing(self._older()) as older:
            for descriptor in reversed(older):
                if since is None or os.fstat(descriptor).st_mtime >= since:
                    yield from _lines(descriptor)
        yield from self.fresh()

    def fresh(self) -> Iterator[bytes]:
        """Whole lines that were not read yet, of this file and of those that came after it."""
        if self._descriptor is None and not self._open_oldest():
            return
        is_present = self._is_present()
        yield from self._read()
        for newer in () if is_present else self._newer():
            # Only now: whoever renamed the file may have written to it after it was read above.
            yield from self._read()
            self.close()
            self._descriptor, self._offset = newer, 0
            yield from self._read()

    def _open_oldest(self) -> bool:
        """There was none: all that there is now came since."""
        found = list(self._descriptors(0))
        for descriptor in found[:-1]:
            os.close(descriptor)
        self._descriptor = found[-1] if found else None
        return self._descriptor is not None

    def _is_present(self) -> bool:
        """Whether the open file is the one that is written: then nothing newer has to be looked for."""
        assert self._descriptor is not None  # noqa: S101 for the type checker
        own = os.fstat(self._descriptor)
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    def _read(self) -> Iterator[bytes]:
        assert self._descriptor is not None  # noqa: S101 for the type checker
        size = os.fstat(self._descriptor).st_size
        if size == self._offset:
            return
        if size < self._offset or (self._offset and os.pread(self._descriptor, 1, self._offset - 1) != b"\n"):
            self._offset = 0  # somebody emptied it, and perhaps it has grown again
        length = BLOCK_BYTES
        while block := os.pread(self._descriptor, length, self._offset):
            *whole, rest = block.split(b"\n")
            if not whole and len(block) < length:
                return  # a line that is being written
            length = BLOCK_BYTES if whole else 2 * length
            self._offset += len(block) - len(rest) if whole else 0
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
        except OSError as error:
            self._complain(error)
            return
        suffixes = (one[len(name) + 1 :] for one in present if one.startswith(f"{name}."))
        highest = max((int(suffix) for suffix in suffixes if suffix.isdecimal()), default=0)
        for number in range(first, highest + 2):
            descriptor = self._open(f"{self._path}.{number}" if number else self._path)
            if descriptor is not None:
                yield descriptor

    def _open(self, path: str) -> int | None:
        try:
            return _open(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None


def _open(path: str) -> int:
    """A file, and nothing that reading might wait for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


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
