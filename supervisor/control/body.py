"""ASGI middleware that reads request bodies: bounded in size and time, before any handler runs."""

from http import HTTPStatus

import msgspec
import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supervisor.control.models import ErrorBody, ErrorView

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10.0
DRAIN_TIMEOUT_S = 1.0  # for the rest of a refused body


class BodyLimit:
    """Hand the application whole bodies only; refuse what is too long (413) or too slow (408)."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` is what comes next."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then call the application with it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        with trio.move_on_after(BODY_TIMEOUT_S) as patience:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    break
        if patience.cancelled_caught:
            await _refuse(send, HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {BODY_TIMEOUT_S:g} s")
            await _finish(scope, receive, send)
            return
        if len(body) > MAX_BODY_BYTES:
            message_text = f"the body is longer than {MAX_BODY_BYTES} bytes"
            await _refuse(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message_text)
            await _finish(scope, receive, send)
            return
        await self._app(scope, _Replay(bytes(body), receive), send)


class _Replay:
    """Gives the body once, then whatever comes (a disconnect)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


async def _refuse(send: Send, status: HTTPStatus, why: str) -> None:
    """Answer while the body is still coming. The last message is left to _finish."""
    code = "too_large" if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "too_slow"
    body = msgspec.json.encode(ErrorBody(ErrorView(code, f"cannot read the request: {why}")))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _finish(scope: Scope, receive: Receive, send: Send) -> None:
    """Take what is queued, then end the answer: Hypercorn's queue is bounded, and it waits for room to end a request.

    The server puts its `stream` into the scope; without it (in a test client) the rest is simply read.
    """
    stream = scope.get("state", {}).get("stream")
    if stream is not None:
        stream.hang_up()
    with trio.move_on_after(DRAIN_TIMEOUT_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                break
    await send({"type": "http.response.body", "body": b"", "more_body": False})
