"""What launches usually take, phase by phase. Pure."""

from array import array
from statistics import median_low

from supervisor.spec.records import LaunchRecord, Timings, Usual

KEPT = 11  # launches: the last one and ten to compare it with
_MOST = 2**32 - 1


def with_launch(timings: Timings, launch: LaunchRecord) -> Timings:
    """Add a launch that succeeded. Other phases than before: what was known is of no more use."""
    phases = tuple(one.phase for one in launch.phases)
    row = array("I", [min(one.duration_us, _MOST) for one in launch.phases] + [min(launch.duration_us, _MOST)])
    former = timings.rows if phases == timings.phases else ()
    return Timings(phases, (*former, row.tobytes())[-KEPT:])


def usual(launch: LaunchRecord, timings: Timings) -> Usual | None:
    """What to compare the last launch with; None where there is nothing."""
    rows = timings.rows[:-1] if launch.outcome == "ok" else timings.rows  # without itself
    same = 0
    for record, name in zip(launch.phases, timings.phases, strict=False):
        if record.phase != name:
            break
        same += 1
    size = array("I").itemsize * (len(timings.phases) + 1)
    columns = list(zip(*(array("I", row) for row in rows if len(row) == size), strict=True))
    if not columns or not same:
        return None
    middle = [median_low(column) for column in columns]
    return Usual(len(columns[0]), middle[-1], tuple(middle[:same]))
