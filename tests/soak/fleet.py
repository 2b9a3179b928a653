"""The mixed fleet of a soak, in variants that a reload goes between."""

import shutil
from dataclasses import dataclass
from pathlib import Path

HEAD = """
[supervisor]
adopt_timeout = "60s"

[defaults]
mounts = [{{ type = "bind", source = "{data}", target = "/data" }}]
restart = {{ delay = "0.2s", factor = 1.5, max_delay = "2s", reset_after = "5s" }}
log = {{ max_size = "512KiB", keep = 12 }}
"""
ROOT = """mounts = [
  {{ type = "bind", source = "{data}", target = "/data" }},
  {{ type = "bind", source = "/usr", target = "/usr" }},
"""
LINKS = "".join(
    f'  {{{{ type = "symlink", target = "/{name}", source = "usr/{name}" }}}},\n' for name in ("bin", "lib", "lib64")
)
SERVED = 'ready = {{ kind = "http", url = "http://127.0.0.1:8000/" }}\n'
HEALTH = 'health = {{ kind = "http", url = "http://127.0.0.1:8000/", interval = "1s", timeout = "10s", retries = 2 }}'


@dataclass(frozen=True)
class Member:
    """One worker: what its workload does, and its keys."""

    kind: str = "steady"
    keys: str = ""
    instances: int = 1
    settles: bool = True  # it is ready in the end, if nobody disturbs it
    by_hand: bool = True  # starts and stops of it are asked for, and remembered
    odd_only: bool = False  # it is in every other variant of the configuration


FLEET = {
    "steady": Member(instances=2),
    "hand": Member(instances=2),
    "flood": Member("flood"),
    "spill": Member("spill", 'log = {{ max_size = "512KiB", keep = 12, when_full = "drop", rate_limit = "8KiB" }}'),
    "halves": Member("halves"),
    "crashing": Member("crashing", instances=2, settles=False),
    "once": Member("once", 'restart = {{ policy = "never" }}', settles=False),
    "slow": Member("slow", 'stop = {{ grace = "5s" }}'),
    "deaf": Member("deaf", 'stop = {{ grace = "0.5s" }}'),
    "hungry": Member("hungry", 'limits = {{ memory = "48MiB", memory_swap = 0, as = "160MiB" }}', settles=False),
    "forking": Member("forking", 'stop = {{ grace = "0.5s" }}'),
    "bare": Member("bare", "namespaces = {{ pid = false }}"),
    "first": Member(keys='init = false\nstop = {{ signal = "SIGKILL" }}'),
    "notify": Member("notify", 'ready = {{ kind = "notify" }}\nhealth = {{ kind = "notify", timeout = "15s" }}'),
    "logged": Member(keys='ready = {{ kind = "log", pattern = " 5 " }}'),
    "database": Member("notify", 'ready = {{ kind = "notify" }}', by_hand=False),
    "served": Member("served", SERVED + HEALTH + '\nrequires = ["database"]', by_hand=False),
    "guest": Member(keys='network = {{ mode = "worker:served" }}\nafter = ["served"]', by_hand=False),
    "sick": Member("sick", SERVED + HEALTH, settles=False),
    "memory": Member(keys='rootfs = {{ kind = "tmpfs" }}\n' + ROOT + LINKS + "]"),
    "layered": Member(
        keys='rootfs = {{ kind = "overlay", lower = ["{data}/root"], upper = "{data}/upper" }}\n' + ROOT + "]"
    ),
    "pasta": Member(keys='network = {{ mode = "pasta" }}'),
    "changing": Member(keys='env = {{ VARIANT = "{variant}" }}'),
    "living": Member(keys='stop = {{ grace = "{variant}s" }}'),  # what a reload changes without a restart
    "coming": Member(odd_only=True, by_hand=False),
}
BAD = (
    "[worker.flood\n",
    "[worker.more]\ncommand = 7\n",
    '[worker.more]\ncommand = ["true"]\nafter = ["nobody"]\n',
    '[worker.more]\ncommand = ["true"]\nlimist = { nofile = 3 }\n',
    '[worker.one]\ncommand = ["true"]\nafter = ["two"]\n[worker.two]\ncommand = ["true"]\nafter = ["one"]\n',
)


def members(*, has_tun: bool) -> dict[str, Member]:
    """By worker."""
    return {name: one for name, one in FLEET.items() if name != "pasta" or (has_tun and shutil.which("pasta"))}


def instances(fleet: dict[str, Member]) -> dict[str, Member]:
    """By instance, the names as the supervisor gives them."""
    found = {}
    for name, one in fleet.items():
        numbered = [f"{name}-{index}" for index in range(one.instances)] if one.instances > 1 else [name]
        found.update(dict.fromkeys(numbered, one))
    return found


def prepare(data: Path) -> list[Path]:
    """Make what the sandboxes need in the folder of markers; these are to be the user's."""
    made = [data / name for name in ("workload.py", "root", "upper")]
    shutil.copy(Path(__file__).with_name("workload.py"), made[0])
    for folder in made[1:]:
        folder.mkdir(mode=0o755)
    for name in ("bin", "lib", "lib64"):
        (data / "root" / name).symlink_to(f"usr/{name}")
    return made


def toml(fleet: dict[str, Member], data: Path, variant: int) -> str:
    """One variant."""
    parts = [HEAD.format(data=data)]
    for name, one in fleet.items():
        if one.odd_only and variant % 2 == 0:
            continue
        label = f"{name}-{{index}}" if one.instances > 1 else name
        parts.append(
            f'\n[worker.{name}]\ncommand = ["python3", "-S", "/data/workload.py", "{label}", "{one.kind}"]\n'
            f"instances = {one.instances}\n{one.keys.format(data=data, variant=variant)}\n"
        )
    return "".join(parts)
