"""The numbered lines of each workload, compared with the log and with what the daemons said they had lost."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.workload import line


@dataclass
class Hole:
    """Lines that were written and are not in the log as they were."""

    instance: str
    start: int
    first: int
    last: int

    @property
    def bytes(self) -> int:
        """Of all these lines."""
        return sum(len(line(self.start, number)) for number in range(self.first, self.last + 1))


@dataclass
class Verdict:
    """Of one instance's log."""

    holes: list[Hole]
    broken: list[str]
    lines: int


def judge(instance: str, log: Path, data: Path, records: Iterable[dict[str, Any]]) -> Verdict:
    """records: of all daemons. Each hole is to be said by one of them, of this instance and incarnation."""
    seen: dict[int, list[int]] = defaultdict(list)  # by the start of the workload
    incarnation_of: dict[int, int] = {}
    broken: list[str] = []
    mangled = 0
    last_incarnation = total = 0
    for text in log.read_text().splitlines() if log.exists() else []:
        try:
            stored = json.loads(text)
        except ValueError:
            broken.append(f"{instance}: the log holds what is no line: {text[:100]!r}")
            continue
        if stored["i"] < last_incarnation:
            broken.append(f"{instance}: a line of incarnation {stored['i']} after one of {last_incarnation}")
        last_incarnation = stored["i"]
        if stored["s"] != "stdout":
            broken.append(f"{instance}: {stored}")
            continue
        total += 1
        words = stored["m"].split(" ")
        try:
            start, number = int(words[0]), int(words[1])
            whole = stored["m"].encode() + b"\n" == line(start, number)
        except (ValueError, IndexError):
            whole = False
        if not whole:
            mangled += not stored.get("p")  # the beginning of a line whose writer was killed is kept as a piece
            continue
        seen[start].append(number)
        if incarnation_of.setdefault(start, stored["i"]) != stored["i"]:
            broken.append(f"{instance}: start {start} has lines of incarnations {incarnation_of[start]}, {stored['i']}")
    if len(set(incarnation_of.values())) < len(incarnation_of):
        broken.append(f"{instance}: one incarnation was started twice: {incarnation_of}")
    holes = [hole for start, numbers in seen.items() for hole in _holes(instance, start, numbers, data, broken)]
    _compare(instance, holes, mangled, list(records), broken)
    return Verdict(holes, broken, total)


def _holes(instance: str, start: int, numbers: list[int], data: Path, broken: list[str]) -> list[Hole]:
    found = []
    before = 0
    for number in numbers:
        if number <= before:
            broken.append(f"{instance}: start {start}: line {number} after line {before}")
        elif number > before + 1:
            found.append(Hole(instance, start, before + 1, number - 1))
        before = number
    written = int((data / f"{instance}.{start}.count").read_text() or 0)
    if before < written:
        found.append(Hole(instance, start, before + 1, written))
    return found


def _compare(instance: str, holes: list[Hole], mangled: int, records: list[dict[str, Any]], broken: list[str]) -> None:
    lost = [one for one in records if one.get("event") == "log.lost" and one.get("instance") == instance]
    dropped = [one for one in records if one.get("event") == "log.dropped" and one.get("instance") == instance]
    said_bytes = sum(one["lost_bytes_most"] for one in lost) + sum(one["lost_bytes"] for one in dropped)
    if len(holes) > len(lost) + len(dropped):
        broken.append(f"{instance}: {len(holes)} holes in its log, {len(lost)} were told: {holes} {lost}")
    if mangled > sum(len(one["cut_streams"]) for one in lost):
        broken.append(f"{instance}: {mangled} lines lack their beginning, and not so many were told")
    # Of a line whose first bytes were lost the rest is there: a hole is larger by so much than what was lost.
    kept = sum(len(line(hole.start, hole.last)) for hole in holes)
    if sum(hole.bytes for hole in holes) > said_bytes + kept:
        broken.append(f"{instance}: {sum(hole.bytes for hole in holes)} bytes are missing, told were {said_bytes}")
