"""What a new configuration would change, instance by instance."""

from typing import Literal

import msgspec

from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Fleet, Supervisor, Worker, instance_names

HIDDEN = "(hidden)"  # values of the environment are often secrets
CONTENT = "(content of the file)"  # of a seccomp profile: hundreds of names

# Read by the daemon when it next decides, not built into the sandbox: a change needs no new incarnation.
LIVE_KEYS = frozenset({"after", "autostart", "health", "log", "ready", "requires", "restart", "setup_timeout", "stop"})

# Not part of any one instance: another number of instances adds or removes some.
FLEET_KEYS = frozenset({"name", "instances"})


class KeyChange(msgspec.Struct, frozen=True):
    """One key, as the configuration file spells it. Values are JSON; None: the key is not there."""

    key: str  # "limits.nofile"
    old: str | None
    new: str | None


class Change(msgspec.Struct, frozen=True):
    """What changed for one instance."""

    instance: str
    keys: tuple[KeyChange, ...]
    relaunch: bool  # False: the present incarnation can go on under the new spec
    # What comes of it. By the two fleets alone it is one of the first two; whoever knows the instance's state says
    # more: "start": it waited or had failed, and starts now; "next start": it is down, and stays so.
    effect: Literal["live", "restart", "start", "next start"]


class FleetDiff(msgspec.Struct, frozen=True):
    """What is different between two fleets, by instance name, in file order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    unchanged: tuple[str, ...] = ()
    supervisor: tuple[KeyChange, ...] = ()  # keys of [supervisor]

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.added or self.removed or self.changed or self.supervisor)


def diff(old: Fleet, new: Fleet) -> FleetDiff:
    """Compare by what each instance is in effect: where defaults came from, and comments, make no difference."""
    before, after = _instances(old), _instances(new)
    kept = [name for name in after if name in before]
    keys = {name: key_changes(before[name], after[name]) for name in kept}
    return FleetDiff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(_change(name, keys[name], before[name], after[name]) for name in kept if keys[name]),
        unchanged=tuple(name for name in kept if not keys[name]),
        supervisor=key_changes(old.supervisor, new.supervisor),
    )


def key_changes(old: Worker | Supervisor, new: Worker | Supervisor) -> tuple[KeyChange, ...]:
    """Keys whose values differ, dotted, sorted."""
    before, after = _flat(old), _flat(new)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return tuple(KeyChange(key, _shown(key, before), _shown(key, after)) for key in changed)


def _instances(fleet: Fleet) -> dict[str, Worker]:
    return {name: worker for worker in fleet.workers.values() for name in instance_names(worker)}


def _change(name: str, keys: tuple[KeyChange, ...], old: Worker, new: Worker) -> Change:
    relaunch = _needs_relaunch(keys, old, new)
    return Change(name, keys, relaunch, "restart" if relaunch else "live")


def _needs_relaunch(keys: tuple[KeyChange, ...], old: Worker, new: Worker) -> bool:
    built_in = any(change.key.split(".", 1)[0] not in LIVE_KEYS for change in keys)
    return built_in or notify_variables(old) != notify_variables(new)


def _shown(key: str, values: dict[str, str]) -> str | None:
    if key not in values:
        return None
    if key.startswith("security.seccomp_profile"):
        return CONTENT
    return HIDDEN if key.startswith("env.") else values[key]


def _flat(spec: Worker | Supervisor) -> dict[str, str]:
    """Dotted keys to values as JSON; a list is one value. What says nothing is left out, in a list's tables too."""
    found: dict[str, str] = {}

    def said(value: object) -> object:
        if isinstance(value, list | tuple):
            return [said(item) for item in value]
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if item is not None and item is not False and item != ()}
        return value

    def walk(prefix: str, table: dict[str, object]) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
            elif value is not None:
                found[f"{prefix}{key}"] = msgspec.json.encode(said(value)).decode()

    top: dict[str, object] = msgspec.to_builtins(spec)
    walk("", {key: value for key, value in top.items() if not (isinstance(spec, Worker) and key in FLEET_KEYS)})
    return found
