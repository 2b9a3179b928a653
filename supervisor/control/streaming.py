"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from supervisor.control.errors import bad_request
from supervisor.control.fleet_surface import BusSurface, EventSurface
from supervisor.control.models import EventView
from supervisor.control.routes import Context

KEEPALIVE_S = 15.0


async def events(context: Context, request: Request) -> Response:
    """Events as they happen, from Last-Event-ID, ?after= or ?last= on."""
    fleet = context.fleet
    chosen = request.query_params.getlist("name")
    names = frozenset(one.name for one in fleet.select(chosen)) | frozenset(chosen) if chosen else frozenset[str]()
    follow = _flag(request, "follow")
    return _EventStream(context, _first(request, fleet.bus), names, follow)


def encode(event: EventSurface) -> bytes:
    """One event as a server-sent one. JSON holds no line end, so one data line is enough."""
    view = EventView(event.id, event.time, event.level, event.event, dict(event.fields))
    data = msgspec.json.encode(view, enc_hook=repr)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.event.encode(), data)


def _first(request: Request, bus: BusSurface) -> int:
    """The id after which to begin."""
    resumed = request.headers.get("last-event-id")
    if resumed is not None:
        return _number("Last-Event-ID", resumed)
    last = request.query_params.get("last")
    if last is not None:
        return bus.before_last(_number("last", last))
    return _number("after", request.query_params.get("after", "0"))


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise bad_request(f"cannot read {name} {text!r}: it is a number of events or the id of one")
    return int(text)


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "true")
    if text not in ("true", "false"):
        raise bad_request(f"cannot read {name} {text!r}: it is true or false")
    return text == "true"


def _concerns(event: EventSurface, names: frozenset[str]) -> bool:
    fields = event.fields
    if event.event == "events.lost":  # whose they were, nobody knows
        return True
    return not names or fields.get("instance") in names or fields.get("worker") in names


class _EventStream(Response):
    """Not Starlette's StreamingResponse: it leaves its generator unfinished when the client goes."""

    def __init__(self, context: Context, after: int, names: frozenset[str], follow: bool) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._stopping = context.stopping
        self._present = context.fleet.bus.last_id
        self._names = names
        self._follow = follow
        self._subscription = context.fleet.bus.subscribe(after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI's signature
        """Send until the client goes, or the server ends."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch_client, receive, nursery.cancel_scope)
                nursery.start_soon(self._watch_server)
                await _send_chunk(send, b"retry: 1000\n\n")
                while self._follow or self._subscription.is_behind(self._present):
                    chunk = await self._next_chunk()
                    if chunk is None:
                        break
                    await _send_chunk(send, chunk)
                nursery.cancel_scope.cancel()
            # Out here: it makes Hypercorn say "disconnect", which would cancel it before the connection is closed.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._subscription.close()

    async def _next_chunk(self) -> bytes | None:
        """The next event that concerns the client, or a sign of life; None at the end."""
        with trio.move_on_after(KEEPALIVE_S):
            async for event in self._subscription:
                if _concerns(event, self._names):
                    return encode(event)
                if not self._follow and event.id >= self._present:
                    return None
            return None
        return b": still here\n\n"

    async def _watch_server(self) -> None:
        await self._stopping.wait()
        self._subscription.close()


async def _watch_client(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send_chunk(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})
