"""What mounts, secrets, sysctls and hidden paths must agree on with each other and with the namespaces."""

from collections.abc import Callable, Mapping

from supervisor.spec import forms, sysctls
from supervisor.spec.masks import MASKED_PATHS, READONLY_PATHS
from supervisor.spec.model import Mount, Worker
from supervisor.spec.model_sandbox import SECRETS
from supervisor.spec.origin import Origin


def check_mounts(worker: Worker, origin: Origin) -> None:
    """Report contradictions."""
    _need_mounts(worker, origin)
    _targets(worker, origin)
    _namespaces(worker, origin)
    _secrets(worker, origin)
    _sysctls(worker, origin)
    for key in ("masked_paths", "readonly_paths"):
        for index, path in enumerate(getattr(worker, key)):
            if path == "/":
                origin.add((key, index), "the root itself is what rootfs sets", allowed="a path below /")


def _need_mounts(worker: Worker, origin: Origin) -> None:
    """All of this is done in a mount namespace of the worker's own."""
    if worker.namespaces.mount is True:
        return
    reason = "needs a mount namespace of its own, and namespaces.mount is not true"
    asked: Mapping[str, object] = {
        "mounts": worker.mounts,
        "secrets": worker.secrets,
        "sysctls": worker.sysctls,
        "masked_paths": worker.masked_paths not in {(), MASKED_PATHS},
        "readonly_paths": worker.readonly_paths not in {(), READONLY_PATHS},
    }
    for key, value in asked.items():
        if value:
            origin.add((key,), reason, show_value=False, involves=("namespaces.mount",))


def _targets(worker: Worker, origin: Origin) -> None:
    """Each once. Where a table is wrong it is left out, which would shift the rest."""
    if not (origin.ok("mounts") and origin.ok("secrets")):
        return
    seen: dict[str, str] = {}
    repeated: list[tuple[tuple[str | int, ...], str]] = []
    for index, mount in enumerate(worker.mounts):
        first = seen.setdefault(mount.target, f"mounts[{index}]")
        if first != f"mounts[{index}]":
            repeated.append((("mounts", index, "target"), f"the same target as {first}"))
    ids: dict[str, int] = {}
    for index, secret in enumerate(worker.secrets):
        if ids.setdefault(secret.id, index) != index:
            repeated.append((("secrets", index, "id"), f"the same id as secrets[{ids[secret.id]}]"))
            continue
        target = secret.place
        first = seen.setdefault(target, f"secrets[{index}]")
        if first != f"secrets[{index}]":
            key = "target" if secret.target else "id"
            repeated.append((("secrets", index, key), f"the same target as {first}"))
    for path, message in repeated:
        origin.add(path, message)


def _namespaces(worker: Worker, origin: Origin) -> None:
    """The kernel lets a file system be mounted only by who owns the namespace that it shows."""
    spaces = worker.namespaces
    needs: Mapping[str, tuple[str, Callable[[Mount], bool]]] = {
        "mqueue": ("ipc", lambda _: spaces.ipc is True),
        "cgroup": ("cgroup", lambda _: spaces.cgroup is True),
        "proc": ("pid", lambda _: spaces.pid is not False or spaces.user is False),
    }
    for index, mount in enumerate(worker.mounts if origin.ok("mounts") else ()):
        kind, met = needs.get(mount.type, ("", lambda _: True))
        if not met(mount):
            message = f'type = "{mount.type}" needs namespaces.{kind} = true'
            origin.add(("mounts", index, "type"), message, show_value=False, involves=(f"namespaces.{kind}",))


def _secrets(worker: Worker, origin: Origin) -> None:
    for index, secret in enumerate(worker.secrets if origin.ok("secrets") else ()):
        written = [key for key in ("source", "env", "credential") if getattr(secret, key) is not None]
        if len(written) != 1:
            said = f"{' and '.join(written)} exclude each other" if written else "no content"
            origin.add(("secrets", index), said, allowed="one of source, env and credential", show_value=False)
        if secret.target == "/":
            origin.add(("secrets", index, "target"), "the root itself is no file", allowed="a path below /")
        if secret.target == SECRETS:
            origin.add(
                ("secrets", index, "target"), "the directory of those without a target", allowed="a path below it"
            )


def _sysctls(worker: Worker, origin: Origin) -> None:
    new = {"ipc": worker.namespaces.ipc is True, "network": has_new_network(worker.network.mode)}
    places: dict[str, str] = {}
    for name, value in worker.sysctls.items():
        try:
            path = sysctls.path_of(name)
            kind = sysctls.namespace_of(path)
            sysctls.check_value(value)
        except forms.FormError as error:
            origin.add(("sysctls", name), str(error), allowed=error.allowed, nearest=error.nearest)
            continue
        if places.setdefault(path, name) != name:
            origin.add(("sysctls", name), f"the same as {places[path]}")
        if not new[kind]:
            key = "network.mode" if kind == "network" else f"namespaces.{kind}"
            message = f"needs {_article(kind)} namespace of its own: it would change the host, or others"
            origin.add(("sysctls", name), message, involves=(key,))


def has_new_network(mode: str) -> bool:
    """Whether a network namespace is made: none is shared (host) or joined (worker:NAME and so on)."""
    return mode != "host" and ":" not in mode


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
