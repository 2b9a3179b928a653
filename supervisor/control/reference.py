"""docs/reference/api.md: `python -m supervisor.control.reference > docs/reference/api.md`."""

from typing import Any

from supervisor.control.openapi import document

HEAD = """\
# Control API

Generated from `supervisor/control/table.py`.

HTTP and JSON over the unix socket `$XDG_RUNTIME_DIR/nsvisor/control.sock` (as root without it:
`/run/nsvisor/control.sock`), mode 0600 in a directory of mode 0700: who may open it may do everything.

    curl --unix-socket $XDG_RUNTIME_DIR/nsvisor/control.sock http://localhost/v1/instances

`GET /v1/openapi.json` describes it all for programs (OpenAPI 3.1). Times named `_at` are wall clock, seconds since the
epoch; other times are durations in the unit of their name. Requests that act answer as soon as they are accepted;
`POST /v1/wait` answers when it is done. An empty list of names means all, except for `kill`. Bodies have at most
64 KiB.

An answer that is not 2xx is `{"error": {"code": …, "message": "cannot …"}}`:

| status | code | meaning |
|---|---|---|
| 400 | `bad_request` | the request makes no sense |
| 404 | `unknown_name` | no such worker or instance; `nearest` is what was perhaps meant |
| 404, 405 | `no_such_route`, `wrong_method` | see `/v1/openapi.json` |
| 408, 413 | `too_slow`, `too_large` | the body did not come within 10 s, or is too long |
| 409 | `conflict` | understood, but not in this state |
| 422 | `config_error` | the configuration cannot be used; `problems` has each mistake; nothing was changed |
| 500 | `internal` | a fault of the daemon's, in its log with the traceback |
| 503 | `too_many` | 192 clients wait or follow events already |

`GET /v1/events` is a stream of server-sent events: `id`, `event` (the name), `data` (one `EventView` as JSON). It
resumes after `Last-Event-ID`. The daemon remembers the last 1000; who reads too slowly gets `events.lost`.

A connection that has asked for nothing for 30 s is closed. At most 256 are open: who comes then takes the place of the
oldest that has no request under way, else of the one that has not read its answer for the longest (5 s at least); where
there is none it is refused. `control.refused` says how many, at most every ten seconds. The exec socket has 256 places,
too, and a client that has sent no request makes room. If a socket's file is deleted, it is there again within seconds
(`control.restored`).

`nsvisor exec` speaks to a socket of its own, for descriptors go with its requests: `exec.sock` beside `control.sock`
(beside another NAME, `NAME.exec`), SOCK_SEQPACKET, mode 0600, open to the daemon's user and root. Each message is one
JSON object; the client's first is `{"kind": "exec", "instance": …, "command": […], "env": {}, "working_dir": null,
"user": null, "terminal": false}` with its standard input, output and error (SCM_RIGHTS), later ones `{"kind":
"signal", "number": …}`. The daemon answers `started` or `failed` (with the phase, errno and hint), before that
`terminal` with a pseudo-terminal's master where one was asked for, and `exited` in the end. To close the connection
is to hang up.
"""


def markdown() -> str:
    """The page."""
    described = document()
    lines = [HEAD, "## Requests", "", "| request | body | parameters | answer | |", "|---|---|---|---|---|"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            query = [one["name"] for one in operation.get("parameters", ()) if one["in"] != "path"]
            body = operation.get("requestBody")
            answer = operation["responses"]["200"]["content"]
            cells = (
                f"`{method.upper()} {path}`",
                _kind(body["content"]["application/json"]["schema"]) if body else "",
                ", ".join(f"`{name}`" for name in query),
                next(_kind(one["schema"]) if "json" in media else f"`{media}`" for media, one in answer.items()),
                operation["summary"],
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Types", ""]
    for name, schema in described["components"]["schemas"].items():
        if "properties" in schema:
            lines += _type(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _type(name: str, schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    lines = [f"### {name}", "", *(schema.get("description", "").splitlines()), "", "| key | type | |", "|---|---|---|"]
    for key, one in schema["properties"].items():
        lines.append(f"| `{key}` | {_kind(one)} | {'required' if key in required else ''} |")
    return [*lines, ""]


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "properties" in _components()[name] else f"`{name}`"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[union]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        items: dict[str, Any] = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
        return f"list of {_kind(items)}"
    return str(schema.get("type", "anything"))


def _components() -> dict[str, Any]:
    schemas: dict[str, Any] = document()["components"]["schemas"]
    return schemas


if __name__ == "__main__":
    print(markdown(), end="")
