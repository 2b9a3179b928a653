"""A log file of whole lines: rotated by size or age, made again when deleted, cut back when the disk is full."""

import errno
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from supervisor.kernel.files import allocate
from supervisor.runtime.log_line import Buffer

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_BLOCK_BYTES = 64 * 1024
_MUCH_BYTES = 64 * 1024  # in one write: more will follow, and room that was asked for ahead makes it cheaper
_AHEAD_BYTES = 4 * 1024 * 1024
_MOST_PARTS = 512  # IOV_MAX is 1024
_TIME = re.compile(rb'\{"t":([0-9.]+)')


class Report(Protocol):
    """Where the file's events go."""

    def __call__(self, event: str, level: str, **fields: object) -> None:
        """Publish one."""


class LogFile:
    """PATH, and PATH.1 (the newest) to PATH.keep. 0600, in a directory that is made 0700 where it is missing.

    It is opened by the first write, so that a silent worker costs no descriptor.
    """

    def __init__(
        self, path: str, max_size_bytes: int, keep: int, report: Report, max_age_s: float | None = None
    ) -> None:
        """max_age_s: from its first line on, by the wall clock."""
        self.path = path
        self.error: OSError | None = None  # of the last write
        self._max_size_bytes = max_size_bytes
        self._max_age_s = max_age_s
        self._keep = keep
        self._report = report
        self._fd = -1
        self._identity = (-1, -1)  # device and inode
        self._size = 0  # as it was left
        self._allocated = 0  # up to here there is room on the disk; -1: it is not asked for
        self._begun = 0.0  # wall clock
        self._complained = False  # that it cannot be rotated

    def write(self, *parts: Buffer) -> int:
        """Append whole lines, in parts of any shape. Returns how many bytes are in the file now, up to a line end.

        Where that is less than all, `error` says why: ENOSPC, EDQUOT, EIO, EROFS, EMFILE and whatever else there is.
        """
        self.error = None
        total = sum(map(len, parts))
        try:
            size = self._ready()
            grows = self._is_old(size) and not self._rotate(size)  # beyond its size, since it cannot be renamed
            size = self._ready() if self._fd < 0 else size
        except OSError as error:
            self.error = error
            return 0
        if size + total <= self._max_size_bytes and len(parts) <= _MOST_PARTS:
            return self._append(parts, total, size)
        return self._fill(b"".join(parts), grows=grows)

    def _fill(self, block: bytes, *, grows: bool) -> int:
        """Append to this file what fits, and the rest to those that follow it."""
        done = 0
        while done < len(block) and self.error is None:
            try:
                size = self._ready()
            except OSError as error:
                self.error = error
                break
            end = len(block) if grows else self._fitting(block, done, size)
            if end == done:
                grows = not self._rotate(size)
            else:
                data = block if end - done == len(block) else block[done:end]
                done += self._append((data,), len(data), size)
        return done

    def close(self) -> None:
        """Close the descriptor. The next write opens the file again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            if self._allocated > self._size:
                with suppress(OSError):
                    _give_back(fd)
            os.close(fd)

    def _ready(self) -> int:
        """Make sure that the file of this name is open. Returns its size."""
        if self._fd >= 0:
            try:
                found = os.lstat(self.path)
            except FileNotFoundError:
                pass
            except OSError:
                return os.fstat(self._fd).st_size  # the way to it is closed, the file is not
            else:
                if (found.st_dev, found.st_ino) == self._identity:
                    return found.st_size if found.st_size == self._size else self._look(found)
            self.close()
        return self._open()

    def _open(self) -> int:
        try:
            self._fd = os.open(self.path, _FLAGS, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
            self._fd = os.open(self.path, _FLAGS, 0o600)
        try:
            found = _regular(self._fd, self.path)
            self._identity = (found.st_dev, found.st_ino)
            return self._look(found)
        except OSError:
            self.close()
            raise

    def _look(self, found: os.stat_result) -> int:
        """It was just opened, or somebody else has changed its size. Returns the size."""
        self._size = self._repair(found.st_size)
        self._allocated = 0
        if found.st_blocks * 512 > self._size + _MUCH_BYTES:  # a crash has left it so
            _give_back(self._fd)
        if self._max_age_s is not None:
            match = _TIME.match(os.pread(self._fd, 64, 0))
            self._begun = float(match[1]) if match else time.time()
        return self._size

    def _is_old(self, size: int) -> bool:
        if self._max_age_s is None or size == 0:
            self._begun = self._begun if size else time.time()
            return False
        age_s = time.time() - self._begun
        if age_s < 0:  # the clock was set back
            self._begun = time.time()
        return age_s >= self._max_age_s

    def _repair(self, size: int) -> int:
        """Cut off a last line that a crash or a full disk left unfinished. Returns the size."""
        end = size
        while end:
            block = os.pread(self._fd, min(end, _BLOCK_BYTES), max(0, end - _BLOCK_BYTES))
            if not block or block.endswith(b"\n"):
                break
            end -= len(block) - (block.rfind(b"\n") + 1)
        if end < size:
            os.ftruncate(self._fd, end)
            self._report("log.repaired", "warning", path=self.path, cut_bytes=size - end)
        return end

    def _fitting(self, block: bytes, start: int, size: int) -> int:
        """Where the lines end that still fit into the file. The beginning where none does: rotate first."""
        room = self._max_size_bytes - size
        if len(block) - start <= room:
            return len(block)
        end = block.rfind(b"\n", start, start + room) + 1 if room > 0 else 0
        if end > start:
            return end
        return start if size else block.index(b"\n", start) + 1  # a line longer than a whole file gets its own

    def _append(self, parts: Sequence[Buffer], total: int, size: int) -> int:
        if total >= _MUCH_BYTES and 0 <= self._allocated < size + total:
            self._ask_for_room(size, total)
        done = 0
        try:
            done = os.writev(self._fd, parts)
            if done < total:  # writing on tells why
                data = b"".join(parts)
                while done < total:
                    done += os.write(self._fd, data[done:])
        except OSError as error:
            self.error = error
            whole = b"".join(parts).rfind(b"\n", 0, done) + 1
            self._size = size + whole
            if whole < done:
                try:
                    os.ftruncate(self._fd, size + whole)
                except OSError:
                    self.close()  # opening it again repairs it
            return whole
        self._size = size + done
        return done

    def _ask_for_room(self, size: int, total: int) -> None:
        """For what is written next: a third of the write's cost on ext4 is finding its blocks one by one."""
        ahead = max(total, min(_AHEAD_BYTES, self._max_size_bytes - size))
        try:
            allocate(self._fd, size, ahead)
        except OSError:  # ENOSPC, EOPNOTSUPP: the write itself will tell
            self._allocated = -1
        else:
            self._allocated = size + ahead

    def _rotate(self, size: int) -> bool:
        try:
            self._shift()
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._report(
                    "log.rotation_failed", "warning", path=self.path, errno=errno_name(error), error=str(error)
                )
            return False
        self.close()
        self._complained = False
        self._report("log.rotated", "debug", path=self.path, size_bytes=size)
        return True

    def _shift(self) -> None:
        """Rename the highest first, so that a crash in between leaves a gap and never two of one name."""
        if self._keep == 0:
            os.unlink(self.path)
        else:
            last = 1
            while last < self._keep and os.path.lexists(f"{self.path}.{last}"):
                last += 1
            for number in range(last, 1, -1):
                os.rename(f"{self.path}.{number - 1}", f"{self.path}.{number}")
            os.rename(self.path, f"{self.path}.1")
        with suppress(FileNotFoundError):  # the end of those that were kept when more were asked for
            surplus = self._keep + 1
            while True:
                os.unlink(f"{self.path}.{surplus}")
                surplus += 1


def _give_back(fd: int) -> None:
    """Free what was allocated beyond the file's end."""
    os.ftruncate(fd, os.fstat(fd).st_size)


def _regular(fd: int, path: str) -> os.stat_result:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return found


def errno_name(error: OSError) -> str:
    """ENOSPC, or the exception's name where it has no number."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)
