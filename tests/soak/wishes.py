"""Who was started and who was stopped by hand, as far as it was answered."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence


class Wishes:
    """Of several threads that ask."""

    def __init__(self, names: Sequence[str]) -> None:
        self._wanted: dict[str, bool | None] = dict.fromkeys(names)  # None: nobody can tell
        self._busy: Counter[str] = Counter()
        self._forgotten = 0
        self._lock = threading.Lock()

    def ask(self, name: str, verb: str, post: Callable[[], bool]) -> None:
        """Have it asked for by this request, one at a time for each name; True from it: it was accepted."""
        with self._lock:
            if self._busy[name]:
                return
            self._busy[name] += 1
            self._wanted[name] = None
            forgotten = self._forgotten
        answered = False
        try:
            answered = post()
        finally:
            with self._lock:
                self._busy[name] -= 1
                if answered and forgotten == self._forgotten:
                    self._wanted[name] = verb != "stop"

    def forget(self) -> None:
        """The state may be lost: what was answered before holds no more, even where the answer is still to be read."""
        with self._lock:
            self._forgotten += 1
            self._wanted = dict.fromkeys(self._wanted)

    def is_down(self, name: str) -> bool:
        """Whether it was stopped by hand, and nobody is asking for anything else."""
        with self._lock:
            return not self._busy[name] and self._wanted.get(name) is False
