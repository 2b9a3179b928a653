"""A launch as a picture: SVG, for a browser or a report. Pure."""

import re
import textwrap
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from supervisor.cli import words
from supervisor.cli.render_waterfall import (
    MARKS,
    failure_words,
    heading,
    slower,
    slower_words,
    span_us,
    stopped_in,
)
from supervisor.spec.records import LaunchRecord, PhaseRecord, Usual

Drawn = tuple[LaunchRecord, Usual | None]

WIDTH, MARGIN = 1080, 16
NAME_X, TOOK_X, USUAL_X = MARGIN, 218, 281  # left edge; right edges
LEFT, RIGHT = 308, 745  # of the bars
DETAIL_X, DETAIL_LETTERS = 757, 43
ROW, TEXT_LETTERS = 20, 144
TICKS = 4
FILLS = {"ok": "#4c78a8", "failed": "#c0392b", "pending": "#c0392b", "late": "#e08a1e"}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#222}"
    ".h{font-weight:bold;font-size:13px}.m{fill:#777}.r{fill:#c0392b}.e{text-anchor:end}.c{text-anchor:middle}"
)


def picture(launches: Sequence[Drawn], clock: Callable[[float], str]) -> str:
    """The whole document, one launch below the other."""
    parts: list[str] = []
    top = MARGIN
    for launch, usual in launches:
        drawn, top = _launch(launch, usual, clock, top)
        parts += drawn
    size = f'width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = f"<title>{_text(', '.join(f'{one.instance}#{one.incarnation}' for one, _ in launches))}</title>"
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", ground, *parts, "</svg>", ""])


def _launch(
    launch: LaunchRecord, usual: Usual | None, clock: Callable[[float], str], top: int
) -> tuple[list[str], int]:
    y = top + 14
    parts = [_label(NAME_X, y, heading(launch, clock, usual), "h")]
    y += ROW + 4
    parts.append(_label(TOOK_X, y, "took", "m e"))
    if usual is not None:
        parts.append(_label(USUAL_X, y, "usually", "m e"))
    total_us = span_us(launch) if launch.phases else max(1, launch.duration_us)
    bottom = y + 6 + ROW * len(launch.phases)
    for tick in range(TICKS + 1):
        x = LEFT + (RIGHT - LEFT) * tick // TICKS
        parts.append(f'<line x1="{x}" y1="{y + 4}" x2="{x}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(_label(x, y, words.micros(total_us * tick // TICKS), "m c"))
    late = slower(launch, usual)
    for number, record in enumerate(launch.phases):
        median = usual.phases_us[number] if usual is not None and number < len(usual.phases_us) else None
        is_late = any(record is one for one, _ in late)
        parts += _phase(record, median, total_us, y + 6 + ROW * number, is_late=is_late)
    y = bottom + 4
    notes = [("", f"slower than usual: {slower_words(one)}") for one in late]
    stopped = stopped_in(launch)
    if stopped is not None:
        notes.append(("r", failure_words(stopped)))
        notes += [("", stopped.hint)] if stopped.hint else []
    for style, note in notes:
        for line in textwrap.wrap(note, TEXT_LETTERS):
            y += ROW - 2
            parts.append(_label(NAME_X, y, line, style))
    return parts, y + 2 * MARGIN


def _phase(record: PhaseRecord, median: int | None, total_us: int, y: int, *, is_late: bool) -> list[str]:
    """Its name, its times, a bar; around that a frame as wide as its median; what it was about."""
    base = y + 14
    scale = (RIGHT - LEFT) / total_us
    x = LEFT + record.start_us * scale
    mark = MARKS[record.outcome]
    style = "r" if record.outcome in ("failed", "pending") else "m" if record.outcome == "skipped" else ""
    whole = " ".join(filter(None, (record.detail, mark)))
    short = whole if len(whole) <= DETAIL_LETTERS else f"{whole[: DETAIL_LETTERS - 1]}…"
    parts = [
        f"<g><title>{_text(f'{record.phase} {whole}: {words.micros(record.duration_us)}')}</title>",
        _label(NAME_X, base, record.phase, style),
        _label(TOOK_X, base, words.micros(record.duration_us), f"{style} e"),
        _label(DETAIL_X, base, short, style),
    ]
    if median is not None:
        parts.append(_label(USUAL_X, base, words.micros(median), "m e"))
    if record.outcome != "skipped":
        fill = FILLS["late" if is_late else record.outcome]
        width = max(1.0, record.duration_us * scale)
        parts.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="12" fill="{fill}"/>')
        if median is not None:
            width = max(1.0, min(median * scale, RIGHT - x))
            parts.append(f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="16" fill="none" stroke="#888"/>')
    return [*parts, "</g>"]


def _label(x: int, y: int, text: str, style: str) -> str:
    kind = f' class="{style.strip()}"' if style.strip() else ""
    return f'<text x="{x}" y="{y}"{kind} xml:space="preserve">{_text(text)}</text>'


def _text(text: str) -> str:
    """Escaped; without what XML cannot hold."""
    return escape(NOT_XML.sub("\ufffd", text))
