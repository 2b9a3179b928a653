"""From the start of a supervisor to the first instruction of the last of its workers; and what that costs in memory."""

import random
import time
from collections.abc import Iterator

import supervisors
from context import Context
from figures import OURS, Report
from restart import label, present
from supervisors import Supervisor

SOME: list[tuple[type[Supervisor], bool]] = [
    (supervisors.Loop, True),
    (supervisors.Ours, False),
    (supervisors.S6, True),
]
ALL = [*SOME, (supervisors.Runit, True), (supervisors.Supervisord, True), (supervisors.Circus, True)]
FEW = 100  # workers; with more, only some supervisors, for the others take minutes


def storm(context: Context, kind: type[Supervisor], count: int, *, bwrap: bool) -> tuple[float, float | None]:
    """Seconds; megabytes of all but the workload, where it may be looked at."""
    work = lambda number: [number, "idle"]  # noqa: E731
    one = kind(context.workload, context.fresh(), min(count, kind.most), work, bwrap=bwrap)
    one.prepare()
    try:
        began = one.start()
        last = max(context.workload.first_of_all(one.count, 300.0))
        time.sleep(min(1.0, count / 50))  # what has just begun comes to rest
        held = one.memory_bytes()
        return last / 1e9 - began, None if held is None else held / 1e6
    finally:
        one.end()
        context.workload.drain()


def compare(context: Context, count: int, cases: list[tuple[type[Supervisor], bool]], rounds: int) -> list[Report]:
    """Time and memory."""
    there, notes = present(cases, context.fresh())
    suffix = "" if cases is SOME else "_few"
    title = f"start of the supervisor to the last of {count} first instructions"
    took = Report(f"storm{suffix}", title, "s", {}, base=OURS, notes=notes)
    title = f"proportional set size of all but the {count} workloads then"
    memory = Report(f"storm_memory{suffix}", title, "MB", {}, base=OURS)
    for _ in range(rounds):
        for kind, bwrap in random.sample(there, len(there)):
            try:
                seconds, megabytes = storm(context, kind, count, bwrap=bwrap)
            except SystemExit as problem:
                took.notes.append(f"{label(kind, bwrap)}: {problem}")
                continue
            took.samples.setdefault(label(kind, bwrap), []).append(seconds)
            memory.samples.setdefault(label(kind, bwrap), []).append(megabytes)
    blind = [peer for peer, values in memory.samples.items() if None in values]
    memory.notes += [f"{peer}: only root may look at its PID 1s, which are not dumpable" for peer in blind]
    return [took, memory]


def measure(context: Context) -> Iterator[Report]:
    scale = context.scale
    reports = compare(context, min(FEW, scale.storm), ALL, 1)
    if scale.storm > FEW:
        yield from reports
        reports = compare(context, scale.storm, SOME, scale.storm_rounds)
    reports[0].aim(f"{scale.storm} sandboxed workers, against s6 + bwrap", OURS, "s6 + bwrap", 0.4)
    yield from reports
    base = f"{scale.growth[0]} workers"
    growth = Report("growth", "milliseconds of nsvisor's start for each worker", "ms", {}, base=base)
    for size in scale.growth:
        try:
            seconds, _ = storm(context, supervisors.Ours, size, bwrap=False)
        except SystemExit as problem:
            growth.notes.append(f"{size} workers: {problem}")
            continue
        growth.samples[f"{size} workers"] = [seconds * 1e3 / size]
    yield growth
