"""How many launches are under way at once, and who is next: first come, first served."""

from collections import OrderedDict

import trio


class Slots:
    """As trio.CapacityLimiter, but that a place in the queue is taken at once.

    A task takes its place when it first runs, and Trio runs those that were started together in any order: the
    launches of a fleet would be in any order, too.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._borrowers: set[object] = set()
        self._queue: OrderedDict[object, trio.Event] = OrderedDict()
        self._patient: OrderedDict[object, trio.Event] = OrderedDict()  # whose turn it is when nobody else has one

    @property
    def total_tokens(self) -> int:
        """As many at once. With fewer than are borrowed, none is given until enough have come back."""
        return self._total

    @total_tokens.setter
    def total_tokens(self, total: int) -> None:
        self._total = total
        self._give()

    @property
    def borrowed_tokens(self) -> int:
        """So many are under way."""
        return len(self._borrowers)

    @property
    def waiting(self) -> int:
        """So many have a place in the queue."""
        return len(self._queue)

    def enqueue(self, borrower: object) -> None:
        """Take a place in the queue. acquire_on_behalf_of() must follow."""
        if borrower not in self._borrowers and borrower not in self._queue:
            self._queue[borrower] = trio.Event()
            self._give()

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Wait for the turn, if there is to be waited. Cancelled, it has lost its place, or what it had got already."""
        self.enqueue(borrower)
        try:
            given = self._queue.get(borrower)
            if given is not None:
                await given.wait()
            else:  # it is its turn already: no round of the event loop later
                await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            self._queue.pop(borrower, None)
            if borrower in self._borrowers:
                self.release_on_behalf_of(borrower)
            raise

    async def acquire_when_idle(self, borrower: object) -> None:
        """Wait until nothing is under way and nobody waits, but for others as patient, one at a time."""
        given = self._patient[borrower] = trio.Event()
        self._give()
        try:
            await given.wait()
        except trio.Cancelled:
            self._patient.pop(borrower, None)
            if borrower in self._borrowers:
                self.release_on_behalf_of(borrower)
            raise

    def release_on_behalf_of(self, borrower: object) -> None:
        """Give it back: the next one's turn. KeyError where it has none."""
        self._borrowers.remove(borrower)
        self._give()

    def _give(self) -> None:
        while self._queue and len(self._borrowers) < self._total:
            borrower, given = self._queue.popitem(last=False)
            self._borrowers.add(borrower)
            given.set()
        if self._patient and not self._borrowers and self._total:
            borrower, given = self._patient.popitem(last=False)
            self._borrowers.add(borrower)
            given.set()
