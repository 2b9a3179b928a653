"""What the files of the state directory say of an instance, where no daemon answers."""

import os
from collections import deque
from typing import Any

import msgspec

from supervisor.cli.remembered import known_instances, log_directory, matching, remembered
from supervisor.spec.records import ExitRecord, LaunchRecord, Remembered, Usual
from supervisor.spec.usual import usual

HEARD = 5  # records of the daemon
TOLD_ELSEWHERE = ("setup.", "network.output", "log.rotated")


class FromFiles(msgspec.Struct, frozen=True):
    """One instance. `daemon` is false: what of it runs now is not known."""

    name: str
    daemon: bool
    log_path: str | None
    launches: tuple[LaunchRecord, ...]
    exits: tuple[ExitRecord, ...]
    usual: Usual | None
    records: tuple[dict[str, Any], ...]  # the last of the daemon's about it, oldest first

    def kept(self) -> Remembered:
        """As it was read."""
        return Remembered(launches=self.launches, exits=self.exits)


def from_files(name: str) -> list[FromFiles]:
    """These instances or this worker's. UnknownName."""
    names = matching([name], known_instances())
    heard = _heard(names)
    found = []
    for one in names:
        kept = remembered(one)
        path = os.path.join(log_directory(), f"{one}.log")
        compared = usual(kept.launches[-1], kept.timings) if kept.launches else None
        log_path = path if os.path.exists(path) else None
        found.append(FromFiles(one, False, log_path, kept.launches, kept.exits, compared, tuple(heard[one])))
    return found


def _heard(names: list[str]) -> dict[str, deque[dict[str, Any]]]:
    from supervisor.cli.log_files_unread import Unread  # noqa: PLC0415
    from supervisor.cli.logfiles import LogReader  # noqa: PLC0415
    from supervisor.runtime.record_line import decode, path_beside  # noqa: PLC0415

    found: dict[str, deque[dict[str, Any]]] = {name: deque() for name in names}
    reader = LogReader(path_beside(log_directory()), Unread())
    try:
        for raw in reader.newest_first():
            try:
                record = decode(raw)
            except msgspec.MsgspecError:
                continue
            of = found.get(str(record.fields.get("instance")))
            if of is not None and len(of) < HEARD and not record.event.startswith(TOLD_ELSEWHERE):
                of.appendleft({"t": record.t, "level": record.level, "event": record.event, "text": record.text()})
            if all(len(one) == HEARD for one in found.values()):
                break
    finally:
        reader.close()
    return found
