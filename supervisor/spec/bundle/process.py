"""`process`: the command, its user, what it may do."""

import re
from typing import Any

from supervisor.spec.bundle.translation import Translation, says_nothing, to
from supervisor.spec.locate import Path

_SETS = ("bounding", "inheritable", "ambient")
# Of ioprio_set(2) and sched_setscheduler(2), as runtime-spec names them.
_IO_CLASSES = {"IOPRIO_CLASS_RT": "realtime", "IOPRIO_CLASS_BE": "best-effort", "IOPRIO_CLASS_IDLE": "idle"}
_POLICIES = {
    "SCHED_OTHER": "other",
    "SCHED_BATCH": "batch",
    "SCHED_IDLE": "idle",
    "SCHED_FIFO": "fifo",
    "SCHED_RR": "rr",
}
_LIMITS = {"CPU": "cpu_time"}


def process(translation: Translation, value: Any, place: Path) -> None:
    """The whole of it."""
    translation.each(_MEMBERS, value, place)


def _env(translation: Translation, value: Any, place: Path) -> None:
    if not translation.is_a(list, value, place, "an array of NAME=VALUE strings"):
        return
    variables: dict[str, str] = {}
    for index, word in enumerate(value):
        if not isinstance(word, str) or not re.fullmatch(r"[^=]+=.*", word, re.DOTALL):
            translation.refuse((*place, index), "wrong type", "a NAME=VALUE string")
            continue
        name, _, text = word.partition("=")
        variables[name] = text
        translation.places["env", name] = (*place, index)
    translation.put(("env",), variables, place)


def _umask(translation: Translation, value: Any, place: Path) -> None:
    if translation.is_a(int, value, place, "a number"):
        translation.put(("umask",), f"{value:04o}", place)


def _rlimits(translation: Translation, value: Any, place: Path) -> None:
    if not translation.is_a(list, value, place, "an array of objects"):
        return
    for index, limit in enumerate(value):
        here = (*place, index)
        if not (
            isinstance(limit, dict)
            and limit.keys() >= {"type", "soft", "hard"}
            and isinstance(limit["type"], str)
            and all(type(limit[key]) is int for key in ("soft", "hard"))
        ):
            translation.refuse(here, "wrong type", 'an object with "type", "soft" and "hard"')
            continue
        name = limit["type"].removeprefix("RLIMIT_")
        values = [_limit(limit[key]) for key in ("soft", "hard")]
        written = values[0] if values[0] == values[1] else ":".join(map(str, values))
        translation.put(("limits", _LIMITS.get(name, name.lower())), written, here)


def _limit(value: int) -> int | str:
    return "unlimited" if value >= 2**64 - 1 or value == -1 else value


def _capabilities(translation: Translation, value: Any, place: Path) -> None:
    if not translation.is_a(dict, value, place, "an object"):
        return
    for name in value.keys() - {*_SETS, "permitted", "effective"}:
        translation.refuse((*place, name))
    permitted, effective = value.get("permitted") or [], value.get("effective") or []
    if not (isinstance(permitted, list) and isinstance(effective, list)):
        translation.refuse(place, "wrong type", "arrays of names")
        return
    if set(map(str, permitted)) != set(map(str, effective)):
        translation.refuse((*place, "effective"), "differs from permitted", "the same names in both")
        return
    translation.put(("security", "capabilities"), permitted, (*place, "permitted"))
    for name in _SETS:
        translation.put(("security", name), value.get(name) or [], (*place, name))


def _scheduler(translation: Translation, value: Any, place: Path) -> None:
    def policy(_: Translation, name: Any, where: Path) -> None:
        known = _POLICIES.get(name) if isinstance(name, str) else None
        if known is None:
            translation.refuse(where, allowed=", ".join(_POLICIES))
            return
        priority = value.get("priority")
        written = f"{known}:{priority}" if known in {"fifo", "rr"} and priority else known
        translation.put(("limits", "scheduling"), written, where)

    # A priority of 0 is what the other policies have.
    members = {"policy": policy, "nice": to("limits", "nice"), "priority": says_nothing}
    translation.each(members, value, place)


def _io_priority(translation: Translation, value: Any, place: Path) -> None:
    if not translation.is_a(dict, value, place, "an object"):
        return
    known = _IO_CLASSES.get(str(value.get("class")))
    if known is None:
        translation.refuse((*place, "class"), "not known", ", ".join(_IO_CLASSES))
        return
    translation.put(
        ("limits", "ionice"), known if known == "idle" else f"{known}:{value.get('priority', 0)}", (*place, "class")
    )


def _user(translation: Translation, value: Any, place: Path) -> None:
    own = value.get("gid", 0) if isinstance(value, dict) else 0

    def groups(_: Translation, gids: Any, where: Path) -> None:
        """Leave out the group itself, which some tools list again: a sandbox with one id can have it and no other."""
        others = [gid for gid in gids if gid != own] if isinstance(gids, list) else gids
        if others:
            translation.put(("groups",), others, where)

    members = {"uid": to("user"), "gid": to("group"), "umask": _umask, "additionalGids": groups}
    translation.each(members, value, place)


_MEMBERS = {
    "terminal": says_nothing,  # `nsvisor run` gives one where it is on one; a supervised worker's output is logged
    "consoleSize": says_nothing,
    "user": _user,
    "args": to("command"),
    "env": _env,
    "cwd": to("working_dir"),
    "capabilities": _capabilities,
    "rlimits": _rlimits,
    "noNewPrivileges": to("security", "no_new_privs"),
    "oomScoreAdj": to("limits", "oom_score_adj"),
    "scheduler": _scheduler,
    "ioPriority": _io_priority,
}
