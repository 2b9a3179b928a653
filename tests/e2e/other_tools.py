"""docs/reference/other-tools.md: `python -m tests.e2e.other_tools > docs/reference/other-tools.md`."""

import tomllib
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("other_tools.toml")
PAGE = Path(__file__).resolve().parents[2] / "docs/reference/other-tools.md"
HEAD = """\
# Options of bubblewrap and nsjail

What each documented option of [bubblewrap](https://github.com/containers/bubblewrap) (`bwrap`, to 0.11) and of
[nsjail](https://github.com/google/nsjail) is here: options of `nsvisor run`, the key of a worker's that says the same
(`--set KEY=VALUE` sets any), or why there is none. Made of
`tests/e2e/other_tools.toml`; every line that is not a refusal is run by the tests, and what it does is looked at from
inside.

Without any option the sandbox is closed: new namespaces, a read-only view of the host, no network but loopback, no
capabilities, an environment of its own. bwrap and nsjail start open, and options close.

`$D` is a directory of yours, `$ROOT` one with a root, `$HOLDER` the pid of a process in another sandbox.
"""
TITLES = {"bwrap": "bubblewrap", "nsjail": "nsjail"}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table; other_tools.toml says what is what."""

    options: tuple[str, ...]
    run: str | None = None
    check: str | None = None
    group: str = ""
    line: str | None = None
    prints: str = ""
    test: str | None = None
    key: str = ""
    refused: str | None = None

    @property
    def name(self) -> str:
        return self.options[0].split()[0].rstrip(",")


def rows() -> dict[str, list[Row]]:
    """By tool."""
    return msgspec.convert(tomllib.loads(FILE.read_text()), dict[str, list[Row]])


def markdown() -> str:
    """The page."""
    lines = [HEAD]
    for tool, its in rows().items():
        lines += [f"## {TITLES[tool]}", "", "| option | `nsvisor run` | key |", "|---|---|---|"]
        lines += [
            f"| {_cell(', '.join(f'`{one}`' for one in row.options))} | {_ours(row)} | {_key(row)} |" for row in its
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _ours(row: Row) -> str:
    if row.refused is not None:
        return _cell(f"refused: {row.refused}")
    if row.line is not None:
        return _cell(f"`{row.line}`")
    return _cell(f"`{row.run}`") if row.run else "by default"


def _key(row: Row) -> str:
    return (
        _cell(f"`{row.key}`") if row.key and " " not in row.key.replace(" = ", "").replace(": ", "") else _cell(row.key)
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
