"""What a worker's keys about ids must agree on."""

import re

from supervisor.spec import forms
from supervisor.spec.locate import Path
from supervisor.spec.model import Worker
from supervisor.spec.origin import Origin


def check_ids(worker: Worker, origin: Origin) -> None:
    """Report contradictions among user, groups, id_map, id_count, uid_map and gid_map."""
    own = worker.namespaces.user is True
    if isinstance(worker.user, str) and re.fullmatch("[0-9]+", worker.user):
        origin.add(("user",), "a number is written without quotes", nearest=worker.user)
    _groups(worker, origin)
    _lines(worker, origin, own=own)
    if worker.id_map == "auto" and not worker.uid_map:
        if not own:
            origin.add(("id_map",), "needs a user namespace of its own", involves=("namespaces.user",))
        _range_in_another(worker, origin)
    elif worker.id_count is not None:
        origin.add(("id_count",), 'only for id_map = "auto"', involves=("id_map", "uid_map"))


def _groups(worker: Worker, origin: Origin) -> None:
    if isinstance(worker.group, str) and re.fullmatch("[0-9]+", worker.group):
        origin.add(("group",), "a number is written without quotes", nearest=worker.group)
    if not origin.ok("groups"):
        return  # those left out would shift the rest
    seen: set[int | str] = set()
    for index, group in enumerate(worker.groups or ()):
        if isinstance(group, str) and re.fullmatch("[0-9]+", group):
            origin.add(("groups", index), "a number is written without quotes", nearest=group)
        elif group in seen:
            origin.add(("groups", index), "named twice")
        seen.add(group)


def _lines(worker: Worker, origin: Origin, *, own: bool) -> None:
    for key, lines, other in (("uid_map", worker.uid_map, "gid_map"), ("gid_map", worker.gid_map, "uid_map")):
        if not lines:
            continue
        if not getattr(worker, other):
            origin.add((key,), f"needs {other}, too", involves=(other,))
        if not own:
            origin.add((key,), "needs a user namespace of its own", involves=("namespaces.user",))
        if origin.written_here("id_map") and origin.written_here(key):
            origin.add((key,), "excludes id_map: it is written instead of it", involves=("id_map",))
        try:
            forms.id_ranges(lines)
        except forms.FormError as error:
            origin.add((key,), str(error), allowed=error.allowed, nearest=error.nearest)


def _range_in_another(worker: Worker, origin: Origin) -> None:
    """A namespace of another user namespace is joined by a child of that one, whose ids a range does not lie in."""
    places = [("network", "mode"), *(("namespaces", kind) for kind in worker.namespaces.__struct_fields__)]
    for table, key in places:
        value = getattr(getattr(worker, table), key)
        if isinstance(value, str) and value.startswith("worker:"):
            message = f"{table}.{key} joins {value}, whose user namespace has not these ids"
            origin.add(("id_map",), message, allowed='"self"', involves=(f"{table}.{key}",))


def check_joined_ids(worker: Worker, target: Worker, path: Path, origin: Origin) -> None:
    """Report a join that makes the worker's user namespace a child of one that lacks the daemon's own id."""
    if target.id_map == "auto" and not target.uid_map and worker.namespaces.user is True:
        message = f'{target.name} has ids of its own (id_map = "auto"), and none for a user namespace below its own'
        origin.add(
            path, message, allowed=f'namespaces.user = "worker:{target.name}" beside it', involves=("namespaces.user",)
        )
