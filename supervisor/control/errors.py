"""Refusals of the API: a status, a code, and words that say what is wrong."""

from http import HTTPStatus

from supervisor.control.models import ErrorBody, ErrorView, ProblemView
from supervisor.spec.errors import ConfigError
from supervisor.spec.names import UnknownName


class ApiError(Exception):
    """A request that cannot be done. `code` is for programs, `message` for people."""

    def __init__(self, status: HTTPStatus, view: ErrorView) -> None:
        """`view` is the body."""
        super().__init__(view.message)
        self.status = status
        self.body = ErrorBody(view)


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(HTTPStatus.BAD_REQUEST, ErrorView("bad_request", message))


def conflict(message: str) -> ApiError:
    """409: understood, but not in this state."""
    return ApiError(HTTPStatus.CONFLICT, ErrorView("conflict", message))


def leaving(what: str) -> ApiError:
    """503: another program is about to take the place of the one that answers."""
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        ErrorView("leaving", f"cannot {what}: the daemon re-executes itself: ask again"),
    )


def unknown_name(error: UnknownName) -> ApiError:
    """404: neither a worker nor an instance."""
    view = ErrorView("unknown_name", str(error), name=error.name, nearest=error.nearest)
    return ApiError(HTTPStatus.NOT_FOUND, view)


def config_error(error: ConfigError) -> ApiError:
    """422: the configuration is wrong; nothing was changed."""
    problems = tuple(
        ProblemView(
            message=problem.message,
            file=problem.file,
            line=problem.line,
            key=problem.key,
            value=problem.value,
            allowed=problem.allowed,
            nearest=problem.nearest,
            text=str(problem),
        )
        for problem in error.problems
    )
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    view = ErrorView("config_error", f"cannot use the configuration: {count}", problems=problems)
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, view)
