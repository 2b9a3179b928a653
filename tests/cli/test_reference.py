from pathlib import Path

from supervisor.cli.group import VERBS
from supervisor.cli.reference import markdown

REFERENCE = Path(__file__).parents[2] / "docs/reference/cli.md"


def test_page_is_the_generated_one() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == markdown(), (
        "write it anew: python -m supervisor.cli.reference > docs/reference/cli.md"
    )


def test_every_verb_has_its_section() -> None:
    page = markdown()
    assert all(f"\n## nsvisor {verb}" in page for verb in VERBS)
