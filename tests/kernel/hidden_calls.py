"""Run a program with system calls hidden from it, as an older kernel or a container's seccomp profile would.

`python hidden_calls.py ERRNO CALL... -- COMMAND...`: each of the calls fails with that errno, in the command and in all
that it starts.
"""

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

NUMBERS = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "clone3": 435,
    "mount_setattr": 442,
}
NEW_MOUNT_CALLS = ("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "mount_setattr")
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
BPF_LD_W_ABS, BPF_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000


def program(numbers: list[int], error: int) -> bytes:
    """The BPF: load the call's number, compare it with each, refuse or allow."""
    lines = [(BPF_LD_W_ABS, 0, 0, 0)]
    lines += [(BPF_JEQ_K, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    lines += [(BPF_RET_K, 0, 0, RET_ALLOW), (BPF_RET_K, 0, 0, RET_ERRNO | error)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def hide(names: list[str], error: int) -> None:
    """From this process on."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = program([NUMBERS[name] for name in names], error)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    pointer = ctypes.create_string_buffer(filter_, len(filter_))
    if os.geteuid() != 0 and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(pointer), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def wrapper(python: str, error: str, *names: str) -> list[str]:
    """Words before a command, from which these calls are hidden. As text: not everybody may read this file."""
    return [python, "-c", Path(__file__).read_text(), error, *names, "--"]


if __name__ == "__main__":
    split = sys.argv.index("--")
    hide(sys.argv[2:split], getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])  # noqa: S606  (there is no shell here)
