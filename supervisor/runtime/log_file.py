"""A log file of whole lines: rotated by size at line ends, made again when deleted, cut back when the disk is full."""

import errno
import os
import stat
from contextlib import suppress
from typing import Protocol

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_BLOCK_BYTES = 64 * 1024


class Report(Protocol):
    """Where the file's events go."""

    def __call__(self, event: str, level: str, **fields: object) -> None:
        """Publish one."""


class LogFile:
    """PATH, and PATH.1 (the newest) to PATH.keep. 0600, in a directory that is made 0700 where it is missing.

    It is opened by the first write, so that a silent worker costs no descriptor.
    """

    def __init__(self, path: str, max_size_bytes: int, keep: int, report: Report) -> None:
        self.path = path
        self.error: OSError | None = None  # of the last write
        self._max_size_bytes = max_size_bytes
        self._keep = keep
        self._report = report
        self._fd = -1
        self._identity = (-1, -1)  # device and inode
        self._complained = False  # that it cannot be rotated

    def write(self, block: bytes) -> int:
        """Append whole lines. Returns how many bytes of them are in the file now, always up to a line end.

        Where that is less than all, `error` says why: ENOSPC, EDQUOT, EIO, EROFS, EMFILE and whatever else there is.
        """
        self.error = None
        done = 0
        grows = False  # beyond its size, since it cannot be renamed
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
                done += self._append(block if end - done == len(block) else block[done:end], size)
        return done

    def close(self) -> None:
        """Close the descriptor. The next write opens the file again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
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
                    return found.st_size
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
            return self._repair(found.st_size)
        except OSError:
            self.close()
            raise

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

    def _append(self, data: bytes, size: int) -> int:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:] if done else data)
        except OSError as error:
            self.error = error
            whole = data.rfind(b"\n", 0, done) + 1
            if whole < done:
                try:
                    os.ftruncate(self._fd, size + whole)
                except OSError:
                    self.close()  # opening it again repairs it
            return whole
        return done

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


def _regular(fd: int, path: str) -> os.stat_result:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return found


def errno_name(error: OSError) -> str:
    """ENOSPC, or the exception's name where it has no number."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)
