"""The socket for sd_notify(3): one per instance, bound into its sandbox, where nobody else reaches it."""

from msgspec.structs import replace

from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Mount, Worker

INSIDE = "/dev/nsvisor/notify"  # in a tmpfs of the sandbox's own, whatever its root is


def with_notify(worker: Worker, name: str, facts: HostFacts) -> Worker:
    """The worker with the mount and the variables, where it asks for them. name: the instance's."""
    variables = notify_variables(worker)
    if variables is None or not facts.notify_directory:
        return worker
    source = socket_path(facts, name)
    if worker.namespaces.mount is not True:
        return replace(worker, env={**worker.env, **variables, "NOTIFY_SOCKET": source})
    return replace(
        worker,
        mounts=(*worker.mounts, Mount(type="bind", source=source, target=INSIDE)),
        env={**worker.env, **variables, "NOTIFY_SOCKET": INSIDE},
    )


def socket_path(facts: HostFacts, name: str) -> str:
    """Where it is on the host, until the sandbox is built."""
    return f"{facts.notify_directory}/{name}"
