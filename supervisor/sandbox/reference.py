"""docs/reference/phases.md, made of the vocabulary and the hints: python -m supervisor.sandbox.reference."""

from collections.abc import Iterable

from supervisor.phases import PHASES
from supervisor.sandbox import hints_bridge
from supervisor.sandbox.hint_table import ANYWHERE, BY_SYSCALL, TABLE, TIMEOUT_ANYWHERE, TIMEOUTS, Row
from supervisor.sandbox.hints_targets import AT_TARGET

HEAD = """\
# Phases

What a plan is made of, in the order in which a plan may hold them. `nsvisor plan NAME` prints a worker's own,
`nsvisor explain NAME` the last ones with their times. Each is one `setup.phase` record in the log; a failed one carries
its errno, its system call and the hint from the tables below. In a hint, PATH stands for what the phase was about,
TARGET for the place of a mount.

Generated from `supervisor/phases.py` and `supervisor/sandbox/hint_table.py`:
`python -m supervisor.sandbox.reference > docs/reference/phases.md`
"""
PLACES = {"{detail}": "PATH", "{user}": "USER", "{instance}": "NAME", "{target}": "TARGET"}


def reference() -> str:
    """The page's whole text."""
    lines = [HEAD, "| phase | does |", "|---|---|"]
    lines += [f"| [`{phase}`](#{_anchor(phase)}) | {text} |" for phase, text in PHASES.items()]
    for phase, text in PHASES.items():
        lines += ["", f"## `{phase}`", "", f"{text[0].upper()}{text[1:]}.", "", *_table(_rows(phase))]
    lines += ["", "## At the target of a mount", "", *_table(_calls(AT_TARGET.items()))]
    lines += ["", "## In any phase", ""]
    lines += _table([*ANYWHERE.items(), ("set-up time-out", TIMEOUT_ANYWHERE)])
    return "\n".join(lines) + "\n"


def _rows(phase: str) -> list[tuple[str, Row]]:
    rows = list(TABLE.get(phase, {}).items())
    rows += _calls(((name, syscall), row) for (place, name, syscall), row in BY_SYSCALL.items() if place == phase)
    if phase == hints_bridge.PHASE:
        rows += [(f"{name} of a bridge", row) for name, row in hints_bridge.ROWS.items()]
    return [*rows, ("set-up time-out", TIMEOUTS[phase])] if phase in TIMEOUTS else rows


def _calls(rows: Iterable[tuple[tuple[str, str], Row]]) -> list[tuple[str, Row]]:
    return [(f"{name} from {syscall}", row) for (name, syscall), row in rows]


def _table(rows: list[tuple[str, Row]]) -> list[str]:
    lines = ["| error | usually means | try |", "|---|---|---|"]
    for name, (sentence, command) in rows:
        lines.append(f"| {name} | {_cell(sentence)} | {f'`{_cell(command)}`' if command else '–'} |")
    return lines


def _cell(text: str) -> str:
    for place, word in PLACES.items():
        text = text.replace(place, word)
    return text.replace("|", "\\|")


def _anchor(heading: str) -> str:
    """Name a heading as GitHub does: dots go, underscores stay."""
    return heading.replace(".", "")


if __name__ == "__main__":
    print(reference(), end="")
