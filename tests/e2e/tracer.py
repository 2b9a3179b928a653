"""A process that holds others in the kernel: what it traces and never waits for stays there after SIGKILL.

As a zombie; with `alive` it stops at the beginning of its end (PTRACE_O_TRACEEXIT, ptrace(2)), with all that it has.
The first process of a pid namespace does not end before all of the namespace are reaped (pid_namespaces(7)): with one
of them traced from outside, it cannot be killed. When the tracer ends, so does all of it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.daemons import killed_in_the_end

PTRACE_O_TRACEEXIT = 0x40
PROGRAM = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE = 0x4206
if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, int(sys.argv[2])) != 0:
    sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
print("holds it", flush=True)
sys.stdin.read()
"""


@contextmanager
def traced(pid: int, *, alive: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """Hold it until the block, or the process that is given, ends."""
    options = PTRACE_O_TRACEEXIT if alive else 0
    words = [sys.executable, "-I", "-S", "-c", PROGRAM, str(pid), str(options)]
    pipe = subprocess.PIPE
    with killed_in_the_end(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)) as tracer:
        assert tracer.stdin is not None
        assert tracer.stdout is not None
        with tracer.stdin, tracer.stdout:
            assert tracer.stdout.readline() == "holds it\n"
            yield tracer
