"""The keeper's interpreter out of reach: a sealed copy in memory, where the file itself could be written to.

A process that enters a sandbox executes what lies there, and what lies there may say `#!/proc/self/exe`: then it is
this interpreter that runs, and /proc/PID/exe leads to its file on the host, which a sandbox whose ids own that file
could overwrite once nobody runs it (runc CVE-2019-5736). Nobody can write to a sealed memfd.
"""

from __future__ import annotations

import fcntl
import os
import sys

OURS = "/proc/self/exe"
MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_EXEC = 0x1, 0x2, 0x10  # the last one: Linux 6.3
F_ADD_SEALS = 1033
SEALS = 0x1 | 0x2 | 0x4 | 0x8  # of the seals themselves, shrinking, growing, writing


def execute_sealed() -> None:
    """Execute this program again from a sealed copy of its interpreter; come back where that is so, or not needed."""
    if os.readlink(OURS).startswith("/memfd:"):
        return
    try:
        source = os.open(OURS, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(source)
        if found.st_uid == os.geteuid() or os.geteuid() == 0 or os.access(OURS, os.W_OK):
            os.execve(_copy(source, found.st_size), [sys.executable, *sys.orig_argv[1:]], os.environ)  # noqa: S606
        os.close(source)
    except OSError as error:
        sys.stderr.write(f"nsinit-keeper: cannot run from a sealed copy of the interpreter: {error}\n")


def _copy(source: int, size: int) -> int:
    try:
        copy = os.memfd_create("python", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
    except OSError:
        copy = os.memfd_create("python", MFD_CLOEXEC | MFD_ALLOW_SEALING)
    while size:
        size -= os.sendfile(copy, source, None, size)
    fcntl.fcntl(copy, F_ADD_SEALS, SEALS)
    return copy
