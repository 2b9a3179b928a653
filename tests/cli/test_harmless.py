import json

import pytest

from supervisor.cli import harmless
from supervisor.spec.records import ExitRecord

DRIVING = "\x1b]0;title\x07 \x1b[2J \x9b2J \x7f\x08 \u202e"


def test_in_a_line_nothing_drives_the_terminal() -> None:
    assert harmless.one_line(f"{DRIVING}\n\t\r\x1b[31m ü 日") == (
        "\\x1b]0;title\\x07 \\x1b[2J \\x9b2J \\x7f\\x08 \\u202e\\n\\t\\r\\x1b[31m ü 日"
    )


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[31mred\x1b[0m and plain", "\x1b[31mred\x1b[0m and plain"),
        ("\x1b[31mred for ever", "\x1b[31mred for ever\x1b[0m"),
        ("of Windows\r", "of Windows"),
        ("10 %\r20 %", "10 %\\x0d20 %"),
        ("\ta \x1b[H", "\ta \\x1b[H"),
    ],
)
def test_of_output_colours_pass_to_the_end_of_the_line(printed: str, shown: str) -> None:
    assert harmless.line_of_output(printed) == shown


def test_json_says_the_same() -> None:
    text = harmless.json_text(json.dumps({"m": DRIVING}, ensure_ascii=False))
    assert text.isprintable()
    assert json.loads(text) == {"m": DRIVING}


def test_all_of_a_record() -> None:
    record = harmless.all_of(ExitRecord(1, "unhealthy", 0.0, probe=DRIVING, stderr_tail=("a\nb", "ü")))
    assert isinstance(record, ExitRecord)
    assert record.probe is not None
    assert record.probe.isprintable()
    assert record.stderr_tail == ("a\\nb", "ü")
