"""What a worker's locks must agree on: capability sets, nested user namespaces, Landlock, no_new_privs."""

from supervisor.spec.capability_sets import capability_sets, listed
from supervisor.spec.locks import restricts
from supervisor.spec.model import Worker
from supervisor.spec.origin import Origin

ADMIN, UNSEALING = "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"


def check_locks(worker: Worker, origin: Origin) -> None:
    """Report what the kernel would refuse, and locks that would lock nothing."""
    _capabilities(worker, origin)
    _nested(worker, origin)
    security = worker.security
    if restricts(worker) and not security.no_new_privs and ADMIN not in capability_sets(security).permitted:
        message = "the kernel takes no Landlock rules then"
        allowed = f"true, or no security.landlock, or {ADMIN} among security.capabilities"
        involved = ("security.landlock", "security.capabilities")
        origin.add(("security", "no_new_privs"), message, allowed=allowed, involves=involved)


def _capabilities(worker: Worker, origin: Origin) -> None:
    sets = capability_sets(worker.security)
    involved = tuple(f"security.{key}" for key in ("capabilities", "bounding", "inheritable", "ambient"))
    for key, within, names, limit in (
        ("bounding", "it must hold what capabilities has", sets.permitted - sets.bounding, None),
        ("inheritable", "bounding", sets.inheritable - sets.bounding, sets.bounding),
        ("ambient", "capabilities", sets.ambient - sets.permitted, sets.permitted),
        ("ambient", "inheritable", sets.ambient - sets.inheritable, sets.inheritable),
    ):
        if not names:
            continue
        others = tuple(path for path in involved if path != f"security.{key}")
        if limit is None:
            message, allowed = f"lacks {listed(names)}: {within}", None
        else:
            message, allowed = f"{listed(names)} is not in {within}", f"what {within} has: {listed(limit)}"
        origin.add(("security", key), message, allowed=allowed, involves=others)


def _nested(worker: Worker, origin: Origin) -> None:
    if worker.namespaces.user is not True:
        if origin.written("security", "nested_userns") and not worker.security.nested_userns:
            message = "needs a user namespace of the worker's own: the limit is one of its user namespace"
            origin.add(("security", "nested_userns"), message, involves=("namespaces.user",))
    elif not worker.security.nested_userns and UNSEALING in capability_sets(worker.security).bounding:
        key = "bounding" if worker.security.bounding is not None else "capabilities"
        message = f"{UNSEALING} lets the worker lift the ban on further user namespaces"
        allowed = "without it, or nested_userns = true beside it"
        origin.add(("security", key), message, allowed=allowed, involves=("security.nested_userns", "namespaces.user"))
