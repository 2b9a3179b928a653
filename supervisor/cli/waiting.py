"""Waiting for a condition, across a re-execution of the daemon."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Condition, WaitResult

AGAIN_S = 0.1  # a daemon that leaves for good does not listen much longer


async def wait_on(
    client: "ControlClient", names: tuple[str, ...], condition: "Condition", timeout_s: float | None
) -> "WaitResult":
    """POST /v1/wait, again where the daemon is about to be another program. ControlError."""
    from supervisor.control.failures import Refused  # noqa: PLC0415
    from supervisor.control.models import WaitRequest, WaitResult  # noqa: PLC0415

    until = None if timeout_s is None else time.monotonic() + timeout_s
    left_s = timeout_s
    while True:
        try:
            return await client.post("/v1/wait", WaitRequest(names, condition, left_s), WaitResult)
        except Refused as refused:
            if refused.view.code != "leaving":
                raise
        time.sleep(AGAIN_S)  # noqa: ASYNC251 there is no event loop
        left_s = None if until is None else max(0.0, until - time.monotonic())
