"""What a sandbox under construction needs from outside, and who answers."""

import errno
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from supervisor.runtime.child import Child
from supervisor.runtime.grants import grant
from supervisor.runtime.id_maps import write_maps
from supervisor.runtime.launch_order import LaunchOrder
from supervisor.runtime.mount_maps import map_mount
from supervisor.spec.facts import HostFacts


async def answer(
    what: str, detail: str, fds: list[int], order: LaunchOrder, child: Child, facts: HostFacts
) -> int | None:
    """A descriptor for the child, if the need asks for one; the caller closes it, and what is left in fds. OSError.

    Given up where the child dies meanwhile: a helper may hang, and the child's number may become another's.
    """
    if what == "idmap":
        await _while_it_lives(child, partial(write_maps, child.pid, order.plan, facts))
    elif what == "terminal" and order.on_terminal is not None:
        order.on_terminal(fds.pop())
    elif what == "hold":
        await child.keeper.hold_lock(child.name, fds[0])
    elif what == "mount.idmap" and fds:
        map_mount(fds[0], child.pid, detail)
    elif what == "limits" and fds:
        grant(detail, fds[0], order.plan, facts)
    elif (ordered := order.needs.get(what)) is not None:
        return await _while_it_lives(child, partial(ordered, child, detail, fds))
    else:
        raise OSError(errno.EINVAL, f"nobody answers the need {what!r}")
    return None


async def _while_it_lives(child: Child, answer: Callable[[], Awaitable[int | None]]) -> int | None:
    failure: OSError | None = None
    given: int | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at_exit, child, nursery.cancel_scope)
        try:
            given = await answer()
        except OSError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return given


async def _cancel_at_exit(child: Child, scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(child.pidfd)
    scope.cancel()
