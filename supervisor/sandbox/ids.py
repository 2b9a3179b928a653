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

    @property
    def described(self) -> str:
        """For the plan."""
        return self.name or f"uid {self.uid} gid {self.gid}"


def identify(worker: Worker, facts: HostFacts) -> Identity:
    """Decide. PlanError(id.map) where ranges are needed and cannot be had; see user_namespaces(7), subuid(5)."""
    uid, gid, name = _wanted(worker, facts)
    if worker.namespaces.user is not True:
        return Identity(uid, gid, name, mapped=False)
    if worker.uid_map:
        uid_map, gid_map = _lines(worker.uid_map), _lines(worker.gid_map)
    elif worker.id_map == "keep-id":
        uid_map = _keep("uid", facts.uid, facts.subuid, facts)
        gid_map = _keep("gid", facts.gid, facts.subgid, facts)
    else:
        if name:
            text = f'user = "{name}" needs more ids than the one that is mapped; set id_map = "keep-id"'
            raise PlanError("id.map", "EINVAL", name, text)
        if not (facts.privileged and isinstance(worker.user, int)):
            return Identity(uid, gid, root_uid=uid, root_gid=gid)
        # Of root, a number is that user outside too, as systemd's User= is: no id 0 of the host in disguise.
        uid_map = gid_map = ((uid, uid, 1),)
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
    )


def _lines(written: tuple[str, ...]) -> Lines:
    """Read INSIDE:OUTSIDE:COUNT, which the loader has checked."""
    numbers = (tuple(map(int, line.split(":"))) for line in written)
    return tuple((inside, outside, count) for inside, outside, count in numbers)


def _wanted(worker: Worker, facts: HostFacts) -> tuple[int, int, str]:
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
