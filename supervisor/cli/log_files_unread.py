"""Files of logs that are there and could not be read: said once each."""

import errno
import resource

import click

from supervisor.cli.common import say

FILES_EACH = 8  # log.keep is 5, if nothing else is said


class Unread:
    """Call it with each error."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, error: OSError) -> None:
        """Say so, unless that was said. Raises click.ClickException where no more files can be opened at all."""
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise click.ClickException("cannot open so many logs at once: name fewer workers, or raise `ulimit -n`")
        if str(error.filename) not in self._told:
            self._told.add(str(error.filename))
            why = "a symbolic link is not followed" if error.errno == errno.ELOOP else error.strerror
            say(f"cannot read {error.filename}: {why}")

    def __bool__(self) -> bool:
        """Whether there were any."""
        return bool(self._told)


def allow_many_files(count: int) -> None:
    """Each of so many logs is held open, with the files before it: the usual 1024 may not do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if FILES_EACH * count > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
