"""The docs tell the truth where a machine can tell: links, examples, tables, verbs."""

import re
import shlex
from pathlib import Path

import msgspec
import pytest

from supervisor.cli.group import VERBS
from supervisor.spec.convert import NO_KEYS
from supervisor.spec.load import load, load_text
from supervisor.spec.model import Supervisor, Worker

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "bench").glob("*.md")])
# The design also shows what is not there yet.
PRESENT = [page for page in PAGES if "explanation" not in page.parts]
FLEETS = sorted([*(ROOT / "conf").glob("*.toml"), *(ROOT / "conf" / "examples").glob("*.toml")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
TOML = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(?:^ {4}|`)(nsvisor [^`\n#]+)", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def linked_from(page: Path) -> set[Path]:
    links = LINK.findall(page.read_text())
    return {(page.parent / link).resolve() for link in links if "://" not in link}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [name(target) for target in linked_from(page) if not target.exists()] == []


def test_every_page_is_in_the_index() -> None:
    listed = linked_from(DOCS / "index.md")
    assert {name(page) for page in DOCS.rglob("*.md") if page.name != "index.md"} == {name(page) for page in listed}


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_configuration_shown_is_configuration_that_loads(page: Path) -> None:
    for block in TOML.findall(page.read_text()):
        assert load_text(block).workers


@pytest.mark.parametrize("file", FLEETS, ids=name)
def test_shipped_fleets_load(file: Path) -> None:
    assert load([str(file)]).workers


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_verbs_shown_are_verbs(page: Path) -> None:
    for call in CALL.findall(page.read_text()):
        words = [word for word in shlex.split(call.rstrip(",.;:"))[1:] if not word.startswith("-")]
        assert not words or words[0] in VERBS or words[0] == "VERB", call


def test_every_verb_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "commands.md").read_text()
    assert [verb for verb in VERBS if f"`{verb}`" not in text] == []


def test_every_key_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "configuration.md").read_text()
    missing = [key for table in (Supervisor, Worker) for key in keys(table) if f"`{key}`" not in text]
    assert missing == []


def keys(table: type[msgspec.Struct]) -> list[str]:
    """The keys of a table and of the tables in it, as they are written."""
    found: list[str] = []
    for field in msgspec.structs.fields(table):
        if field.encode_name in NO_KEYS - {"name"}:
            continue
        if field.encode_name != "name":
            found.append(field.encode_name)
        for inner in (field.type, *getattr(field.type, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found += keys(inner)
    return found
