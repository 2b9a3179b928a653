"""Bars for each peer, as an SVG that can be read on light and on dark."""

from html import escape

from figures import OURS, Report

PANELS = {
    "launch": "Request to first instruction, ms",
    "launch_default": "The same, default sandbox, ms",
    "rate": "Launches a second, eight at a time (more is better)",
    "restart": "Crash to next first instruction, ms",
    "storm_few": "Start of the supervisor to the last of its first instructions, s: 100 workers",
    "storm": "The same with 1,000 workers",
    "storm_memory": "Memory of all but the 1,000 workers then, MB",
    "cli": "Commands, whole processes, ms",
}
WIDTH, NAMES, BARS, ROW, GAP = 780, 270, 430, 20, 34
CLIP = 8  # a bar is at most so many times ours: slower ones are cut, their figure says how long they are
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.bar { fill: #8c959f; }
.ours { fill: #0969da; }
.cut { fill: none; stroke: #ffffff; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .bar { fill: #6e7681; }
  .ours { fill: #4493f8; }
  .cut { stroke: #0d1117; }
}
"""


def draw(reports: list[Report]) -> str:
    """The picture."""
    parts: list[str] = []
    y = 8
    for report in reports:
        if report.name in PANELS and report.rows():
            drawn, y = _panel(PANELS[report.name], report, y)
            parts += drawn
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    title = "<title>nsvisor beside other launchers and supervisors</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def _panel(title: str, report: Report, y: int) -> tuple[list[str], int]:
    rows = report.rows()
    ours = [row[2] for row in rows if row[0].startswith(OURS)]
    longest = min(max(row[2] for row in rows), CLIP * max(ours, default=rows[0][2]))
    parts = [f'<text class="title" x="8" y="{y + 16}">{escape(title)}</text>']
    y += 24
    for peer, _, middle, _, _ in rows:
        length = max(1.0, min(middle, longest) / longest * BARS)
        kind = "ours" if peer.startswith(OURS) else "bar"
        parts.append(f'<text x="{NAMES - 8}" y="{y + 14}" text-anchor="end">{escape(peer)}</text>')
        parts.append(f'<rect class="{kind}" x="{NAMES}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" rx="2"/>')
        if middle > longest:
            at = NAMES + length - 24
            parts.append(f'<path class="cut" d="M{at} {y + ROW} l8 -{ROW} m6 0 l-8 {ROW}"/>')
        parts.append(f'<text x="{NAMES + length + 6:.1f}" y="{y + 14}">{_short(middle)}</text>')
        y += ROW
    return parts, y + GAP - ROW


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
