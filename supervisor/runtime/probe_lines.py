"""Readiness by a line of output: a regular expression, searched for in each line as it comes."""

import re
import signal
from collections.abc import Callable
from types import FrameType

LINE_BYTES = 4096  # of a longer one only so much is looked at
SEARCH_S = 0.02  # of CPU time; then the search is given up: the pattern is the operator's, the line is the worker's
STRIKES = 10  # searches given up, and no more are made


class _TooLongError(Exception):
    """The timer has fired."""


class LineSearch:
    """Feed it what is read; it calls `found` once with the line, or `gave_up` where searching costs too much."""

    def __init__(self, pattern: str, found: Callable[[str], None], gave_up: Callable[[], None]) -> None:
        self._pattern = re.compile(pattern)
        self._found = found
        self._gave_up = gave_up
        self._rest: dict[str, bytes] = {}
        self._strikes = 0
        self._over = False

    def feed(self, stream: str, chunk: bytes) -> None:
        """Take a chunk of one stream. Cheap once it is over."""
        if self._over:
            return
        lines = (self._rest.get(stream, b"") + chunk).split(b"\n")
        self._rest[stream] = lines.pop()[:LINE_BYTES]
        for line in lines:
            if self._look(line[:LINE_BYTES].decode(errors="replace").removesuffix("\r")):
                return

    def stop(self) -> None:
        """Look no more."""
        self._over = True
        self._rest.clear()

    def _look(self, line: str) -> bool:
        """Whether that was the last one."""
        matches = bounded_search(self._pattern, line)
        if matches is None:
            self._strikes += 1
            if self._strikes == STRIKES:
                self.stop()
                self._gave_up()
        elif matches:
            self.stop()
            self._found(line)
        return self._over


def bounded_search(pattern: re.Pattern[str], line: str) -> bool | None:
    """Whether the pattern matches; None where that was not known after SEARCH_S. In the main thread only.

    Backtracking may take for ever, and holds the interpreter; but it looks for signals (CPython's sre, now and then).
    """
    timer = _Timer()
    before = signal.signal(signal.SIGVTALRM, timer.fire)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_S)
        matches: bool | None = pattern.search(line) is not None
        timer.armed = False
    except _TooLongError:
        matches = None
    finally:
        timer.armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return matches


class _Timer:
    """Fires once at most, and only while the search is under way."""

    armed = True

    def fire(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            raise _TooLongError
