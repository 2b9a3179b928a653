"""Every hint is provoked by a test, or it is said why that cannot be."""

import ast
import re
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from supervisor.sandbox import hint_table
from tests.e2e.failing_phases import CASES as FAILING
from tests.e2e.failing_phases import QUOTAS
from tests.sandbox.provocations import CASES as PROVOKED
from tests.sandbox.unprovoked import BECAUSE, ELSEWHERE

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = {f"{phase} {name}" for phase, rows in hint_table.TABLE.items() for name in rows}
ROWS_BY_SYSCALL = {" ".join(row) for row in hint_table.BY_SYSCALL}


def provoked() -> set[str]:
    """Rows that one of the two tables of provocations has."""
    found = {f"{phase} {name}" for phase, name, _ in PROVOKED} | {f"{phase} ENOSPC" for phase in QUOTAS}
    for case in FAILING.values():
        found |= {f"{case.phase} {case.error}", f"{case.phase} {case.error} {case.syscall}"}
    return found & (ROWS | ROWS_BY_SYSCALL)


def test_every_row_is_provoked_or_excused() -> None:
    excused = {*chain.from_iterable(ELSEWHERE.values()), *chain.from_iterable(BECAUSE.values())}
    assert sorted((ROWS | ROWS_BY_SYSCALL) - provoked() - excused) == []


def test_no_excuse_is_without_its_row_or_needless() -> None:
    excused = Counter([*chain.from_iterable(ELSEWHERE.values()), *chain.from_iterable(BECAUSE.values())])
    assert sorted(excused.keys() - ROWS - ROWS_BY_SYSCALL) == []
    assert [row for row, count in excused.items() if count > 1] == []
    assert sorted(excused.keys() & provoked()) == []


@pytest.mark.parametrize("file", ELSEWHERE)
def test_those_that_another_test_provokes_are_named_there(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for row in ELSEWHERE[file]:
        _, name, *syscall = row.split()
        assert (syscall or [name])[0] in text, row


def test_most_are_provoked() -> None:
    """What is excused must not become the rule."""
    assert len(provoked() & ROWS) > 0.65 * len(ROWS)


def commands(package: str) -> set[str]:
    """Of the strings in a package's source: commands that change the host, up to what follows them."""
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / package).rglob("*.py")]
    strings = [node.value for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    words = r"\b(?:sudo|systemd-run|docker run|usermod|loginctl)\b[^;:(]*"
    return {found.strip() for one in strings if isinstance(one, str) for found in re.findall(words, one)}


def test_doctor_and_hints_have_their_commands_from_one_place() -> None:
    hints, doctor, shared = map(commands, ("supervisor/sandbox", "supervisor/host", "supervisor/spec"))
    assert shared
    both = {one for one in hints for other in doctor | shared if one.startswith(other) or other.startswith(one)}
    assert sorted(both | (doctor & shared)) == []
