"""Data on stdout: JSON, or a table. Colours only on a terminal, and never with NO_COLOR."""

import os
import sys
from collections.abc import Sequence
from typing import Any

COLOURS = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bright green": "92",
    "bright magenta": "95",
    "bright cyan": "96",
}


def coloured() -> bool:
    """Whether stdout takes colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None, on: bool) -> str:
    """Text in a colour."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if on and colour else text


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    import msgspec  # noqa: PLC0415

    from supervisor.cli.harmless import json_text  # noqa: PLC0415

    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    print(json_text(msgspec.json.format(raw, indent=2).decode()))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> None:
    """Columns, aligned. On a terminal rich fits them to its width; elsewhere no cell is ever cut."""
    if coloured():
        _rich_table(titles, rows, right)
    else:
        print("\n".join(plain_table(titles, rows, right)))


def plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> list[str]:
    """The table's lines."""
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    lines = []
    for row in (titles, *rows):
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for title, cell, width in zip(titles, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


STATE_STYLES = {
    "ready": "green",
    "running": "green",
    "completed": "dim",
    "stopped": "dim",
    "backoff": "yellow",
    "creating": "yellow",
    "waiting": "yellow",
    "stopping": "yellow",
    "failed": "bold red",
    "unkillable": "bold red",
}


def _rich_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in rows:
        cells = [
            Text(cell, style=STATE_STYLES.get(cell.split(" ")[0], "") if title == "STATE" else "")
            for title, cell in zip(titles, row, strict=True)
        ]
        table.add_row(*cells)
    Console().print(table)
