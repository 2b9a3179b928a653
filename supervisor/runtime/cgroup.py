"""One incarnation's cgroup: made with its limits, frozen, killed, read and removed. A fresh one for each.

Never used again: after cgroup.kill was written once, some kernels kill whoever is cloned into the same cgroup.
"""

import errno
import os
import signal
from contextlib import suppress

import msgspec
import trio
from msgspec.structs import replace

from supervisor.kernel.files import mkdir, open_file
from supervisor.kernel.libc import KernelError
from supervisor.spec.records import ExitRecord

FREEZE_TIMEOUT_S = 5.0
REMOVE_TIMEOUT_S = 5.0  # for processes that were killed to be gone
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.05


class Figures(msgspec.Struct, frozen=True):
    """What a cgroup's files said when its incarnation had ended."""

    oom_kills: int = 0  # processes of it that the out-of-memory killer took
    memory_max_bytes: int | None = None
    memory_peak_bytes: int | None = None


def with_figures(record: ExitRecord, figures: Figures) -> ExitRecord:
    """Say in an exit's record what its cgroup said.

    A child that was killed long ago is not why a workload ends: only a death by SIGKILL, or 137 as a shell tells it.
    """
    died = record.signal == "SIGKILL" or record.errno == "SIGKILL" or record.code == 128 + signal.SIGKILL
    return replace(
        record,
        oom_killed=figures.oom_kills > 0 and died,
        memory_max_bytes=figures.memory_max_bytes,
        memory_peak_bytes=figures.memory_peak_bytes,
    )


class Cgroup:
    """`…/web-0#17`. Nothing is there before create()."""

    def __init__(self, path: str) -> None:
        """path: of a directory in a cgroup2 file system, there already or not."""
        self.path = path
        self.fd = -1

    def create(self, settings: list[tuple[str, str]]) -> None:
        """Make it, write the settings (file, value), open it. KernelError; nothing is left then."""
        try:
            mkdir(self.path)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            self._make_anew()
        try:
            self.fd = open_file(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for file, value in settings:
                self._set(file, value)
        except KernelError:
            self.close()
            self.remove()
            raise

    def _make_anew(self) -> None:
        """One of this name was left by a launch that came to nothing."""
        self.kill()
        if not self.remove():
            raise KernelError(errno.EBUSY, "rmdir", self.path)
        mkdir(self.path)

    def _set(self, file: str, value: str) -> None:
        try:
            self._write(file, value)
        except OSError as error:
            raise KernelError(error.errno or 0, "write", file) from None

    def _write(self, file: str, value: str) -> None:
        fd = os.open(os.path.join(self.path, file), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the descriptor: the incarnation has been born, or will never be."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # -- its processes ----------------------------------------------------------------------------------------------

    def kill(self) -> bool:
        """SIGKILL all of its processes at once (cgroup.kill, Linux 5.14); false where that cannot be."""
        try:
            self._write("cgroup.kill", "1")
        except OSError:
            return False
        return True

    def is_populated(self) -> bool:
        """Whether a process lives in it."""
        return self._number("cgroup.events", "populated") == 1

    def some_pid(self) -> int:
        """Of one of its processes; 0 where none is seen."""
        return self._number("cgroup.procs") or 0

    async def freeze(self) -> None:
        """Stop all of its processes where they are. OSError; TimeoutError where one of them would not stop."""
        self._write("cgroup.freeze", "1")
        pause_s = FIRST_PAUSE_S
        with trio.move_on_after(FREEZE_TIMEOUT_S):
            while self._number("cgroup.events", "frozen") != 1:  # its change is POLLPRI, which Trio cannot wait for
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            return
        self.thaw()
        raise TimeoutError(errno.ETIMEDOUT, f"a process hangs in the kernel: not frozen within {FREEZE_TIMEOUT_S:g} s")

    def thaw(self) -> None:
        """Let them go on. OSError."""
        self._write("cgroup.freeze", "0")

    def is_frozen(self) -> bool:
        """Whether it was told to be."""
        return self._number("cgroup.freeze") == 1

    # -- its end ----------------------------------------------------------------------------------------------------

    async def finish(self) -> Figures:
        """Once the first process has ended: kill what is left, wait for it, read the figures, remove the cgroup.

        Leaves it where it is when a process does not die within REMOVE_TIMEOUT_S: look at is_there().
        """
        figures = self.figures()
        pause_s = FIRST_PAUSE_S
        with trio.move_on_after(REMOVE_TIMEOUT_S):
            while not self.remove():
                self.kill()
                with suppress(OSError):
                    self.thaw()
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return figures

    def remove(self) -> bool:
        """Remove it, and those that were made below it; false while a process lives there."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            for directory, _, _ in os.walk(self.path, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)
            return not self.is_there()
        return True

    def is_there(self) -> bool:
        """Whether the directory exists."""
        return os.path.isdir(self.path)

    def figures(self) -> Figures:
        """Of its memory, where it has the memory controller."""
        return Figures(
            oom_kills=self._number("memory.events", "oom_kill") or 0,
            memory_max_bytes=self._number("memory.max"),
            memory_peak_bytes=self._number("memory.peak"),
        )

    def _number(self, file: str, key: str = "") -> int | None:
        """A file's number, or that of one of its lines; None where there is no such file, line or number."""
        try:
            with open(os.path.join(self.path, file), encoding="ascii") as opened:
                words = opened.read().split()
        except OSError:
            return None
        word = words[words.index(key) + 1] if key in words else "" if key or not words else words[0]
        return int(word) if word.isdecimal() else None
