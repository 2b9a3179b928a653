"""Workers that outlive their keeper: each is given to the next one, so that a later daemon can still adopt it."""

from collections.abc import Callable

import trio

from supervisor.runtime.child import Child
from supervisor.runtime.keeper_errors import KeeperGoneError, Refused
from supervisor.runtime.keepers import Keepers

ANSWER_TIMEOUT_S = 10.0
RETRY_S = 30.0  # where no keeper will live, or the new one has no room


async def outlive(child: Child, kept: list[int], stop: Callable[[], tuple[int, float]], keepers: Keepers) -> None:
    """As often as its keeper dies, give a worker to the next one. Runs until it is cancelled.

    kept: what the keeper holds for the next daemon. stop: signal number and grace (s), as they are by then.
    """
    fds = {"pidfd": [child.pidfd], "report": [child.report], "keep": kept}
    while True:
        await child.keeper.gone.wait()
        try:
            link = await keepers.current()
            with trio.move_on_after(ANSWER_TIMEOUT_S, shield=True):  # else it may have one that nobody acknowledges
                await link.adopt(child.name, child.pid, stop(), fds)
                if child.has_ended():
                    await link.forget(child.name)
                else:
                    child.keeper = link
        except (KeeperGoneError, Refused):
            await trio.sleep(RETRY_S)
            continue
        if child.keeper is not link:
            await trio.sleep(RETRY_S)
