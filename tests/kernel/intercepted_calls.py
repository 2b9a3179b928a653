"""Run a program whose system calls a test may answer in the kernel's place (seccomp_unotify(2)).

`python intercepted_calls.py SOCKET NUMBER[:ARGUMENT=VALUE]... -- COMMAND...`: each of the calls, with that argument
where one is named, waits for an answer from whoever holds the listener, which is sent over the socket first; in the
command and in all that it starts. Needs root: no_new_privs would keep newuidmap from working.

In the test, `Interceptor` is who answers: the kernel's own way, unless a fault is set.
"""

import array
import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

BPF_LD_W_ABS, BPF_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06
RET_ALLOW, RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
SECCOMP_SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
ARGUMENTS = 16  # where they begin in struct seccomp_data
NOTIFICATION, ANSWER = "QIIiIQ6Q", "QqiI"  # struct seccomp_notif, struct seccomp_notif_resp
RECEIVE, SEND = 0xC0502100, 0xC0182101
GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
SECCOMP = {"x86_64": 317, "aarch64": 277}


def program(calls: list[tuple[int, int | None, int]]) -> bytes:
    """The BPF: number by number, and where an argument is named, its lower half."""
    lines: list[tuple[int, int, int, int]] = []
    for number, argument, value in calls:
        check = [(BPF_LD_W_ABS, 0, 0, 0)]
        if argument is None:
            check.append((BPF_JEQ_K, 0, 1, number))
        else:
            check += [(BPF_JEQ_K, 0, 3, number), (BPF_LD_W_ABS, 0, 0, ARGUMENTS + 8 * argument)]
            check.append((BPF_JEQ_K, 0, 1, value))
        lines += [*check, (BPF_RET_K, 0, 0, RET_USER_NOTIF)]
    lines.append((BPF_RET_K, 0, 0, RET_ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def install(calls: list[tuple[int, int | None, int]]) -> int:
    """From this process on: the listener's descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(calls)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(filter_, len(filter_))
    number = ctypes.c_long(SECCOMP[os.uname().machine])
    listener = libc.syscall(number, SECCOMP_SET_MODE_FILTER, NEW_LISTENER, ctypes.c_void_p(ctypes.addressof(pointer)))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return int(listener)


@dataclass(frozen=True)
class Call:
    """A system call that waits for its answer."""

    pid: int
    number: int
    arguments: tuple[int, ...]

    def memory(self, at: int, count: int) -> bytes:
        """What a pointer among its arguments points to."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as file:
            file.seek(at)
            return file.read(count)


@dataclass
class Fault:
    """The next call of this number for which `when` is true fails with that errno; or `act` does as it likes with it.

    act: true where the call is to wait for ever, as on a server that does not answer.
    """

    number: int
    error: int = 0
    when: Callable[[Call], bool] = lambda _: True
    act: Callable[[Call], bool] = lambda _: False
    met: threading.Event = field(default_factory=threading.Event)


class Interceptor:
    """Answers the calls of a program, in a thread; start the program with `wrapper` and then call `serve`."""

    def __init__(self, python: str, *calls: str) -> None:
        """calls: NUMBER[:ARGUMENT=VALUE]."""
        self._ours, self.theirs = socket.socketpair()
        self.fault: Fault | None = None
        text = Path(__file__).read_text()  # not everybody may read this file
        self.wrapper = [python, "-c", text, str(self.theirs.fileno()), *calls, "--"]
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._listener = -1

    def serve(self) -> None:
        """Once the program has been started."""
        self.theirs.close()
        fds = array.array("i")
        _, control, _, _ = self._ours.recvmsg(1, socket.CMSG_SPACE(4))
        fds.frombytes(control[0][2][:4])
        self._ours.close()
        self._listener = fds[0]
        self._thread.start()

    def close(self) -> None:
        """Once the program has ended, with all that it started: the listener ends with the last of them."""
        if self._listener >= 0:
            self._thread.join(10)
            os.close(self._listener)
        else:
            self.theirs.close()
            self._ours.close()

    def _answer(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while any(event & select.POLLIN for _, event in poll.poll()):  # else none is left that could call
            notification = bytearray(struct.calcsize(NOTIFICATION))
            with suppress(OSError):  # killed while it waited
                fcntl.ioctl(self._listener, RECEIVE, notification)
                key, pid, _, number, _, _, *arguments = struct.unpack(NOTIFICATION, notification)
                answer = self._decide(Call(pid, number, tuple(arguments)))
                if answer is not None:
                    fcntl.ioctl(self._listener, SEND, bytearray(struct.pack(ANSWER, key, 0, *answer)))

    def _decide(self, call: Call) -> tuple[int, int] | None:
        fault = self.fault
        if fault is None or fault.number != call.number or not fault.when(call):
            return 0, GO_ON
        self.fault = None
        try:
            if fault.act(call):
                return None
            return (-fault.error, 0) if fault.error else (0, GO_ON)
        finally:
            fault.met.set()


def _main() -> None:
    split = sys.argv.index("--")
    wanted: list[tuple[int, int | None, int]] = []
    for word in sys.argv[2:split]:
        number, _, condition = word.partition(":")
        argument, _, value = condition.partition("=")
        wanted.append((int(number), int(argument) if condition else None, int(value or 0)))
    with socket.socket(fileno=int(sys.argv[1])) as there:
        listener = install(wanted)
        there.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
        os.close(listener)
    os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])  # noqa: S606  (there is no shell here)


if __name__ == "__main__":
    _main()
