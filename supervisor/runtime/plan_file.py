"""A plan as a sandbox gets it: a memory file, in which it leaves behind what it has not told when it is killed."""

import os

from supervisor.sandbox.plan import Plan
from supervisor.wire import UNTOLD_BYTES, encode_plan, untold, untold_at


class PlanFile:
    """The daemon's end; the sandbox's is nsinit/untold.py."""

    def __init__(self, plan: Plan) -> None:
        """OSError: EMFILE, ENOMEM."""
        data = encode_plan([(step.phase, step.arguments) for step in plan.steps[plan.ahead :]])
        self._area_at = untold_at(len(data))
        self.fd = os.memfd_create("plan", os.MFD_CLOEXEC)
        try:
            os.write(self.fd, data)
        except BaseException:
            os.close(self.fd)
            raise

    def untold(self) -> list[str]:
        """The frame that the sandbox did not send, of phases that may have been told all the same; or nothing."""
        return untold(os.pread(self.fd, UNTOLD_BYTES, self._area_at))

    def close(self) -> None:
        """The sandbox has its own copy."""
        os.close(self.fd)
