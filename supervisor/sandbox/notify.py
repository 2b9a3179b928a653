"""The socket for sd_notify(3): one per incarnation, bound inside its sandbox, where nobody else reaches it."""

from msgspec.structs import replace

from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Worker

INSIDE = "/dev/nsvisor/notify"  # in a tmpfs of the sandbox's own, whatever its root is


def with_notify(worker: Worker, name: str, facts: HostFacts) -> Worker:
    """The worker with the variables, where it asks for them. name: the instance's."""
    variables = notify_variables(worker)
    if variables is None or not facts.notify_directory:
        return worker
    if worker.namespaces.mount is not True:
        return replace(worker, env={**worker.env, **variables, "NOTIFY_SOCKET": socket_path(facts, name)})
    return replace(worker, env={**worker.env, **variables, "NOTIFY_SOCKET": INSIDE})


def notify_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """The socket's file, where there is a mount namespace to put it into."""
    if notify_variables(worker) is None or not facts.notify_directory:
        return []
    return [Step("mount.file", f"{INSIDE} socket", ("socket", INSIDE))]


def socket_path(facts: HostFacts, name: str) -> str:
    """Where it is on the host for a worker without a mount namespace of its own."""
    return f"{facts.notify_directory}/{name}"
