"""The OpenAPI 3.1 description, made from the table of routes and the types of the models."""

import re
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from supervisor import __version__
from supervisor.control.models import ErrorBody
from supervisor.control.routes import Parameter, RouteSpec
from supervisor.control.table import OPENAPI_PATH, ROUTES

JSON = "application/json"


@cache
def document() -> dict[str, Any]:
    """Described: every route, parameter, body and answer."""
    types: list[Any] = [ErrorBody]
    for spec in ROUTES:
        types += [kind for kind in (spec.answer, spec.request) if kind is not None and kind not in types]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for spec in ROUTES:
        paths.setdefault(spec.path, {})[spec.method.lower()] = _operation(spec, by_type)
    paths[OPENAPI_PATH] = {
        "get": {
            "operationId": "openapi",
            "summary": "This description",
            "responses": {"200": _answer("OpenAPI 3.1", JSON, {"type": "object"})},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "nsvisor", "version": __version__, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "http://localhost", "description": "over the daemon's unix socket"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(spec: RouteSpec, by_type: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "string"} if spec.answer is None else by_type[repr(spec.answer)]
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", spec.path.removeprefix("/v1")).strip("_") or "root",
        "summary": spec.summary,
        "parameters": [_path_parameter(name) for name in re.findall(r"{(\w+)}", spec.path)]
        + [_parameter(one) for one in spec.parameters],
        "responses": {"200": _answer("done, or accepted", spec.media_type, _framed(spec.media_type, schema))},
    }
    for status in sorted(set(spec.errors)):
        operation["responses"][str(int(status))] = _answer(HTTPStatus(status).phrase, JSON, by_type[repr(ErrorBody)])
    if spec.request is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": by_type[repr(spec.request)]}}}
    return operation


def _framed(media_type: str, schema: Any) -> Any:
    """Of a stream, each server-sent event: the answer itself is in its `data`, as JSON."""
    if media_type != "text/event-stream":
        return schema
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": schema}
    return {"type": "object", "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": data}}


def _answer(summary: str, media_type: str, schema: Any) -> dict[str, Any]:
    return {"description": summary, "content": {media_type: {"schema": schema}}}


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "a worker or an instance",
        "schema": {"type": "string"},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: Any = dict(parameter.schema)
    if parameter.name == "name":
        schema = {"type": "array", "items": schema}
    return {"name": parameter.name, "in": parameter.place, "description": parameter.summary, "schema": schema}
