"""The signals that the daemon obeys."""

import signal

OBEYED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def block() -> None:
    """Let them wait: until there is a handler, and from the last one to the first one of the next program.

    The mask and what is pending survive execve(2); handlers do not, and the default of all four is to end the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)


def unblock() -> None:
    """Have what waits delivered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)
