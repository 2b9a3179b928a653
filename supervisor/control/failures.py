"""Why a request to the daemon came to nothing. Light: the command line imports it only when something went wrong."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.control.models import ErrorView


class ControlError(Exception):
    """The daemon refused, or could not be asked. The text begins with "cannot"."""


class NoDaemon(ControlError):  # noqa: N818 the name says what happened
    """Nobody listens on the socket."""


class NotPermitted(ControlError):  # noqa: N818 the name says what happened
    """The socket belongs to somebody else."""


class Refused(ControlError):  # noqa: N818 the name says what happened
    """The daemon answered with an error."""

    def __init__(self, status: int, view: "ErrorView") -> None:
        """`view.code` says which."""
        super().__init__(view.message)
        self.status = status
        self.view = view
