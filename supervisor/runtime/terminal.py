"""The user's terminal, joined to one inside a sandbox: raw mode, bytes both ways, its size passed on."""

import os
import termios
import tty
from contextlib import suppress
from typing import Any, Self

import trio

CHUNK_BYTES = 16384
DRAIN_S = 1.0


class Terminal:
    """Use it as a context: the mode of the user's terminal is put back however it ends."""

    def __init__(self) -> None:
        self.master = -1
        self._mode: list[Any] | None = None
        self._ended = trio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._mode is not None:
            with suppress(termios.error):  # it was hung up
                termios.tcsetattr(0, termios.TCSADRAIN, self._mode)
        if self.master >= 0:
            os.close(self.master)

    def take(self, master: int) -> None:
        """Own the master of the sandbox's terminal: from now on keys are its business."""
        self.master = master
        os.set_blocking(master, False)
        self.resize()
        self._mode = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)

    def resize(self) -> None:
        """Give the sandbox's terminal the size of ours; its foreground processes get SIGWINCH."""
        if self.master >= 0:
            with suppress(termios.error, OSError):
                termios.tcsetwinsize(self.master, termios.tcgetwinsize(0))

    async def copy_in(self) -> None:
        """Keys to the sandbox."""
        while True:
            await trio.lowlevel.wait_readable(0)
            try:
                keys = os.read(0, CHUNK_BYTES)  # a raw terminal that is readable does not block
            except BlockingIOError:  # somebody made it non-blocking, and reads it too
                continue
            except OSError:  # EIO: it was hung up
                keys = b""
            if not keys:
                self._hang_up()
                return
            await self._write(self.master, keys)

    async def copy_out(self) -> None:
        """Output to the user, until the last process that has the terminal is gone (EIO)."""
        try:
            while output := await self._read():
                try:
                    while output:
                        output = output[await self._show(output) :]
                except OSError:  # EIO: the user's was hung up
                    self._hang_up()
        finally:
            self._ended.set()

    async def _show(self, output: bytes) -> int:
        try:
            return os.write(1, output)
        except BlockingIOError:  # other programs leave a terminal like that
            await trio.lowlevel.wait_writable(1)
            return 0

    def _hang_up(self) -> None:
        """Let the sandbox's terminal go the way of ours: its session gets SIGHUP."""
        if self.master >= 0:
            trio.lowlevel.notify_closing(self.master)
            os.close(self.master)
            self.master = -1

    async def drained(self) -> None:
        """Wait until all output was shown, for no longer than DRAIN_S."""
        if self.master >= 0:
            with trio.move_on_after(DRAIN_S):
                await self._ended.wait()

    async def _read(self) -> bytes:
        while self.master >= 0:
            try:
                await trio.lowlevel.wait_readable(self.master)
                return os.read(self.master, CHUNK_BYTES)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):  # EIO: nobody inside has it any more
                break
        return b""

    async def _write(self, fd: int, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                try:
                    await trio.lowlevel.wait_writable(fd)
                except trio.ClosedResourceError:
                    return
            except OSError:  # EIO: the sandbox has ended
                return
