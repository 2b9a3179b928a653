"""Id maps, and the id that owns the sandbox while it is built."""

from supervisor.sandbox.ids import Identity
from supervisor.sandbox.steps.step import Step


def id_steps(identity: Identity) -> list[Step]:
    """id.map and id.root."""
    if not identity.mapped:
        return []
    if identity.by_itself:
        detail = f"uid {identity.uid} gid {identity.gid}, written by itself"
        steps = [Step("id.map", detail, ("self", identity.uid, identity.gid))]
    else:
        uid_map, gid_map = (_lines(lines) for lines in (identity.uid_map, identity.gid_map))
        steps = [Step("id.map", f"uid {uid_map} gid {gid_map}", ("outside", uid_map, gid_map))]
    root = f"uid {identity.root_uid} gid {identity.root_gid}"
    return [*steps, Step("id.root", root, (identity.root_uid, identity.root_gid))]


def _lines(lines: tuple[tuple[int, int, int], ...]) -> str:
    return ",".join(":".join(map(str, line)) for line in lines)
