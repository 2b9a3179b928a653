"""`nsvisor explain` as text. Pure: records in, lines out."""

from collections.abc import Callable, Mapping

from supervisor.cli import words
from supervisor.cli.output import paint
from supervisor.cli.render_verdict import how, policy_said, why
from supervisor.control.models import InstanceDetail
from supervisor.spec.records import ExitRecord, LaunchRecord, PhaseRecord

BAR_CELLS = 24
EIGHTHS = " ▏▎▍▌▋▊▉█"
LAST_EXITS = 5
TRY = " Try: "  # between the sentence and the command of a hint
MARKS = {"ok": "", "failed": "FAILED", "skipped": "skipped", "pending": "not finished"}


def render(
    detail: InstanceDetail, states: Mapping[str, str], clock: Callable[[float], str], *, colours: bool = False
) -> list[str]:
    """Why it is (not) running, its last launch, its last exits, what the policy makes of them.

    `states`: of all instances, by name; `clock`: wall clock to text.
    """
    lines = [paint(why(detail, states), "bold", colours)]
    if detail.launches:
        lines += ["", *waterfall(detail.launches[-1], clock, colours=colours)]
    if detail.exits:
        lines += ["", "Last exits:"]
        for record in detail.exits[-LAST_EXITS:]:
            lines += _exit_lines(record, clock)
        tail = detail.exits[-1].stderr_tail
        if tail:
            lines += ["", f"Last lines of stderr of #{detail.exits[-1].incarnation}:", *(f"  | {one}" for one in tail)]
    said = policy_said(detail)
    if said is not None:
        lines += ["", f"Restart: {said}"]
    if detail.instance.log_path is not None:
        lines += ["", f"Output: nsvisor logs {detail.instance.name}   ({detail.instance.log_path})"]
    return lines


def waterfall(launch: LaunchRecord, clock: Callable[[float], str], *, colours: bool = False) -> list[str]:
    """A launch: one line per phase with its place in time, and what stopped it."""
    outcome = {
        "ok": f"done in {words.micros(launch.duration_us)}",
        "failed": f"failed after {words.micros(launch.duration_us)}",
        "timeout": f"timed out after {words.micros(launch.duration_us)}",
        "interrupted": f"interrupted after {words.micros(launch.duration_us)}",
    }[launch.outcome]
    lines = [f"Last launch: {launch.instance}#{launch.incarnation}, {clock(launch.requested_at)}, {outcome}"]
    if not launch.phases:
        return [*lines, "  no phase was begun"]
    total_us = max(1, launch.duration_us, *(one.start_us + one.duration_us for one in launch.phases))
    width = max(len(one.phase) for one in launch.phases)
    lines += [_phase_line(one, total_us, width, colours) for one in launch.phases]
    stopped = next((one for one in reversed(launch.phases) if one.outcome in ("failed", "pending")), None)
    if stopped is not None:
        lines += ["", *_failure_lines(stopped, colours)]
    return lines


def bar(start_us: int, duration_us: int, total_us: int, cells: int = BAR_CELLS) -> str:
    """A phase's place in the launch, to an eighth of a cell; at least an eighth wide."""
    scale = 8 * cells / total_us
    first = min(int(start_us * scale), 8 * cells - 1)
    length = max(1, min(round(duration_us * scale), 8 * cells - first))
    # Blocks fill from the left, so a start within a cell is rounded down to the cell's edge.
    whole, eighths = divmod(first % 8 + length if length > 8 else length, 8)
    text = " " * (first // 8) + EIGHTHS[8] * whole + (EIGHTHS[eighths] if eighths else "")
    return text[:cells].ljust(cells)


def _phase_line(record: PhaseRecord, total_us: int, width: int, colours: bool) -> str:
    mark = MARKS[record.outcome]
    shown = bar(record.start_us, record.duration_us, total_us) if record.outcome != "skipped" else " " * BAR_CELLS
    line = f"  {record.phase:{width}}  {words.micros(record.duration_us):>7}  {shown}  {record.detail}"
    text = f"{line.rstrip()}  {mark}" if mark else line.rstrip()
    colour = {"failed": "red", "pending": "red", "skipped": "dim"}.get(record.outcome)
    return paint(text, colour, colours)


def _failure_lines(record: PhaseRecord, colours: bool) -> list[str]:
    if record.outcome == "pending":
        head = f"Stopped in {record.phase}"
    else:
        call = f" {record.syscall}:" if record.syscall else ""
        head = f"Failed in {record.phase}:{call} {record.errno or 'no errno'}"
    about = f" ({record.detail})" if record.detail else ""
    message = f": {record.message}" if record.message else ""
    lines = [paint(f"{head}{about}{message}", "red", colours)]
    if record.hint:
        sentence, _, command = record.hint.partition(TRY)
        lines.append(f"  {sentence}")
        if command:
            lines.append(f"  try: {command}")
    return lines


def _exit_lines(record: ExitRecord, clock: Callable[[float], str]) -> list[str]:
    clause = how(record).removeprefix("it ")
    asked = f", asked for by {record.requested_by}" if record.requested_by else ""
    clean = ", clean" if record.clean else ""
    lines = [f"  #{record.incarnation}  {clock(record.ended_at)}  {clause}{asked}{clean}"]
    if record.rusage is not None:
        usage = record.rusage
        spent = f"CPU {usage.user_s + usage.system_s:.2f}s, at most {words.size(usage.max_rss_bytes)} resident"
        lines[0] += f" ({spent})"
    return lines
