"""For whom a keeper runs: root or the ordinary user, with an interpreter that they can reach and their host's facts."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from supervisor.host.facts import gather
from supervisor.kernel.process import PR_SET_DUMPABLE, prctl
from supervisor.spec.facts import HostFacts
from tests.accounts import Account, me

ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "TZ": "UTC"}
EVERYBODY = ("root", "user") if os.geteuid() == 0 else ("user",)


@dataclass(frozen=True)
class Who:
    """One of them."""

    account: Account
    python: str
    package_parent: str
    prefixes: tuple[str, ...]  # the environment, and the Python that it was made from
    facts: HostFacts

    @property
    def privileged(self) -> bool:
        return self.facts.privileged


def somebody(name: str, unprivileged: Account, folder: Path) -> Who:
    """`root` or `user`; folder: where the ordinary user's python is."""
    account = me() if name == "root" else unprivileged
    python = str(folder / "python")
    done = subprocess.run(
        [python, "-I", "-c", "import supervisor, sys; print(supervisor.__path__[0], sys.prefix, sys.base_prefix)"],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        **account.identity(),  # type: ignore[call-overload]
    )
    with acting_as(account):
        facts = gather(ENVIRON)
    package, *prefixes = done.stdout.split()
    return Who(account, python, os.path.dirname(package), tuple(prefixes), facts)


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Let this process be that user for as long as it takes: no capability, and the user's uid even in /proc."""
    if account.is_me:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(account.gid, account.gid, 0)
    os.setresuid(account.uid, account.uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)
        prctl(PR_SET_DUMPABLE, 1)


def environ_of(extra: Mapping[str, str]) -> dict[str, str]:
    """What the daemon passes on to its keeper, and more."""
    return {"PATH": ENVIRON["PATH"], **extra}


def wait_for_room(who: Who) -> None:
    """The kernel takes its time to forget keyrings; an ordinary user may have 200."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in Path("/proc/key-users").read_text().splitlines():
            uid, *_, keys, _bytes = line.replace(":", "").split()
            used, most = map(int, keys.split("/"))
            if int(uid) == who.account.uid and most - used < 10:
                os.sched_yield()
                break
        else:
            return
    pytest.fail("others hold the keyrings that this user may have")
