"""`nsvisor explain` as text. Pure, but for whose journal it names: records in, lines out."""

from collections.abc import Callable, Mapping, Sequence

from supervisor.cli.common import in_journal
from supervisor.cli.output import paint
from supervisor.cli.render_exit import exit_lines, hint_lines, how
from supervisor.cli.render_verdict import policy_said, why
from supervisor.cli.render_waterfall import waterfall
from supervisor.control.models import InstanceDetail
from supervisor.spec.records import ExitRecord, LaunchRecord, Remembered, Usual

LAST_EXITS = 5
Clock = Callable[[float], str]


def render(
    detail: InstanceDetail,
    states: Mapping[str, str],
    clock: Clock,
    *,
    colours: bool = False,
    exits: int = LAST_EXITS,
) -> list[str]:
    """Why it is (not) running, its last launch, its last exits, what the policy makes of them.

    `states`: of all instances, by name; `clock`: wall clock to text; `exits`: how many of them.
    """
    lines = [
        paint(why(detail, states), "bold", colours),
        *_past(detail.launches, detail.usual, detail.exits[-exits:], clock, colours=colours),
    ]
    said = policy_said(detail)
    if said is not None:
        lines += ["", f"Restart: {said}"]
    if detail.spec.log.sink == "journald":
        return [*lines, "", f"Output: {in_journal([detail.instance.name])}"]
    return lines + _output(detail.instance.name, detail.instance.log_path)


def render_remembered(
    name: str,
    kept: Remembered,
    usual: Usual | None,
    heard: Sequence[str],
    log_path: str | None,
    clock: Clock,
    *,
    colours: bool = False,
    exits: int = LAST_EXITS,
) -> list[str]:
    """The same without a daemon. `heard`: its last records, as lines."""
    head = f"No daemon answers. {name}, as its files tell: {_end(kept)}."
    lines = [paint(head, "bold", colours), *_past(kept.launches, usual, kept.exits[-exits:], clock, colours=colours)]
    if heard:
        lines += ["", "Last records of the daemon:", *(f"  {one}" for one in heard)]
    return lines + _output(name, log_path)


def _end(kept: Remembered) -> str:
    last = kept.exits[-1] if kept.exits else None
    if kept.launches and (last is None or last.incarnation < kept.launches[-1].incarnation):
        if kept.launches[-1].outcome == "ok":
            return f"it was launched as #{kept.launches[-1].incarnation}, and no exit of that is on record"
        return f"the launch of #{kept.launches[-1].incarnation} is the last that is known"
    return how(last) if last is not None else "it was never launched"


def _past(
    launches: Sequence[LaunchRecord], usual: Usual | None, exits: Sequence[ExitRecord], clock: Clock, *, colours: bool
) -> list[str]:
    lines: list[str] = []
    if launches:
        asked_by = next((one.requested_by for one in exits if one.incarnation == launches[-1].incarnation), None)
        lines += ["", *waterfall(launches[-1], clock, usual, colours=colours, asked_by=asked_by)]
    if exits:
        last = exits[-1]
        lines += ["", "Last exits:"]
        for record in exits:
            lines += exit_lines(record, clock)
        if last.hint and not _is_of(last, launches):
            lines += ["", f"About #{last.incarnation}:", *hint_lines(last.hint)]
        if last.stderr_tail:
            lines += ["", f"Last lines of stderr of #{last.incarnation}:", *(f"  | {one}" for one in last.stderr_tail)]
    return lines


def _is_of(record: ExitRecord, launches: Sequence[LaunchRecord]) -> bool:
    """Whether the launch that is shown has said so already."""
    return bool(launches) and launches[-1].incarnation == record.incarnation and launches[-1].outcome != "ok"


def _output(name: str, log_path: str | None) -> list[str]:
    if log_path is None:
        return []
    return ["", f"Output: nsvisor logs {name}   ({log_path})", f"With what the daemon did: nsvisor logs --all {name}"]
