"""What a soak comes to."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.soak.soak import Soak


@dataclass
class Report:
    """What was done, and what became of it."""

    seed: int
    seconds: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


def figures(soak: "Soak") -> dict[str, float]:
    """All that was counted so far."""
    events = soak.records.events
    return {
        "operations": soak.report.operations.total(),
        **{f"kills of {what}": count for what, count in sorted(soak.kills.items())},
        "daemons": events["daemon.started"],
        "keepers": events["keeper.started"],
        "re-execs": events["daemon.reexec"],
        "reloads": events["daemon.reloaded"],
        "reloads refused": events["daemon.reload_failed"],
        "adoptions": events["worker.adopted"],
        "launches": events["worker.launching"],
        "exits": events["worker.exited"],
        **{f"  {cause}": count for cause, count in sorted(soak.records.causes.items())},
        "strays": events["worker.stray"],
        "lines": sum(output.lines for output in soak.outputs.values()),
        "holes, all told": sum(output.holes for output in soak.outputs.values()),
        "files not audited": sum(output.unread for output in soak.outputs.values()),
        "rests": soak.rests,
        **dict(sorted(soak.usage.most.items())),
        "longest answer (s)": round(soak.longest_s, 2),
        "longest gap (s)": round(soak.longest_gap_s, 2),
    }


def table(report: Report) -> str:
    """For people."""
    rows = [*report.figures.items(), *((f"  {name}", count) for name, count in report.operations.most_common())]
    lines = [f"{name:<28} {figure:>12}" for name, figure in rows]
    return "\n".join([f"{report.seconds:.0f} s, seed {report.seed}", *lines])


def verdict(report: Report) -> str:
    """For people, too."""
    if not report.broken:
        return "holds: every invariant"
    broken = "\n".join(f"  {what}" for what in report.broken)
    return f"broken after {report.seconds:.0f} s, seed {report.seed}:\n{broken}\nrecords:\n" + "\n".join(report.records)
