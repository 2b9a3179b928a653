"""What two sandboxes of one instance cannot have at the same time, of which one runs and one waits."""

from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Worker
from supervisor.spec.origin import Origin
from supervisor.spec.overlays import overlays
from supervisor.spec.publish import BRIDGE

_KEY = ("restart", "standby")
_WITHOUT = "false, or a worker without that"


def check_standby(worker: Worker, origin: Origin) -> None:
    """Report what would be had twice, at the key that asks for it."""
    if not worker.restart.standby:
        return
    for path, overlay in overlays(worker):
        if overlay.upper is not None:
            where = path[0] if len(path) == 1 else f"{path[0]}[{path[1]}]"
            message = f"{where}.upper would be mounted twice at once, and the data in it lost"
            origin.add(_KEY, message, allowed=_WITHOUT, involves=(str(path[0]),))
    if worker.network.publish:
        message = "the published ports are held by the incarnation that runs"
        origin.add(_KEY, message, allowed=_WITHOUT, involves=("network.publish",))
    if worker.network.mode == BRIDGE:
        message = "its address on the bridge is held by the incarnation that runs"
        origin.add(_KEY, message, allowed=_WITHOUT, involves=("network.mode",))
    if notify_variables(worker) is not None and worker.namespaces.mount is not True:
        message = "without a mount namespace of its own its notify socket lies on the host, and there is one only"
        origin.add(_KEY, message, allowed=_WITHOUT, involves=("namespaces.mount",))
