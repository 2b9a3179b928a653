"""What a keeper cannot do for the daemon."""


class Refused(Exception):  # noqa: N818  (the keeper's word)
    """The keeper could not fork: the failed step's index, its start (ns), errno, system call, message."""

    def __init__(self, index: int, start_ns: int, number: int, syscall: str, text: str) -> None:
        """As the keeper sent them."""
        super().__init__(text)
        self.index, self.start_ns, self.number, self.syscall, self.text = index, start_ns, number, syscall, text


class KeeperGoneError(Exception):
    """The keeper died, or never lived."""


class ProtocolError(KeeperGoneError):
    """It lives, and speaks no protocol of ours."""


class AdoptionError(Exception):
    """The keeper lives, and what it holds cannot be taken over: why, and what to do."""


class KeeperBusyError(AdoptionError):
    """The keeper serves another daemon."""
