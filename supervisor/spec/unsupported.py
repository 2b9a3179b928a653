"""What the design knows and this release does not build.

Written down, it is refused as such: never ignored, and never called unknown. Paths leave out array indexes; `worker`
stands for [defaults], too.
"""

from collections.abc import Mapping

Path = tuple[str, ...]


def _keys(table: str, names: str) -> frozenset[Path]:
    return (
        frozenset((*table.split("."), name) for name in names.split())
        if table
        else frozenset((name,) for name in names.split())
    )


KEYS: frozenset[Path] = (
    _keys("", "metrics")
    | _keys("supervisor", "metrics state_dir runtime_dir journal")
    | _keys(
        "worker",
        "health secrets limits_required sysctls tty stdin umask personality groups landlock seccomp masked_paths "
        "readonly_paths publish metrics",
    )
    | _keys("worker.rootfs", "lower upper work keep bundle size")
    | _keys("worker.network", "publish bridge address gateway dns")
    | _keys("worker.security", "seccomp nested_userns landlock inheritable ambient bounding")
    | _keys(
        "worker.limits",
        "memory memory_high memory_swap pids cpu cpu_weight io_weight cpuset oom_group oom_score_adj nice ionice "
        "scheduling affinity required limits_required",
    )
    | _keys("worker.ready", "url command pattern status retries start_period")
    | _keys("worker.restart", "standby")
    | _keys("worker.log", "when_full rate_limit max_age")
    | _keys("worker.mounts", "hidepid subset lower upper work gid propagation")
)

VALUES: Mapping[Path, frozenset[object]] = {
    ("worker", "init"): frozenset({"static"}),
    ("worker", "id_map"): frozenset({"auto"}),
    ("worker", "rootfs", "kind"): frozenset({"overlay", "tmpfs", "bundle"}),
    ("worker", "network", "mode"): frozenset({"pasta", "bridge"}),
    ("worker", "mounts", "type"): frozenset(
        {"overlay", "proc", "sysfs", "mqueue", "devpts", "cgroup", "secret", "mask", "readonly"}
    ),
    ("worker", "mounts", "options"): frozenset({"create", "relatime", "noatime", "private", "shared", "slave"}),
    ("worker", "ready", "kind"): frozenset({"notify", "http", "command", "log"}),
    ("worker", "log", "sink"): frozenset({"journald"}),
}


def key(path: Path) -> bool:
    """Whether this key belongs to a later release."""
    return path in KEYS


def value(path: Path, found: object) -> bool:
    """Whether this value of a key that exists belongs to a later release."""
    return isinstance(found, str) and found in VALUES.get(path, ())
