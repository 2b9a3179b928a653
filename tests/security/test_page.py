"""The page on security names tests; they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/explanation/security.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text())))
OURS = sorted(path.relative_to(ROOT) for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_line_of_the_tables_names_one() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| attack")]
    assert len(rows) > 30
    assert [row for row in rows if "`tests/" not in row.split("|")[3]] == []


@pytest.mark.parametrize("file", OURS, ids=str)
def test_the_page_tells_of_each_file(file: Path) -> None:
    assert str(file) in {name for name, _ in NAMED}
