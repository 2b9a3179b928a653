"""What ps shows of this process: the argument area of its memory, written over."""

import ctypes

from supervisor.kernel.process import set_name

ARG_START, ARG_END = 47, 48  # fields of proc_pid_stat(5), counted from 0
_area: list[int] = []  # found once; forked children have it at the same place


def set_title(title: str) -> None:
    """Replace name and command line, whose paths a sandbox need not see. Longer titles are cut to the room there is."""
    set_name(title.replace(": ", "-"))
    if not _area:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        _area.extend(int(fields[index - 2]) for index in (ARG_START, ARG_END))
    start, end = _area
    if start and end - start > 1:
        words = title.encode()[: end - start - 1]
        ctypes.memmove(start, words.ljust(end - start, b"\0"), end - start)
