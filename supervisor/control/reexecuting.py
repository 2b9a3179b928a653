"""POST /v1/reexec: who asks is answered by the program that the daemon becomes."""

import os

from starlette.requests import Request
from starlette.responses import Response

from supervisor.control.errors import bad_request, conflict, leaving
from supervisor.control.routes import Context
from supervisor.control.stream import ControlStream
from supervisor.runtime.reexec_check import CannotReexecError

HTTP_1 = ("1.0", "1.1")


async def reexec(context: Context, request: Request) -> Response:
    """Answers only where it was refused."""
    stream: ControlStream | None = request.scope.get("state", {}).get("stream")
    if stream is None or request.scope["http_version"] not in HTTP_1:
        raise bad_request("cannot re-execute: the answer is sent by another program, which speaks HTTP/1.1 only")
    stream.outlasting += 1
    try:
        await context.fleet.reexec(lambda: os.dup(stream.socket.fileno()))
    except CannotReexecError as error:
        raise conflict(str(error)) from None
    finally:
        stream.outlasting -= 1
    raise leaving("answer")
