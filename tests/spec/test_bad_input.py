from pathlib import Path

import pytest

from tests.spec.problems import refusal


def cases(file: str) -> list[tuple[str, list[str]]]:
    """Texts and the lines that each is refused with."""
    _, *blocks = (Path(__file__).parent / file).read_text().split("====\n")
    halves = [block.split("\n----\n") for block in blocks]
    return [(text, [f"f.toml:{line}" for line in lines.rstrip("\n").split("\n")]) for text, lines in halves]


@pytest.mark.parametrize(("text", "lines"), cases("bad_worker.txt"))
def test_bad_worker(text: str, lines: list[str]) -> None:
    assert refusal(f'[worker.web]\ncommand = ["serve"]\n{text}\n') == lines


@pytest.mark.parametrize(("text", "lines"), cases("bad_file.txt"))
def test_bad_file(text: str, lines: list[str]) -> None:
    assert refusal(text) == lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"a = {'1' * 5000}", "f.toml: not usable: a number of too many digits"),
        (f"a = {'[' * 100_000}", "f.toml: not usable: arrays or tables nested too deeply"),
        ('a = "\ud800"', "f.toml:1: not UTF-8: a lone surrogate; allowed: text in UTF-8"),
        (
            f"[supervisor]\nlog_level = 0x{'f' * 5000}",
            (
                'f.toml:2: supervisor.log_level = a number of 20000 bits: wrong type; allowed: "debug", "info", '
                '"warning", "error"'
            ),
        ),
        (
            f"[supervisor]\nadopt_timeout = 0x{'f' * 5000}",
            (
                "f.toml:2: supervisor.adopt_timeout = a number of 20000 bits: out of range; allowed: "
                '"10s", "500ms", "5m", "1h30m" or a number of seconds'
            ),
        ),
    ],
    ids=range(5),
)
def test_what_is_too_much(text: str, line: str) -> None:
    assert refusal(text) == [line]


def test_all_at_once_in_the_order_of_lines() -> None:
    text = '[worker.b]\nafter = ["x"]\n[worker.a]\ncommand = ["x"]\ninit = 3\nlog.keep = -1\n[supervisor]\nx = 1\n'
    assert [line.split(": ")[:2] for line in refusal(text)] == [
        ["f.toml:1", "worker.b.command"],
        ["f.toml:2", 'worker.b.after[0] = "x"'],
        ["f.toml:5", "worker.a.init = 3"],
        ["f.toml:6", "worker.a.log.keep = -1"],
        ["f.toml:8", "supervisor.x"],
    ]


def test_nothing_reaches_a_terminal_raw() -> None:
    found = refusal('[worker.web]\ncommand = ["x"]\n"a\\u001b[2J" = 1\nrestart.policy = "\\u202e\\n"\n')
    assert len(found) == 2
    assert all(line.isprintable() for line in found)


def test_every_cycle_is_told() -> None:
    text = "".join(
        f'[worker.{name}]\ncommand = ["x"]\nafter = ["{other}"]\n' for name, other in ("ab", "ba", "cd", "de", "ec")
    )
    assert [line.split(": ")[-1] for line in refusal(text)] == ["a → b → a", "c → d → e → c"]
