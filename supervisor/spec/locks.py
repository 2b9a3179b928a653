"""Which locks a worker asks for."""

from supervisor.spec.model import Worker


def restricts(worker: Worker) -> bool:
    """Whether Landlock is asked for."""
    landlock = worker.security.landlock
    lists = (landlock.read, landlock.write, landlock.execute, landlock.connect_tcp, landlock.bind_tcp)
    return any(one is not None for one in lists) or not (landlock.abstract_sockets and landlock.signals)


def seals(worker: Worker) -> bool:
    """Whether the sandbox's user namespace is closed to further ones: it must be its own."""
    return worker.namespaces.user is True and not worker.security.nested_userns
