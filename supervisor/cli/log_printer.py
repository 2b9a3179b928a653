"""Lines of logs on standard output."""

import sys

import msgspec

from supervisor.cli.harmless import json_text, line_of_output
from supervisor.cli.log_lines import DAEMON, Line
from supervisor.cli.output import coloured, paint

NAME_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright cyan", "bright green", "bright magenta")
LEVEL_COLOURS = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "red"}
OUTPUT, RECORD = "|", "*"  # between the name and the text


class LogPrinter:
    """Prints line after line. A piece of a long line goes on where the one before it ended."""

    def __init__(self, *, named: bool, timestamps: bool, as_json: bool) -> None:
        """named: each line begins with its instance's name."""
        self.named = named
        self._timestamps = timestamps
        self._as_json = as_json
        self._terminal = sys.stdout.isatty()
        self._colours = coloured()
        self._colour_of: dict[str, str] = {DAEMON: "bold"}
        self._before: Line | None = None
        self.live = self._terminal  # each line is seen at once

    def show(self, line: Line) -> None:
        """Print one."""
        before, self._before = self._before, line
        if self._as_json:
            text = _as_json(line, self.named)
            print(json_text(text) if self._terminal else text, flush=self.live)
            return
        goes_on = before is not None and line.continues(before)
        if before is not None and before.is_partial() and not goes_on:
            print()
        end = "" if line.is_partial() else "\n"
        text = line.text()
        if self._terminal:
            text = line_of_output(text)
        if goes_on:
            print(text, end=end, flush=self.live)
            return
        if line.record is not None:
            level = line.record.level
            said = f"{level}: {text}" if level in LEVEL_COLOURS and level != "debug" else text
            text = paint(said, LEVEL_COLOURS.get(level), self._colours)
        if self._timestamps and (line.stored or line.record):
            from supervisor.cli.times import clock  # noqa: PLC0415

            text = f"{clock(line.when())} {text}"
        if self.named:
            mark = OUTPUT if line.record is None else RECORD
            text = f"{paint(f'{line.instance} {mark}', self._colour(line.instance), self._colours)} {text}"
        print(text, end=end, flush=self.live)

    def go_live(self) -> None:
        """From now on each line is seen at once."""
        self.live = True
        sys.stdout.flush()

    def finish(self) -> None:
        """End the line that still waits for its next piece."""
        if self._before is not None and self._before.is_partial() and not self._as_json:
            print()

    def _colour(self, name: str) -> str:
        """The next one for a name that comes for the first time."""
        return self._colour_of.setdefault(name, NAME_COLOURS[(len(self._colour_of) - 1) % len(NAME_COLOURS)])


def _as_json(line: Line, named: bool) -> str:
    text = line.raw.decode(errors="replace")
    if not named or not text.startswith("{"):
        return text
    name = msgspec.json.encode(line.instance).decode()
    return f'{{"instance":{name},{text[1:]}'
