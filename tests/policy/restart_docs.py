"""Write the generated parts of docs/reference/restart.md: python -m tests.policy.restart_docs."""

from pathlib import Path

from supervisor.policy.diagram import mermaid, rules_markdown, states_markdown

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "restart.md"


def generated(text: str) -> str:
    """Return the page with its generated parts as the table has them now."""
    parts = {
        "states": states_markdown(),
        "diagram": f"```mermaid\n{mermaid()}\n```",
        "rules": rules_markdown(),
    }
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"cannot place the part {name}: its two markers are not there once each")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
