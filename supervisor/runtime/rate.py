"""So many bytes a second, and a second's worth at once."""

import time


class Rate:
    """A token bucket that may run into debt: a chunk is taken whole, and paid off before the next one."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._left = float(bytes_per_s)
        self._at = time.monotonic()

    def take(self, size_bytes: int) -> None:
        """Count what was read."""
        self._fill()
        self._left -= size_bytes

    def wait_s(self) -> float:
        """How long until more may be taken. 0: now."""
        self._fill()
        return max(0.0, -self._left / self._bytes_per_s)

    def _fill(self) -> None:
        now = time.monotonic()
        self._left = min(float(self._bytes_per_s), self._left + (now - self._at) * self._bytes_per_s)
        self._at = now
