"""Secrets inside: where they are, whose, and that nothing else has them."""

import os
import signal
from pathlib import Path

import pytest

from supervisor.spec.model import Mount, Rootfs, Secret
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, output_of, run, worker
from tests.nsinit.test_ids import subordinate
from tests.nsinit.test_old_kernels import HIDDEN, hiding
from tests.nsinit.test_root import failed

TEXT = b"correct horse battery staple \x00\xff\n"
SECRETS = {"one": TEXT, "two": b"", "big": bytes(range(256)) * 4096}
ONE = Secret("one", env="ONE")


def kind_of(keeper: Keeper, point: str, **keys: object) -> str:
    """The kind of the file system that is mounted there."""
    lines = output_of(keeper, worker("cat /proc/self/mountinfo", **keys), secrets=SECRETS).splitlines()
    return next(line.split(" - ")[1].split()[0] for line in lines if line.split()[4] == point)


def test_where_they_are_and_whose(keeper: Keeper) -> None:
    secrets = (ONE, Secret("two", env="TWO", mode="0444"), Secret("big", env="BIG", target="/tmp/a/big", mode="0600"))
    script = "cd /run/secrets; ls; od -An -tx1 one; stat -c '%a %u %s' one two /tmp/a/big; sha1sum < /tmp/a/big"
    shown = output_of(keeper, worker(script, secrets=secrets), secrets=SECRETS).splitlines()
    uid = keeper.who.facts.uid
    assert shown[:2] == ["one", "two"]
    assert bytes.fromhex("".join(shown[2:-4])) == TEXT
    assert shown[-4:-1] == [f"400 {uid} {len(TEXT)}", f"444 {uid} 0", f"600 {uid} 1048576"]
    assert len(shown[-1].split()[0]) == 40


@pytest.mark.parametrize("target", [None, "/tmp/key"])
def test_they_lie_on_a_file_system_that_is_closed_and_never_swapped_out(keeper: Keeper, target: str | None) -> None:
    secrets = (Secret("one", env="ONE", target=target),)
    point = target or "/run/secrets"
    assert kind_of(keeper, point, secrets=secrets) == "ramfs"
    lines = output_of(keeper, worker("cat /proc/self/mountinfo", secrets=secrets), secrets=SECRETS).splitlines()
    (found,) = (set(line.split()[5].split(",")) for line in lines if line.split()[4] == point)
    assert found >= {"ro", "nosuid", "nodev", "noexec"}
    ran = run(keeper, worker(f"echo x > {target or '/run/secrets/new'}", user="root", secrets=secrets), secrets=SECRETS)
    assert ran.code != 0


def test_another_user_s(keeper: Keeper) -> None:
    ids = (f"0:{subordinate(keeper)}:100",)
    keys = {"uid_map": ids, "gid_map": ids, "secrets": (ONE,)}
    script = "stat -c '%u %g' /run/secrets/one; wc -c < /run/secrets/one"
    passwd = Mount("file", "/etc/passwd", content="root:x:0:0::/:/bin/sh\nwww:x:33:34::/:/bin/sh\n")
    shown = output_of(keeper, worker(script, user=33, **keys), secrets=SECRETS)
    assert shown.split() == ["33", "33", str(len(TEXT))]
    shown = output_of(keeper, worker(script, user="www", mounts=(passwd,), **keys), secrets=SECRETS)
    assert shown.split() == ["33", "34", str(len(TEXT))]
    ran = run(keeper, worker("true", user="nobody-here", mounts=(passwd,), **keys), secrets=SECRETS)
    assert failed(ran) == ("mount.secret", "ESRCH", "getpwnam")


def test_one_that_is_missing(keeper: Keeper) -> None:
    ran = run(keeper, worker("true", secrets=(Secret("none", env="X"),)))
    assert failed(ran) == ("mount.secret", "ENOENT", "secret")
    secrets = (Secret("none", env="X", optional=True), ONE, Secret("nor-this", env="Y", optional=True))
    script = "export LC_ALL=C; ls /run/secrets; touch /run/secrets/x"
    ran = run(keeper, worker(script, user="root", secrets=secrets), secrets=SECRETS)
    assert (ran.failure, ran.out) == (None, "one\n")
    assert "Read-only file system" in ran.err
    elsewhere = Secret("none", env="X", target="/tmp/x", optional=True)
    assert output_of(keeper, worker("ls /tmp", secrets=(elsewhere,))) == ""


def test_in_a_root_of_the_host_s_no_content_is_left(keeper: Keeper, folder: Folder) -> None:
    root = folder.rootfs()
    secrets = (ONE, Secret("big", env="BIG", target="/srv/deep/key"))
    keys = {"rootfs": Rootfs("dir", str(root)), "mounts": folder.programs(), "secrets": secrets}
    assert output_of(keeper, worker("wc -c < /srv/deep/key; wc -c < /run/secrets/one", **keys), secrets=SECRETS) != ""
    assert list((root / "run/secrets").iterdir()) == []
    assert (root / "srv/deep/key").read_bytes() == b""


def test_a_target_that_leads_out_of_the_root(keeper: Keeper, folder: Folder) -> None:
    root = folder.rootfs()
    outside = folder.directory("outside")
    (root / "srv/link").symlink_to(outside)
    keys = {"rootfs": Rootfs("dir", str(root)), "mounts": folder.programs()}
    ran = run(
        keeper, worker("true", secrets=(Secret("one", env="X", target="/srv/link/key"),), **keys), secrets=SECRETS
    )
    assert ran.failure is not None or ran.status == 0
    assert list(outside.iterdir()) == []


def test_a_target_that_is_a_directory(keeper: Keeper) -> None:
    ran = run(keeper, worker("true", secrets=(Secret("one", env="X", target="/etc/ssl"),)), secrets=SECRETS)
    assert failed(ran) == ("mount.secret", "EINVAL", "move_mount")


def test_no_process_but_the_workload_s_has_the_content(keeper: Keeper) -> None:
    """Searched for in all that the keeper and PID 1 have in memory, while the worker lives."""
    text = b"marker-" + os.urandom(12).hex().encode()
    script = "cat /run/secrets/one > /dev/null; echo up; exec sleep 60"
    with launched(keeper, worker(script, secrets=(ONE,)), secrets={"one": text}) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        workload = int(Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text().split()[0])
        for pid in (keeper.pid, sandbox.pid, workload):
            assert text not in memory(pid)
            assert text not in Path(f"/proc/{pid}/environ").read_bytes()
        assert text in Path(f"/proc/{sandbox.pid}/root/run/secrets/one").read_bytes()
        sandbox.signal(signal.SIGKILL)


def memory(pid: int) -> bytes:
    """All that can be read of it."""
    found = bytearray()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("r") or "[v" in line:
                continue
            try:
                mem.seek(start)
                found += mem.read(end - start)
            except OSError:  # gone, or a device's
                continue
    return bytes(found)


def test_the_search_would_find_it() -> None:
    text = b"needle-" + os.urandom(12).hex().encode()
    assert text in memory(os.getpid())


@pytest.mark.parametrize("hidden", HIDDEN)
def test_without_the_newer_mount_calls(who: Who, hidden: str) -> None:
    secrets = (ONE, Secret("two", env="TWO", target="/tmp/key"))
    file = Mount("file", "/etc/motd", content="text\n", options=("noatime",))
    script = "cat /etc/motd; wc -c < /run/secrets/one; cat /proc/self/mountinfo"
    tables = []
    for wrapper in ([], hiding(who, hidden)):
        with running_keeper(who, wrapper=wrapper) as keeper:
            shown = output_of(keeper, worker(script, secrets=secrets, mounts=(file,)), secrets=SECRETS).splitlines()
            assert shown[:2] == ["text", str(len(TEXT))]
            tables.append(sorted(" ".join((*line.split()[4:6], line.split(" - ")[1].split()[0])) for line in shown[2:]))
    assert tables[0] == tables[1]
