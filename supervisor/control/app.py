"""The ASGI application: routes, errors as JSON, bounded bodies."""

import traceback
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supervisor.control.body import BodyLimit
from supervisor.control.closing import Closing
from supervisor.control.errors import ApiError, config_error, conflict, unknown_name
from supervisor.control.fleet_surface import FleetSurface
from supervisor.control.models import ErrorBody, ErrorView
from supervisor.control.openapi import document
from supervisor.control.routes import Context, RouteSpec, json_response
from supervisor.control.table import OPENAPI_PATH, ROUTES
from supervisor.control.usage import Sampler
from supervisor.policy.restart import IllegalMove
from supervisor.spec.errors import ConfigError
from supervisor.spec.names import UnknownName


def build(fleet: FleetSurface, stopping: Closing, specs: Sequence[RouteSpec] = ROUTES) -> Starlette:
    """The application; `stopping` ends its streams."""
    context = Context(fleet, Sampler(), stopping)
    routes = [Route(spec.path, partial(_handle, context, spec), methods=[spec.method]) for spec in specs]
    if specs is ROUTES:
        routes.append(Route(OPENAPI_PATH, _openapi, methods=["GET"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(BodyLimit)],
        exception_handlers={HTTPException: _http_error, Exception: partial(_fault, fleet)},
    )


async def _handle(context: Context, spec: RouteSpec, request: Request) -> Response:
    try:
        return await spec.handler(context, request)
    except ApiError as error:
        refusal = error
    except UnknownName as error:
        refusal = unknown_name(error)
    except ConfigError as error:
        refusal = config_error(error)
    except IllegalMove as error:
        refusal = conflict(str(error))
    return json_response(refusal.body, refusal.status)


async def _openapi(_request: Request) -> Response:
    return json_response(document())


async def _http_error(_request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.BAD_REQUEST
    code = {HTTPStatus.NOT_FOUND: "no_such_route", HTTPStatus.METHOD_NOT_ALLOWED: "wrong_method"}.get(
        status, "bad_request"
    )
    view = ErrorView(code, f"cannot serve this request: {status.phrase.lower()} (see {OPENAPI_PATH})")
    response = json_response(ErrorBody(view), status)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def too_many(most: int) -> Response:
    """503: so many requests that last are under way."""
    view = ErrorView("too_many", f"cannot serve this request: {most} clients wait or follow events already")
    return json_response(ErrorBody(view), HTTPStatus.SERVICE_UNAVAILABLE)


async def _fault(fleet: FleetSurface, request: Request, error: Exception) -> Response:
    where = f"{request.method} {request.url.path}"
    text = "".join(traceback.format_exception(error))
    fleet.bus.publish("control.failed", "error", error=f"{where}: {error!r}", traceback=text)
    view = ErrorView("internal", f"cannot answer {where}: {error!r} (the daemon's log has the traceback)")
    return json_response(ErrorBody(view), HTTPStatus.INTERNAL_SERVER_ERROR)
