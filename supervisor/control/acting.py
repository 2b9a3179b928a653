"""Handlers that change something. They answer when the request is accepted, not when it is done."""

import signal
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from supervisor.control.errors import bad_request, conflict, leaving
from supervisor.control.fleet_surface import FleetSurface
from supervisor.control.models import Accepted, KillRequest, Names, ReloadRequest, WaitRequest, WaitResult
from supervisor.control.routes import Context, json_response, read_body, until_disconnect
from supervisor.policy.restart import LIVE, State
from supervisor.runtime.pausing import CannotPause
from supervisor.runtime.reload import CannotReload

BY = "operator"
MAX_WAIT_S = 366 * 24 * 3600.0
AT_REST = (State.STOPPED, State.COMPLETED, State.FAILED)


async def start(context: Context, request: Request) -> Response:
    """Want them up."""
    names = (await read_body(request, Names)).names
    accepted = _accepted(context.fleet, names)
    await context.fleet.start(names, BY)
    return json_response(accepted)


async def stop(context: Context, request: Request) -> Response:
    """Want them down, until started by hand."""
    names = (await read_body(request, Names)).names
    accepted = _accepted(context.fleet, names)
    await context.fleet.stop(names, BY)
    return json_response(accepted)


async def restart(context: Context, request: Request) -> Response:
    """Down and up again; starts what is down."""
    names = (await read_body(request, Names)).names
    accepted = _accepted(context.fleet, names)
    await context.fleet.restart(names, BY)
    return json_response(accepted)


async def kill(context: Context, request: Request) -> Response:
    """Send a signal."""
    body = await read_body(request, KillRequest)
    if not body.names:
        raise bad_request("cannot send a signal: no name given")
    accepted = _accepted(context.fleet, body.names)
    await context.fleet.kill(body.names, signal_name(body.signal), BY)
    return json_response(accepted)


async def pause(context: Context, request: Request) -> Response:
    """Freeze all of their processes; answers when they are."""
    names = await _named(context, request, "pause")
    try:
        await context.fleet.pause(names.instances)
    except CannotPause as error:
        raise conflict(str(error)) from None
    return json_response(names)


async def unpause(context: Context, request: Request) -> Response:
    """Let them go on."""
    names = await _named(context, request, "unpause")
    try:
        await context.fleet.unpause(names.instances)
    except CannotPause as error:
        raise conflict(str(error)) from None
    return json_response(names)


async def _named(context: Context, request: Request, verb: str) -> Accepted:
    body = await read_body(request, Names)
    if not body.names:
        raise bad_request(f"cannot {verb}: no name given")
    return _accepted(context.fleet, body.names)


async def wait(context: Context, request: Request) -> Response:
    """Answer when the condition is met or the time is over."""
    body = await read_body(request, WaitRequest)
    fleet = context.fleet
    if body.timeout_s is not None and not 0 <= body.timeout_s <= MAX_WAIT_S:
        raise bad_request(f"cannot wait {body.timeout_s:g} s: the time-out is from 0 to {MAX_WAIT_S:g} s")
    _accepted(fleet, body.names)
    met = await until_disconnect(
        request, context.stopping, lambda: fleet.wait(body.names, body.condition, body.timeout_s)
    )
    if met is None and context.stopping.is_set() and not context.stopping.for_good:
        raise leaving("wait any longer")
    missing = () if met else _missing(fleet, body)
    return json_response(WaitResult(bool(met), missing))


async def reload(context: Context, request: Request) -> Response:
    """Read the configuration again; answers the difference."""
    body = await read_body(request, ReloadRequest)
    try:
        return json_response(await context.fleet.reload(body.dry_run))
    except CannotReload as error:
        raise conflict(str(error)) from None


async def shutdown(context: Context, _request: Request) -> Response:
    """Stop every worker, then the daemon."""
    context.fleet.request_shutdown()
    return json_response(_accepted(context.fleet, ()))


def signal_name(text: str) -> str:
    """`TERM`, `sigterm`, `15` as SIGTERM; real-time signals too. Raises ApiError (400)."""
    known = {str(int(member)): member.name for member in signal.Signals}
    known.update({member.name: member.name for member in signal.Signals})
    plain = text.strip().upper()
    name = known.get(plain) or known.get(f"SIG{plain}")
    if name is None:
        raise bad_request(f"cannot send {text!r}: no such signal (SIGTERM, TERM or 15 would do)")
    return name


def _accepted(fleet: FleetSurface, names: Sequence[str]) -> Accepted:
    return Accepted(tuple(one.name for one in fleet.select(names)))


def _missing(fleet: FleetSurface, body: WaitRequest) -> tuple[str, ...]:
    missing = []
    for one in fleet.select(body.names):
        state = one.status.state
        met = {
            "ready": state in (State.READY, State.COMPLETED),
            "healthy": state in (State.READY, State.COMPLETED)
            and (one.health is None or one.health.state == "healthy"),
            "stopped": state in AT_REST,
            "exited": state not in LIVE,
        }[body.condition]
        if not met:
            missing.append(one.name)
    return tuple(missing)
