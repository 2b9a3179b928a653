"""Whether a server is about to end, or to be another program's: what lasts ends then."""

import trio


class Closing:
    """An event that can be taken back."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self.for_good = False

    def set(self, *, for_good: bool) -> None:
        """It is. for_good: there will be nobody to ask again."""
        self.for_good = for_good
        self._event.set()

    def clear(self) -> None:
        """It goes on."""
        if self._event.is_set():
            self._event = trio.Event()

    def is_set(self) -> bool:
        """Whether it is."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait until it is."""
        await self._event.wait()
