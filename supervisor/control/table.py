"""Every route of the API."""

from http import HTTPStatus
from typing import Any

from supervisor.control import acting, reading, reexecuting, streaming
from supervisor.control.models import (
    Accepted,
    EventView,
    InstanceDetail,
    InstanceView,
    KillRequest,
    Names,
    Reexecuted,
    ReloadRequest,
    StatsView,
    VersionView,
    WaitRequest,
    WaitResult,
)
from supervisor.control.reloads import FleetDiff
from supervisor.control.routes import NAME, Parameter, RouteSpec
from supervisor.spec.records import LaunchRecord

EVENT_ID = {"type": "integer", "minimum": 0}
UNKNOWN = (HTTPStatus.NOT_FOUND,)
BODY = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
AFTER = Parameter("after", "only events with a greater id; ids grow from daemon to daemon", EVENT_ID)
LAST = Parameter("last", "begin with the last so many", EVENT_ID)
FOLLOW = Parameter("follow", "false: end after what is remembered", {"type": "boolean", "default": True})
RESUME = Parameter("Last-Event-ID", "the same, as browsers send it when they reconnect", EVENT_ID, "header")

METRICS = RouteSpec(
    "GET", "/metrics", "Metrics for Prometheus", reading.metrics, media_type="application/openmetrics-text"
)
ROUTES = (
    RouteSpec("GET", "/v1/version", "Who answers", reading.version, VersionView),
    RouteSpec(
        "GET",
        "/v1/instances",
        "Every instance as it is now",
        reading.instances,
        list[InstanceView],
        parameters=(NAME,),
        errors=UNKNOWN,
    ),
    RouteSpec(
        "GET",
        "/v1/instances/{name}",
        "All that is known of an instance, or of each instance of a worker",
        reading.instance,
        list[InstanceDetail],
        errors=UNKNOWN,
    ),
    RouteSpec(
        "GET",
        "/v1/instances/{name}/launches",
        "Its last launches with every phase, oldest first",
        reading.launches,
        list[LaunchRecord],
        errors=UNKNOWN,
    ),
    RouteSpec(
        "GET",
        "/v1/instances/{name}/plan",
        "The phases of its next launch",
        reading.plan,
        list[dict[str, Any]],
        errors=UNKNOWN,
    ),
    RouteSpec(
        "GET",
        "/v1/stats",
        "CPU and memory of each sandbox and of the daemon",
        reading.stats,
        StatsView,
        parameters=(NAME,),
        errors=UNKNOWN,
    ),
    RouteSpec(
        "GET",
        "/v1/events",
        "Events as they happen; data is one Event as JSON. `events.lost` stands for those that are no longer kept",
        streaming.events,
        EventView,
        parameters=(NAME, AFTER, LAST, FOLLOW, RESUME),
        media_type="text/event-stream",
        errors=(*UNKNOWN, HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE),
    ),
    RouteSpec("POST", "/v1/start", "Want them up", acting.start, Accepted, Names, errors=(*UNKNOWN, *BODY)),
    RouteSpec("POST", "/v1/stop", "Want them down", acting.stop, Accepted, Names, errors=(*UNKNOWN, *BODY)),
    RouteSpec("POST", "/v1/restart", "Down and up again", acting.restart, Accepted, Names, errors=(*UNKNOWN, *BODY)),
    RouteSpec("POST", "/v1/kill", "Send a signal", acting.kill, Accepted, KillRequest, errors=(*UNKNOWN, *BODY)),
    RouteSpec(
        "POST",
        "/v1/pause",
        "Freeze all of their processes",
        acting.pause,
        Accepted,
        Names,
        errors=(*UNKNOWN, *BODY, HTTPStatus.CONFLICT),
    ),
    RouteSpec(
        "POST",
        "/v1/unpause",
        "Let their processes go on",
        acting.unpause,
        Accepted,
        Names,
        errors=(*UNKNOWN, *BODY, HTTPStatus.CONFLICT),
    ),
    RouteSpec(
        "POST",
        "/v1/wait",
        "Answers when the condition is met or the time is over",
        acting.wait,
        WaitResult,
        WaitRequest,
        errors=(*UNKNOWN, *BODY, HTTPStatus.SERVICE_UNAVAILABLE),
    ),
    RouteSpec(
        "POST",
        "/v1/reload",
        "Read the configuration again and say what changed",
        acting.reload,
        FleetDiff,
        ReloadRequest,
        errors=(*BODY, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
    RouteSpec(
        "POST",
        "/v1/reexec",
        "Become the program that is installed now; workers go on. Answers when that is ready; needs HTTP/1.1",
        reexecuting.reexec,
        Reexecuted,
        errors=(*BODY, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR),
    ),
    RouteSpec("POST", "/v1/shutdown", "Stop every worker, then the daemon", acting.shutdown, Accepted, errors=BODY),
    METRICS,
)
OPENAPI_PATH = "/v1/openapi.json"
