"""A line of output that is searched for."""

import re
import signal
import time

import pytest

from supervisor.runtime.probe_lines import LINE_BYTES, STRIKES, LineSearch, bounded_search


class Search:
    def __init__(self, pattern: str) -> None:
        self.found: list[str] = []
        self.given_up = 0
        self.lines = LineSearch(pattern, self.found.append, self._give_up)

    def _give_up(self) -> None:
        self.given_up += 1


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([("stdout", b"up\n")], ["up"]),
        ([("stdout", b"not up\nup\r\nup\n")], ["up"]),
        ([("stdout", b"u"), ("stdout", b"p\n")], ["up"]),
        ([("stdout", b"u"), ("stderr", b"p\n")], []),
        ([("stdout", b"up")], []),
        ([("stdout", b"u\xffp\nup\n")], ["up"]),
        ([("stdout", b"x" * LINE_BYTES), ("stdout", b"\nup\n")], ["up"]),
    ],
)
def test_lines(chunks: list[tuple[str, bytes]], found: list[str]) -> None:
    search = Search("^up$")
    for stream, chunk in chunks:
        search.lines.feed(stream, chunk)
    assert search.found == found


def test_an_endless_line_is_not_kept() -> None:
    search = Search("up")
    for _ in range(100):
        search.lines.feed("stdout", b"x" * 65536)
    search.lines.feed("stdout", b"up\n")  # beyond what is looked at
    assert search.found == []
    assert len(search.lines._rest["stdout"]) <= LINE_BYTES


def test_a_pattern_that_backtracks_for_ever_does_not_hold_the_daemon() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    begun = time.process_time()
    assert bounded_search(re.compile("(a+)+$"), "a" * 40 + "b") is None
    assert time.process_time() - begun < 1
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    search = Search("(a+)+$")
    search.lines.feed("stdout", (b"a" * 40 + b"b\n") * (STRIKES + 5))
    assert search.given_up == 1
    search.lines.feed("stdout", b"aaa\n")
    assert search.found == []
