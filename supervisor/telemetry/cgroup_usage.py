"""What a cgroup says of itself: memory, CPU, processes, I/O, and pressure (PSI)."""

import os
from contextlib import suppress
from typing import NamedTuple

from supervisor.spec.records import CgroupUsage

RESOURCES = ("cpu", "memory", "io")


def read_usage(path: str) -> CgroupUsage:
    """Read the cgroup in this directory, some 10 µs a file. A figure is None where its controller is not."""
    cpu = _table(path, "cpu.stat")
    pressure = {}
    for resource in RESOURCES:
        average = _pressure(_read(path, f"{resource}.pressure"))
        if average is not None:
            pressure[resource] = average
    devices = _read(path, "io.stat")
    return CgroupUsage(
        cpu_s=cpu["usage_usec"] / 1e6 if "usage_usec" in cpu else None,
        throttled_s=cpu["throttled_usec"] / 1e6 if "throttled_usec" in cpu else None,
        memory_bytes=_number(path, "memory.current"),
        memory_peak_bytes=_number(path, "memory.peak"),
        memory_max_bytes=_number(path, "memory.max"),
        pids=_number(path, "pids.current"),
        pids_max=_number(path, "pids.max"),
        io_read_bytes=_sum(devices, "rbytes="),
        io_written_bytes=_sum(devices, "wbytes="),
        pressure=pressure,
    )


class ScrapedUsage(NamedTuple):
    """What each scrape shows. None: nobody counts it."""

    cpu_s: float | None = None
    memory_bytes: int | None = None
    pressure_s: tuple[tuple[str, str, float], ...] = ()  # resource, "some" or "full", since the cgroup was made


def scraped_usage(path: str) -> ScrapedUsage:
    """Read only what each scrape shows: five files."""
    usage_us = _table(path, "cpu.stat").get("usage_usec")
    cpu_s = None if usage_us is None else usage_us / 1e6
    pressure = [
        (resource, kind, total_us / 1e6)
        for resource in RESOURCES
        for kind, total_us in _stalled_us(_read(path, f"{resource}.pressure"))
    ]
    return ScrapedUsage(cpu_s, _number(path, "memory.current"), tuple(pressure))


def _read(path: str, file: str) -> str | None:
    with suppress(OSError), open(os.path.join(path, file), encoding="ascii") as opened:
        return opened.read()
    return None


def _number(path: str, file: str) -> int | None:
    """None for "max", too."""
    text = (_read(path, file) or "").strip()
    return int(text) if text.isdecimal() else None


def _table(path: str, file: str) -> dict[str, int]:
    lines = (line.split() for line in (_read(path, file) or "").splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}


def _pressure(text: str | None) -> float | None:
    """avg10 of the `some` line."""
    for line in (text or "").splitlines():
        kind, *pairs = line.split()
        if kind == "some":
            return next((float(pair[6:]) for pair in pairs if pair.startswith("avg10=")), None)
    return None


def _stalled_us(text: str | None) -> list[tuple[str, int]]:
    """The total of each line."""
    lines = (line.partition(" ") for line in (text or "").splitlines())
    return [(kind, int(rest.rpartition("total=")[2])) for kind, _, rest in lines if "total=" in rest]


def _sum(text: str | None, key: str) -> int | None:
    """Over all devices; None where there is no such file."""
    if text is None:
        return None
    return sum(int(word.removeprefix(key)) for word in text.split() if word.startswith(key))
