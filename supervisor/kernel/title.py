"""What ps shows of this process: the argument area of its memory, written over."""

import ctypes

from supervisor.kernel.process import set_name

ARG_START, ARG_END = 47, 48  # fields of proc_pid_stat(5), counted from 0


def set_title(title: str) -> None:
    """Replace name and command line, whose paths a sandbox need not see. Longer titles are cut to the room there is."""
    set_name(title.replace(": ", "-"))
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = (int(fields[index - 2]) for index in (ARG_START, ARG_END))
    room = end - start
    if start and room > 1:
        ctypes.memset(start, 0, room)
        ctypes.memmove(start, title.encode()[: room - 1], min(len(title.encode()), room - 1))
