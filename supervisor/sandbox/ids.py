"""Which ids a sandbox maps, and who writes the maps."""

import msgspec

from supervisor.spec.facts import HostFacts, IdRange
from supervisor.spec.model import Worker

Lines = tuple[tuple[int, int, int], ...]


class PlanError(ValueError):
    """A plan that cannot be made on this host. Told as the failure of its phase, as if the kernel had refused."""

    def __init__(self, phase: str, errno_name: str, detail: str, message: str) -> None:
        """errno_name selects the hint."""
        super().__init__(message)
        self.phase = phase
        self.errno_name = errno_name
        self.detail = detail


class Identity(msgspec.Struct, frozen=True):
    """The worker's ids inside, the id that owns the sandbox while it is built, and the maps."""

    uid: int
    gid: int
    name: str = ""  # to be looked up inside the sandbox; uid and gid mean nothing then
    root_uid: int = 0
    root_gid: int = 0
    mapped: bool = True
    by_itself: bool = True  # one id: the sandbox writes the map itself
    uid_map: Lines = ()
    gid_map: Lines = ()
    group: str | int | None = None  # instead of gid, and of the one that /etc/passwd inside gives a user by name
    groups: tuple[str | int, ...] | None = None  # None: those that /etc/group inside gives a user by name

    @property
    def user_arguments(self) -> tuple[str | int, ...]:
        """Of id.user."""
        groups = () if self.groups is None else ("groups", *self.groups)
        group = () if self.group is None and not groups else ("" if self.group is None else self.group,)
        return (self.uid, self.gid, self.name, *group, *groups)

    @property
    def described(self) -> str:
        """For the plan."""
        group = "" if self.group is None else f" group {self.group}"
        groups = "" if self.groups is None else f" groups {' '.join(map(str, self.groups)) or 'none'}"
        return (self.name or (f"uid {self.uid}" if group else f"uid {self.uid} gid {self.gid}")) + group + groups


def identify(worker: Worker, facts: HostFacts) -> Identity:
    """Decide. PlanError(id.map) where ranges are needed and cannot be had; see user_namespaces(7), subuid(5)."""
    uid, gid, name = wanted_ids(worker, facts)
    group, groups = worker.group, worker.groups
    if isinstance(group, int):
        gid = group
    if not (facts.privileged and worker.namespaces.user is True):
        _refuse_translation(worker)
    if worker.namespaces.user is not True:
        if (groups or group is not None) and worker.namespaces.user is False and not facts.privileged:
            text = "groups need a user namespace of the worker's own, with a range of ids"
            raise PlanError("id.user", "EPERM", "groups", text)
        return Identity(uid, gid, name, mapped=False, group=group, groups=groups)
    if worker.uid_map:
        uid_map, gid_map = _lines(worker.uid_map), _lines(worker.gid_map)
        if not facts.privileged:
            _check_covered("uid", uid_map, facts.uid, facts.subuids or _only(facts.subuid), facts)
            _check_covered("gid", gid_map, facts.gid, facts.subgids or _only(facts.subgid), facts)
    elif worker.id_map == "auto":
        uid_map, gid_map = _slice(worker, uid, gid, facts)
    elif worker.id_map == "keep-id":
        uid_map = _keep("uid", facts.uid, facts.subuid, facts)
        gid_map = _keep("gid", facts.gid, facts.subgid, facts)
    else:
        if name or groups or isinstance(group, str):
            asked = f'user = "{name}" needs' if name else "groups need"
            text = f'{asked} more ids than the one that is mapped; set id_map = "auto" or "keep-id"'
            raise PlanError("id.map", "EINVAL", name or "groups", text)
        if not (facts.privileged and isinstance(worker.user, int)):
            return Identity(uid, gid, root_uid=uid, root_gid=gid)
        # Of root, a number is that user outside too, as systemd's User= is: no id 0 of the host in disguise.
        uid_map, gid_map = ((uid, uid, 1),), ((gid, gid, 1),)
    if not facts.privileged and not (facts.newuidmap and facts.newgidmap):
        raise PlanError("id.map", "ENOENT", "newuidmap", "newuidmap and newgidmap are not installed")
    return Identity(
        uid,
        gid,
        name,
        root_uid=_owner(uid_map),
        root_gid=_owner(gid_map),
        by_itself=False,
        uid_map=uid_map,
        gid_map=gid_map,
        group=group,
        groups=groups,
    )


def _refuse_translation(worker: Worker) -> None:
    text = '"idmap" needs a privileged daemon, and a user namespace of the worker\'s own'
    if worker.rootfs.idmap:
        raise PlanError("rootfs.prepare", "EPERM", f"dir {worker.rootfs.path}", text)
    for mount in worker.mounts:
        if "idmap" in mount.options:
            raise PlanError("mount.bind", "EPERM", f"{mount.source} -> {mount.target}", text)


def _slice(worker: Worker, uid: int, gid: int, facts: HostFacts) -> tuple[Lines, Lines]:
    """Map 0 to N-1 to the worker's slice. Of `self`, a number above that stands in for the last id of the slice."""
    found = facts.slices.get(worker.name)
    if found is None:
        errno_name, text = facts.slice_errors.get(worker.name, ("ENOSPC", "no slice of ids was given to this worker"))
        raise PlanError("id.map", errno_name, "auto", text)
    if isinstance(worker.user, int) and worker.user >= found.count:
        text = f"user = {worker.user} is outside the worker's {found.count} ids; set id_count = {worker.user + 1}"
        raise PlanError("id.map", "EINVAL", "auto", text)
    for group in (worker.group, *(worker.groups or ())):
        if isinstance(group, int) and group >= found.count:
            text = f"group {group} is outside the worker's {found.count} ids; set id_count = {group + 1}"
            raise PlanError("id.map", "EINVAL", "auto", text)
    return _numbered(found.uid, found.count, uid), _numbered(found.gid, found.count, gid)


def _numbered(start: int, count: int, own: int) -> Lines:
    if own < count:
        return ((0, start, count),)
    lines = ((0, start, count - 1), (own, start + count - 1, 1))
    return tuple(line for line in lines if line[2] > 0)


def _only(span: IdRange | None) -> tuple[IdRange, ...]:
    return () if span is None else (span,)


def _check_covered(kind: str, lines: Lines, own: int, ranges: tuple[IdRange, ...], facts: HostFacts) -> None:
    """Raise PlanError for a line that newuidmap would refuse: neither the own id alone nor within /etc/subuid."""
    for inside, outside, count in lines:
        if (outside, count) == (own, 1):
            continue
        at = outside
        while at < outside + count:
            ends = [span.start + span.count for span in ranges if span.start <= at < span.start + span.count]
            if not ends:
                break
            at = max(ends)
        else:
            continue
        having = ", ".join(f"{span.start} to {span.start + span.count - 1}" for span in ranges)
        text = (
            f'{kind}_map "{inside}:{outside}:{count}": {kind} {at} is not {facts.user or facts.uid}\'s to map; '
            f"/etc/sub{kind} gives {having or f'no subordinate {kind}s'}, and {own} alone is"
        )
        raise PlanError("id.map", "EPERM", f"/etc/sub{kind}", text)


def _lines(written: tuple[str, ...]) -> Lines:
    """Read INSIDE:OUTSIDE:COUNT, which the loader has checked."""
    numbers = (tuple(map(int, line.split(":"))) for line in written)
    return tuple((inside, outside, count) for inside, outside, count in numbers)


def wanted_ids(worker: Worker, facts: HostFacts) -> tuple[int, int, str]:
    """The uid and gid that `user` means inside, or a name to be looked up there."""
    user = worker.user
    if user in ("self", facts.user):
        return facts.uid, facts.gid, ""
    if user == "root":
        return 0, 0, ""
    if isinstance(user, int):
        return user, user, ""
    return facts.uid, facts.gid, user


def _keep(kind: str, own: int, subordinate: IdRange | None, facts: HostFacts) -> Lines:
    """Map the own id to itself and every other id below the range's size to the subordinate range."""
    if subordinate is None:
        text = f"/etc/sub{kind} gives {facts.user or facts.uid} no subordinate {kind}s"
        raise PlanError("id.map", "EPERM", f"/etc/sub{kind}", text)
    start, count = subordinate.start, subordinate.count
    below = min(own, count)
    lines = [(0, start, below), (own, own, 1), (own + 1, start + below, count - below)]
    return tuple(line for line in lines if line[2] > 0)


def _owner(lines: Lines) -> int:
    """Pick id 0 where it is mapped, else the lowest that is."""
    return min(inside for inside, _, _ in lines)
