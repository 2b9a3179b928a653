"""A worker as one of its instances sees it."""

from typing import TypeVar

import msgspec

from supervisor.spec.model import Mount, Rootfs, Secret, Worker

INDEX = "{index}"
Table = TypeVar("Table", Rootfs, Mount, Secret)


def for_instance(worker: Worker, index: int) -> Worker:
    """The worker with `{index}` replaced in command, environment and ports, and in what it has of the host."""
    number = str(index)
    rootfs = _replaced(worker.rootfs, ("path", "upper", "work"), number)
    mounts = tuple(_replaced(mount, ("source", "upper", "work"), number) for mount in worker.mounts)
    secrets = tuple(_replaced(secret, ("source",), number) for secret in worker.secrets)
    publish = worker.network.publish
    in_texts = any(INDEX in text for text in (*worker.command, *worker.env.values(), *publish))
    tables = zip((rootfs, *mounts, *secrets), (worker.rootfs, *worker.mounts, *worker.secrets), strict=True)
    if not in_texts and all(new is old for new, old in tables):
        return worker
    return msgspec.structs.replace(
        worker,
        rootfs=rootfs,
        mounts=mounts,
        secrets=secrets,
        network=msgspec.structs.replace(worker.network, publish=tuple(port.replace(INDEX, number) for port in publish)),
        command=tuple(argument.replace(INDEX, number) for argument in worker.command),
        env={name: value.replace(INDEX, number) for name, value in worker.env.items()},
    )


def notify_variables(worker: Worker) -> dict[str, str] | None:
    """What sd_notify(3) reads beside NOTIFY_SOCKET; None where the worker is given no socket.

    No WATCHDOG_PID: nobody knows ahead which of its processes will be the one.
    """
    if "notify" not in (worker.ready.kind, worker.health.kind):
        return None
    return {"WATCHDOG_USEC": str(round(worker.health.timeout_s * 1e6))} if worker.health.kind == "notify" else {}


def _replaced(table: Table, keys: tuple[str, ...], number: str) -> Table:
    changed = {key: value.replace(INDEX, number) for key in keys if INDEX in (value := getattr(table, key) or "")}
    return msgspec.structs.replace(table, **changed) if changed else table
