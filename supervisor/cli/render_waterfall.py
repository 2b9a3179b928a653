"""A launch as a waterfall in a terminal: a bar for each phase, beside what it usually takes. Pure."""

from collections.abc import Callable

from supervisor.cli import words
from supervisor.cli.output import paint
from supervisor.cli.render_exit import hint_lines
from supervisor.spec.records import LaunchRecord, PhaseRecord, Usual

BAR_CELLS = 24
EIGHTHS = " ▏▎▍▌▋▊▉█"
MARKS = {"ok": "", "failed": "FAILED", "skipped": "skipped", "pending": "not finished"}
COLOURS = {"failed": "red", "pending": "red", "skipped": "dim"}
SLOWER = 2.0  # times the median: worth a word
SLOWER_BY_US = 500  # and at least so much more
NAMED = 5  # of those
KILLED = (None, "SIGKILL")  # in place of an errno: how a launch ends that is asked to


def waterfall(
    launch: LaunchRecord,
    clock: Callable[[float], str],
    usual: Usual | None = None,
    *,
    colours: bool = False,
    asked_by: str | None = None,
) -> list[str]:
    """A launch: one line per phase with its place in time, what was slower than usual, and what stopped it.

    asked_by: who asked for its end meanwhile.
    """
    lines = [f"Last launch: {heading(launch, clock, usual)}"]
    if not launch.phases:
        return [*lines, "  no phase was begun"]
    total_us = span_us(launch)
    width = max(len(one.phase) for one in launch.phases)
    if usual is not None:
        lines.append(f"  {'':{width}}  {'took':>7}  {'usually':>7}")
    late = slower(launch, usual)
    for number, one in enumerate(launch.phases):
        colour = "yellow" if any(one is record for record, _ in late) else COLOURS.get(one.outcome)
        lines.append(paint(_phase_line(one, total_us, width, usual, number), colour, colours))
    if late:
        lines += ["", "Slower than usual:", *(f"  {said}" for said in map(slower_words, late))]
    stopped = stopped_in(launch)
    if stopped is not None and asked_by is not None and stopped.errno in KILLED:
        lines += ["", paint(f"Stopped in {stopped.phase}, asked for by {asked_by}", "yellow", colours)]
    elif stopped is not None:
        lines += ["", paint(failure_words(stopped), "red", colours), *hint_lines(stopped.hint)]
    return lines


def heading(launch: LaunchRecord, clock: Callable[[float], str], usual: Usual | None) -> str:
    """Which launch, when, how long it took, what it usually takes."""
    took = words.micros(launch.duration_us)
    outcome = {
        "ok": f"done in {took}",
        "failed": f"failed after {took}",
        "timeout": f"timed out after {took}",
        "interrupted": f"interrupted after {took}",
    }[launch.outcome]
    text = f"{launch.instance}#{launch.incarnation}, {clock(launch.requested_at)}, {outcome}"
    if launch.ahead_us is not None:
        own = words.micros(launch.duration_us - launch.ahead_us)
        text += f"; up to standby.wait ahead of its turn, {words.span(launch.held_s)} before; {own} after it"
    if usual is None:
        return text
    return f"{text}; usually {words.micros(usual.duration_us)} (median of {usual.launches})"


def span_us(launch: LaunchRecord) -> int:
    """What the whole width stands for."""
    return max(1, launch.duration_us, *(one.start_us + one.duration_us for one in launch.phases))


def slower(launch: LaunchRecord, usual: Usual | None) -> list[tuple[PhaseRecord, int]]:
    """Phases that took much longer than their median, which comes with them; the worst first."""
    if usual is None:
        return []
    found = [
        (one, median)
        for one, median in zip(launch.phases, usual.phases_us, strict=False)
        if one.outcome == "ok" and one.duration_us > SLOWER * median and one.duration_us - median >= SLOWER_BY_US
    ]
    return sorted(found, key=lambda pair: pair[1] - pair[0].duration_us)[:NAMED]


def slower_words(late: tuple[PhaseRecord, int]) -> str:
    """One of those."""
    record, median = late
    about = f" ({record.detail})" if record.detail else ""
    return f"{record.phase}{about}: {words.micros(record.duration_us)} instead of {words.micros(median)}"


def stopped_in(launch: LaunchRecord) -> PhaseRecord | None:
    """The phase that ended it before its time."""
    return next((one for one in reversed(launch.phases) if one.outcome in ("failed", "pending")), None)


def failure_words(record: PhaseRecord) -> str:
    """What went wrong in it: the system call, the errno, what it was about."""
    if record.outcome == "pending":
        head = f"Stopped in {record.phase}"
    else:
        call = f" {record.syscall}:" if record.syscall else ""
        head = f"Failed in {record.phase}:{call} {record.errno or 'no errno'}"
    about = f" ({record.detail})" if record.detail else ""
    return f"{head}{about}{f': {record.message}' if record.message else ''}"


def bar(start_us: int, duration_us: int, total_us: int, cells: int = BAR_CELLS) -> str:
    """A phase's place in the launch, to an eighth of a cell; at least an eighth wide."""
    scale = 8 * cells / total_us
    first = min(int(start_us * scale), 8 * cells - 1)
    length = max(1, min(round(duration_us * scale), 8 * cells - first))
    # Blocks fill from the left, so a start within a cell is rounded down to the cell's edge.
    whole, eighths = divmod(first % 8 + length if length > 8 else length, 8)
    text = " " * (first // 8) + EIGHTHS[8] * whole + (EIGHTHS[eighths] if eighths else "")
    return text[:cells].ljust(cells)


def _phase_line(record: PhaseRecord, total_us: int, width: int, usual: Usual | None, number: int) -> str:
    mark = MARKS[record.outcome]
    shown = bar(record.start_us, record.duration_us, total_us) if record.outcome != "skipped" else " " * BAR_CELLS
    known = usual is not None and number < len(usual.phases_us)
    median = words.micros(usual.phases_us[number]) if usual is not None and known else ""
    between = f"  {median:>7}" if usual is not None else ""
    line = f"  {record.phase:{width}}  {words.micros(record.duration_us):>7}{between}  {shown}  {record.detail}"
    return f"{line.rstrip()}  {mark}" if mark else line.rstrip()
