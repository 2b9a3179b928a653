"""Handlers that only look."""

import math
import os
import time
from collections.abc import Sequence

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from supervisor import __version__
from supervisor.control.fleet_surface import InstanceSurface
from supervisor.control.models import InstanceDetail, InstanceView, StatsView, UsageView, VersionView
from supervisor.control.routes import Context, json_response
from supervisor.control.views import instance_detail, instance_view
from supervisor.runtime.turns import Portions
from supervisor.spec.records import LaunchRecord
from supervisor.telemetry.cgroup_usage import read_usage
from supervisor.telemetry.metrics import METRICS

USAGE_PATIENCE_S = 0.05  # states are what is asked for; what they use is told where it is known by then
ONE_SCRAPE = trio.CapacityLimiter(1)  # at a time: every user of the machine may ask for metrics


async def version(context: Context, _request: Request) -> Response:
    """Who answers."""
    fleet = context.fleet
    return json_response(VersionView(__version__, os.getpid(), fleet.started_at, files=fleet.spec.files))


async def instances(context: Context, request: Request) -> Response:
    """Every instance, or those of ?name=."""
    fleet = context.fleet
    chosen = fleet.select(request.query_params.getlist("name"))
    usage = await _usage(context, chosen, USAGE_PATIENCE_S)
    now = time.monotonic()
    views: list[InstanceView] = []
    portions = Portions()
    for one in chosen:
        views.append(instance_view(one, now, usage.get(one.name)))
        await portions.rest()
    return json_response(views)


async def instance(context: Context, request: Request) -> Response:
    """All that is known of one instance (of each, for a worker with several)."""
    fleet = context.fleet
    chosen = fleet.select([request.path_params["name"]])
    usage = await _usage(context, chosen)
    now = time.monotonic()
    details: list[InstanceDetail] = [instance_detail(one, now, usage.get(one.name)) for one in chosen]
    return json_response(details)


async def launches(context: Context, request: Request) -> Response:
    """The last launches, oldest first."""
    records: list[LaunchRecord] = []
    for one in context.fleet.select([request.path_params["name"]]):
        records += one.launches
    return json_response(records)


async def plan(context: Context, request: Request) -> Response:
    """The phases of the next launch of each instance."""
    chosen = context.fleet.select([request.path_params["name"]])
    return json_response([msgspec.to_builtins(context.fleet.plan(one.name)) for one in chosen])


async def stats(context: Context, request: Request) -> Response:
    """What everything uses."""
    chosen = context.fleet.select(request.query_params.getlist("name"))
    usage = await _usage(context, chosen)
    found = tuple(_with_cgroup(usage.get(one.name, UsageView(one.name)), one.cgroup_path) for one in chosen)
    return json_response(StatsView(time.time(), found, context.sampler.daemon()))


def _with_cgroup(usage: UsageView, path: str | None) -> UsageView:
    return usage if path is None else msgspec.structs.replace(usage, cgroup=read_usage(path))


async def metrics(_context: Context, _request: Request) -> Response:
    """Metrics in OpenMetrics. A thousand workers take 0.3 s, so it is done off the event loop."""
    from supervisor.telemetry.metrics_text import render  # noqa: PLC0415 prometheus_client, when first asked for

    body, content_type = await trio.to_thread.run_sync(render, METRICS.snapshot(), limiter=ONE_SCRAPE)
    return Response(body, headers={"content-type": content_type})


async def _usage(
    context: Context, chosen: Sequence[InstanceSurface], patience_s: float = math.inf
) -> dict[str, UsageView]:
    pids = {one.name: one.pid for one in chosen if one.pid is not None}
    ages_s = {one.name: one.uptime_s for one in chosen if one.uptime_s is not None}
    return await context.sampler.sample(pids, ages_s, patience_s)
