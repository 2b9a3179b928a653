"""From a crash to the next first instruction; all supervisors at the same time, so that they share the noise."""

import time
from pathlib import Path

import supervisors
from context import Context
from figures import OURS, Report, median
from supervisors import Supervisor
from workload import Stamp

LIVES_MS = 1100  # longer than the second that runit and s6 wait after a quick end
SETTLE_S = 2.0
ROUND_S = 1.5

CASES: list[tuple[type[Supervisor], bool]] = [
    (supervisors.Loop, False),
    (supervisors.Loop, True),
    (supervisors.Ours, False),
    (supervisors.OursStandby, False),
    (supervisors.Runit, False),
    (supervisors.Runit, True),
    (supervisors.S6, False),
    (supervisors.S6, True),
    (supervisors.SystemdUser, False),
    (supervisors.Supervisord, True),
    (supervisors.Circus, True),
]


def label(kind: type[Supervisor], bwrap: bool) -> str:
    return f"{kind.name} + {'sandbox' if kind is supervisors.Loop else 'bwrap'}" if bwrap else kind.name


def present(
    cases: list[tuple[type[Supervisor], bool]], top: Path
) -> tuple[list[tuple[type[Supervisor], bool]], list[str]]:
    """Those that are there, and why the others are not."""
    found, notes = [], []
    for kind, bwrap in cases:
        why = kind.missing(bwrap=bwrap and kind is not supervisors.Loop)
        if why is None and issubclass(kind, supervisors.Ours) and not kind.accepted(top):
            why = f"{kind.name}: this version does not know it"
        if why is None:
            found.append((kind, bwrap))
        else:
            notes.append(f"left out: {why}")
    return found, notes


def measure(context: Context) -> list[Report]:
    scale, workload = context.scale, context.workload
    cases, notes = present(CASES, context.fresh())
    title = f"crash to next first instruction; workers that lived {LIVES_MS / 1000:g} s or more; nsvisor sandboxed"
    report = Report("restart", title, "ms", {}, base=OURS, notes=notes)
    running: list[Supervisor] = []
    stamps: list[Stamp] = []
    try:
        for place, (kind, bwrap) in enumerate(cases):

            def work(number: str, place: int = place) -> list[str]:
                return [f"{place}_{number}", "crash", str(LIVES_MS + 29 * (place % 9))]

            one = kind(workload, context.fresh(), scale.restart_workers, work, bwrap=bwrap)
            one.prepare()
            running.append(one)
            one.start()
        workload.first_of_all(len(cases) * scale.restart_workers, 60.0)
        end = time.monotonic() + SETTLE_S + scale.restart_s
        while time.monotonic() < end:
            stamps += workload.drain(0.2)
    finally:
        for one in running:
            one.end()
    workload.drain()
    begun = stamps[0][2] / 1e9 + SETTLE_S if stamps else 0.0
    count = max(1, int(scale.restart_s / ROUND_S))
    taken: dict[int, list[list[float]]] = {place: [[] for _ in range(count)] for place in range(len(cases))}
    crashed: dict[str, int] = {}
    for kind_, tag, at in sorted(stamps, key=lambda stamp: stamp[2]):
        if kind_ == "X":
            crashed[tag] = at
        elif tag in crashed:
            before = crashed.pop(tag)
            number = int((before / 1e9 - begun) / ROUND_S)
            if 0 <= number < count and before / 1e9 >= begun:
                taken[int(tag.partition("_")[0])][number].append((at - before) / 1e6)
    for place, (kind, bwrap) in enumerate(cases):
        report.samples[label(kind, bwrap)] = [median(one) if one else None for one in taken[place]]
    report.aim("restart after a crash, sandboxed, against runit + bwrap", OURS, "runit + bwrap", 0.6)
    report.aim("restart with standby, against runit without a sandbox", supervisors.OursStandby.name, "runit", 0.5)
    return [report]
