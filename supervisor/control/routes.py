"""The routes as a table: Starlette serves them and the OpenAPI document describes them, both from here."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from supervisor.control.closing import Closing
from supervisor.control.errors import bad_request
from supervisor.control.fleet_surface import FleetSurface
from supervisor.control.usage import Sampler


class Context(NamedTuple):
    """What every handler may use."""

    fleet: FleetSurface
    sampler: Sampler
    stopping: Closing


Handler = Callable[[Context, Request], Awaitable[Response]]


class Parameter(NamedTuple):
    """A parameter in the query or in a header. All are optional."""

    name: str
    summary: str
    schema: Mapping[str, Any]
    place: Literal["query", "header"] = "query"


class RouteSpec(NamedTuple):
    """One method of one path."""

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handler: Handler
    answer: Any = None  # a type, for JSON
    request: type[msgspec.Struct] | None = None  # the JSON body's
    parameters: tuple[Parameter, ...] = ()
    media_type: str = "application/json"
    errors: tuple[HTTPStatus, ...] = ()


Body = TypeVar("Body", bound=msgspec.Struct)
Result = TypeVar("Result")

TEXT = {"type": "string"}
NAME = Parameter("name", "only these workers or instances; may be given more than once", TEXT)


def json_response(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Anything that msgspec encodes."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The request's JSON; an empty body stands for {}. Raises ApiError (400)."""
    raw = await request.body()
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise bad_request(f"cannot read the request: {error}") from error


async def until_disconnect(request: Request, closing: Closing, work: Callable[[], Awaitable[Result]]) -> Result | None:
    """Do it, and give up when the client has gone, or is to ask another program: None then."""
    result: Result | None = None

    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        async def watch_server() -> None:
            await closing.wait()
            if not closing.for_good:
                nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        nursery.start_soon(watch_server)
        result = await work()
        nursery.cancel_scope.cancel()
    return result
