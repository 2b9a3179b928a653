"""Where the keepers of an earlier daemon are reached: at their sockets in the runtime and in the state directory."""

import glob
import os
import stat
from collections.abc import Iterable

from supervisor.runtime import keeper_process
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_records import Record


def search(path: str, records: Iterable[Record]) -> tuple[list[tuple[KeeperLink, Record | None]], list[int]]:
    """Connect to each once: links with their records, and the pids of those that live and cannot be reached.

    path: of the socket of the one that served launches. KeeperGoneError where it cannot be used.
    """
    by_pid: dict[int, KeeperLink] = {}
    aside, extension = os.path.splitext(path)
    for place in (path, *sorted(glob.glob(f"{glob.escape(aside)}-*{extension}"))):
        try:
            connection = keeper_process.connect(place)
        except OSError as error:
            if not _is_socket(place):  # somebody else's file: no keeper listens there
                continue
            raise KeeperGoneError(f"cannot connect to {place}: {error.strerror or error}") from None
        if connection is not None:
            _take(KeeperLink(connection), by_pid)
    lost: list[int] = []
    of_pid: dict[int, Record] = {}
    for record in records:
        if not record.is_held():
            continue
        if record.known is not None:  # else it could not be written, by a full disk
            of_pid[record.known.pid] = record
            if record.known.pid in by_pid:
                continue
        try:
            connection = record.connect()
        except OSError:
            connection = None
        if connection is not None:
            of_pid[_take(KeeperLink(connection), by_pid)] = record
        elif record.known is not None and record.names_its_keeper():
            lost.append(record.known.pid)
    return [(link, of_pid.get(pid)) for pid, link in by_pid.items()], lost


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _take(link: KeeperLink, by_pid: dict[int, KeeperLink]) -> int:
    pid = link.peer_pid()
    if pid in by_pid:
        link.close()
    else:
        by_pid[pid] = link
    return pid
