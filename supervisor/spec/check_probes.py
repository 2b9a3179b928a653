"""What [worker.NAME.ready] and [worker.NAME.health] must agree with themselves about."""

from collections.abc import Mapping

from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Health, Ready, Worker
from supervisor.spec.origin import Origin

_OF_KINDS: Mapping[str, str] = {
    "address": "tcp",
    "url": "http",
    "status": "http",
    "command": "command",
    "pattern": "log",
}
_NEEDED: Mapping[str, tuple[str, str]] = {  # by kind: the key, and what is allowed
    "tcp": ("address", '"HOST:PORT"'),
    "http": ("url", '"http://HOST:PORT/PATH"'),
    "command": ("command", 'an array of strings, such as ["/usr/bin/pg_isready", "-q"]'),
    "log": ("pattern", "a regular expression"),
}


def check_probes(worker: Worker, origin: Origin) -> None:
    """Report keys that their kind needs, or does not have."""
    _table("ready", worker.ready, origin)
    _table("health", worker.health, origin)
    health = worker.health
    if notify_variables(worker) is not None and isinstance(worker.namespaces.mount, str):
        name = "ready" if worker.ready.kind == "notify" else "health"
        message = "its socket is not seen in the mount namespace of others"
        origin.add((name, "kind"), message, involves=("namespaces.mount",))
    if not origin.written("health", "kind"):
        for key in ("interval", "timeout", "retries", "start_period", "on_failure"):
            if origin.written("health", key):
                origin.add(("health", "kind"), "missing: nothing is probed without it", show_value=False,
                           allowed='"tcp", "http", "command", "notify"', involves=(f"health.{key}",))  # fmt: skip
                break
    if health.kind == "notify" and not origin.written("health", "timeout"):
        message = 'missing: kind = "notify" needs it, the longest time between two WATCHDOG=1'
        origin.add(("health", "timeout"), message, allowed='a duration, such as "30s"', involves=("health.kind",),
                   show_value=False)  # fmt: skip


def _table(name: str, table: Ready | Health, origin: Origin) -> None:
    kind = f"{name}.kind"
    needed, allowed = _NEEDED.get(table.kind, (None, ""))
    for key, of in _OF_KINDS.items():
        value = getattr(table, key, None)
        if key == needed and value in (None, ()):
            origin.add((name, key), f'missing: kind = "{table.kind}" needs it', allowed=allowed, involves=(kind,))
        if of != table.kind and value not in (None, ()):
            origin.add((name, key), f'only for kind = "{of}"', involves=(kind,))
    if table.command and not table.command[0].strip():
        origin.add((name, "command", 0), "empty", allowed="a program's path or name")
