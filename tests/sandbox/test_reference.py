from pathlib import Path

from supervisor.phases import PHASES
from supervisor.sandbox.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/phases.md"


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text() == reference(), "run: python -m supervisor.sandbox.reference > docs/reference/phases.md"


def test_every_phase_has_its_section_in_order() -> None:
    headings = [line[4:-1] for line in reference().splitlines() if line.startswith("## `")]
    assert headings == list(PHASES)
    assert "{" not in reference()
