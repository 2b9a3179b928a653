"""How a process ended, taken apart."""

import signal

import msgspec

from supervisor.spec.records import Rusage


class ExitStatus(msgspec.Struct, frozen=True):
    """What waitpid(2) and getrusage(2) said of an incarnation."""

    code: int | None
    signal: str | None
    core_dumped: bool
    rusage: Rusage | None  # None: it was not its keeper's child, but an earlier one's

    @property
    def is_known(self) -> bool:
        """Whether anybody saw how it ended."""
        return self.code is not None or self.signal is not None

    @classmethod
    def from_wait(cls, status: int, user_us: int, system_us: int, max_rss_kib: int) -> "ExitStatus":
        """Take a wait status apart (wait(2)); -1 is that of who ended unseen."""
        if status < 0:
            return cls(None, None, core_dumped=False, rusage=None)
        killed_by = status & 0x7F
        return cls(
            code=None if killed_by else status >> 8 & 0xFF,
            signal=signal_name(killed_by) if killed_by else None,
            core_dumped=bool(status & 0x80),
            rusage=Rusage(user_us / 1e6, system_us / 1e6, max_rss_kib * 1024) if max_rss_kib else None,
        )


def signal_name(number: int) -> str:
    """SIGKILL for 9, SIGRTMIN+3 for 37; SIG33 where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"SIG{number}"
