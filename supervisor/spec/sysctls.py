"""Which kernel settings belong to a namespace, so that a worker may have its own (sysctl(8), namespaces(7))."""

from supervisor.spec.forms import FormError

_IPC = frozenset(
    f"kernel/{name}"
    for name in (
        "msgmax", "msgmnb", "msgmni", "msg_next_id", "sem", "sem_next_id", "shmall", "shmmax", "shmmni", "shm_next_id",
        "shm_rmid_forced",
    )
)  # fmt: skip
_OWN_KEYS = {"kernel/hostname": "hostname", "kernel/domainname": "domainname"}
_ALLOWED = "net.*, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.*"
LONGEST_VALUE = 4000  # the kernel takes a page at most


def path_of(name: str) -> str:
    """The path below /proc/sys. Dots separate, unless a slash comes first; the other one is then part of a name."""
    swapped = str.maketrans("./", "/.")
    slash, dot = name.find("/"), name.find(".")
    path = name if slash >= 0 and (dot < 0 or slash < dot) else name.translate(swapped)
    if not path.isprintable() or any(part in {"", ".", ".."} for part in path.split("/")):
        raise FormError("not the name of a kernel setting", 'a name such as "net.ipv4.ip_forward"')
    return path


def namespace_of(path: str) -> str:
    """`network` or `ipc`. FormError where it is the whole host's, or has a key of its own here."""
    if path in _OWN_KEYS:
        raise FormError("has a key of its own", nearest=_OWN_KEYS[path])
    if path.startswith("net/"):
        return "network"
    if path in _IPC or path.startswith("fs/mqueue/"):
        return "ipc"
    raise FormError("not a setting of a namespace: it is the whole host's", _ALLOWED)


def check_value(value: str) -> None:
    """FormError for what one write cannot set."""
    if not value or "\n" in value or len(value.encode()) > LONGEST_VALUE:
        raise FormError("not a value", f"one line of 1 to {LONGEST_VALUE} bytes")
