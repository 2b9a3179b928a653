"""Workers with ids of their own: whose files are whose, over restarts, reloads and adoption; of root and of others."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.accounts import needs_a_range
from tests.e2e.daemons import Daemon, running, wait_until
from tests.program import Program

PAIR = """
[defaults]
id_map = "auto"
user = "{user}"
mounts = [{{ type = "bind", source = "{shared}", target = "/shared" }}]
restart = {{ policy = "never" }}

[worker.one]
command = ["sh", "-c", "umask 077; echo of one > /shared/one; echo up > /dev/stderr; exec sleep 1000"]

[worker.two]
command = ["sh", "-c", "umask 077; echo of two > /shared/two; exec sleep 1000"]

[worker.spy]
command = ["sh", "-c", "cat /shared/one /shared/two; rm -f /shared/one; kill -9 1; ls -ln /shared; exec sleep 1000"]
after = ["one", "two"]
user = "root"
security = {{ capabilities = ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN"] }}
"""


@pytest.fixture(params=["nsvisor", "root_nsvisor"])
def program(request: pytest.FixtureRequest) -> Program:
    found: Program = request.getfixturevalue(request.param)
    if found.user.uid:
        needs_a_range(found.user)
    return found


@pytest.fixture
def shared(program: Program) -> Path:
    """A directory that everybody may write to, on a way that is open to everybody: none of the workers is its owner."""
    program.top.chmod(0o711)
    folder = program.folder("shared")
    folder.chmod(0o1777)
    return folder


def maps(daemon: Daemon) -> dict[str, str]:
    """The uid map of each that runs, as the kernel has it."""
    found = {}
    for name, one in daemon.instances().items():
        text = Path(f"/proc/{one['pid']}/uid_map").read_text()
        found[name] = ":".join(text.split())
        _, (detail,) = daemon.ask("GET", f"/v1/instances/{name}")
        assert detail["uid_map"] == detail["gid_map"] == [found[name]]
    return found


def output(program: Program, name: str) -> str:
    return program.run("logs", name).stdout


@pytest.mark.parametrize("user", ["self", "root"])
def test_workers_cannot_touch_each_others_files(program: Program, shared: Path, user: str) -> None:
    with running(program, PAIR.format(shared=shared, user=user)) as daemon:
        for name in ("one", "two", "spy"):
            daemon.wait_state(name, "ready")
        daemon.wait_record("worker.ready", instance="spy")
        found = maps(daemon)
        starts = {name: int(line.split(":")[1]) for name, line in found.items()}
        counts = {int(line.split(":")[2]) for line in found.values()}
        assert counts == {65536 if program.user.uid == 0 and starts["one"] >= 524288 else 1024}
        own = 0 if user == "root" else program.user.uid
        for name in ("one", "two"):
            status = (shared / name).stat()
            assert (status.st_uid, status.st_mode & 0o777) == (starts[name] + own, 0o600)
        assert len({start // min(counts) for start in starts.values()}) == 3
        said = output(program, "spy")
        assert len(re.findall("Permission denied", said)) == 2  # for all its capabilities: those ids are not mapped
        assert "of one" not in said
        assert (shared / "one").read_text() == "of one\n"
        assert "up" in output(program, "one")  # /dev/stderr is the daemon's pipe, and not its user's for the worker


IDLE = """
[defaults]
id_map = "auto"
command = ["sleep", "1000"]
"""


def idle(*names: str) -> str:
    return IDLE + "".join(f"[worker.{name}]\n" for name in names)


def test_slices_outlive_restart_reload_and_adoption(program: Program) -> None:
    with running(program, idle("a", "b", "c")) as daemon:
        for name in "abc":
            daemon.wait_state(name, "ready")
        first = maps(daemon)
        assert len(set(first.values())) == 3
        program.write("nsvisor.toml", idle("c", "new", "b"))
        assert program.run("reload").returncode == 0
        daemon.wait_state("new", "ready")
        second = maps(daemon)
        assert {name: second[name] for name in "bc"} == {name: first[name] for name in "bc"}
        assert second["new"] not in first.values()
        daemon.kill()
        with running(program, idle("new", "c", "b", "a")) as next_daemon:
            for name in ("a", "b", "c", "new"):
                next_daemon.wait_state(name, "ready")
            assert next_daemon.records("worker.adopted", instance="b")
            third = maps(next_daemon)
            assert third == second | {"a": first["a"]}
            next_daemon.post("/v1/restart", names=["b"])
            next_daemon.wait_record("setup.completed", instance="b", incarnation=2)
            next_daemon.wait_state("b", "ready")
            assert maps(next_daemon) == third
            assert next_daemon.stop() == 0
    with running(program, idle("a", "b", "c")) as daemon:
        for name in "abc":
            daemon.wait_state(name, "ready")
        assert maps(daemon) == first


def test_the_range_is_used_up(nsvisor: Program) -> None:
    needs_a_range(nsvisor.user)
    config = IDLE + "id_count = 40000\nrestart = { policy = 'never' }\n[worker.a]\n[worker.b]\n"
    with running(nsvisor, config) as daemon:
        daemon.wait_state("a", "ready")
        record = daemon.wait_record("setup.phase", instance="b", outcome="failed")
        assert (record["phase"], record["errno"]) == ("id.map", "ENOSPC")
        assert "no 40000 ids in a row are left of the 65536" in record["message"]
        assert "id_count" in record["hint"]
        assert "--add-subuids" in record["hint"]
        assert nsvisor.run("plan", "a").returncode == 0


def test_run_has_ids_of_its_own(nsvisor: Program) -> None:
    needs_a_range(nsvisor.user)
    with running(nsvisor, idle("a")) as daemon:
        daemon.wait_state("a", "ready")
        taken = int(maps(daemon)["a"].split(":")[1])
        done = nsvisor.run("run", "--auto-id", "--uid", "mail", "--group", "adm", "--group", "7", "--", "sh", "-c",
                           "id; cat /proc/self/uid_map")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("uid=8(mail) gid=8(mail) groups=8(mail),4(adm),7(lp)\n")
        inside, outside, count = map(int, done.stdout.split()[-3:])
        assert (inside, count) == (0, 1024)
        assert not taken - 1024 < outside < taken + 1024
        refused = nsvisor.run("run", "--uid", "mail", "--group", "adm", "--", "id")
        assert refused.returncode == 125
        assert "needs more ids than the one that is mapped" in refused.stderr
        lines = nsvisor.run("run", "--uid-map", "0:1:1", "--gid-map", "0:1:1", "--", "id")
        assert "uid 1 is not" in lines.stderr
        assert "/etc/subuid" in lines.stderr


def test_own_files_can_be_given_to_a_worker(nsvisor: Program) -> None:
    """As the guide says: both the own id and the slice are mapped, and root of that namespace changes the owner."""
    needs_a_range(nsvisor.user)
    file = nsvisor.write("given", "")
    start = next(line for line in Path("/etc/subuid").read_text().splitlines() if line.startswith(nsvisor.user.name))
    first = int(start.split(":")[1])
    words = ["run", "--cap", "CAP_CHOWN"]
    for kind, own in (("uid", nsvisor.user.uid), ("gid", nsvisor.user.gid)):
        words += [f"--{kind}-map", f"0:{own}:1", f"--{kind}-map", f"1:{first}:1024"]
    done = nsvisor.run(*words, "--bind", str(file), "/file", "--", "chown", "34:34", "/file")
    assert done.returncode == 0, done.stderr
    assert (os.stat(file).st_uid, os.stat(file).st_gid) == (first + 33, first + 33)


OWNERS = """
[worker.translated]
id_map = "auto"
user = 5
command = ["sh", "-c", "stat -c %u:%g /m /m/file; echo more > /m/new; exec sleep 1000"]
mounts = [{{ type = "bind", source = "{source}", target = "/m", options = ["idmap"] }}]
restart = {{ policy = "never" }}
"""


def test_a_mount_with_translated_owners(program: Program, shared: Path) -> None:
    """Of a root daemon: who owns a file on disk owns it inside."""
    privileged = program.user.uid == 0
    if privileged:
        os.chown(shared, 5, 6)
        (shared / "file").write_text("")
    with running(program, OWNERS.format(source=shared)) as daemon:
        if not privileged:
            record = daemon.wait_record("setup.phase", instance="translated", outcome="failed")
            assert (record["phase"], record["errno"]) == ("mount.bind", "EPERM")
            assert "needs a privileged daemon" in record["message"]
            assert "Only root may" in record["hint"]
            return
        daemon.wait_state("translated", "ready")
        wait_until((shared / "new").exists, "the file")
        wait_until(lambda: output(program, "translated").count("\n") == 2, "its owners")
        assert output(program, "translated").split() == ["5:6", "0:0"]
        status = (shared / "new").stat()
        assert (status.st_uid, status.st_gid) == (5, 5)


def test_a_file_system_that_cannot_translate_owners(root_nsvisor: Program) -> None:
    config = OWNERS.format(source="/proc/sys/kernel/hostname").replace("/m/file", "/m")
    with running(root_nsvisor, config) as daemon:
        record = daemon.wait_record("setup.phase", instance="translated", outcome="failed")
        assert (record["phase"], record["errno"], record["syscall"]) == ("mount.bind", "EINVAL", "mount.idmap")
        assert "cannot translate owners" in record["hint"]


def test_a_root_with_translated_owners(root_nsvisor: Program) -> None:
    """A distribution's tree, owned by root, is a root's that has no rights outside."""
    root_nsvisor.top.chmod(0o711)
    tree = root_nsvisor.folder("tree")
    tree.chmod(0o755)
    for name in ("bin", "dev", "proc", "tmp"):
        (tree / name).mkdir()
    shutil.copy("/bin/busybox", tree / "bin" / "busybox")
    (tree / "shadow").write_text("secret\n")
    (tree / "shadow").chmod(0o600)
    config = f"""
    [worker.system]
    id_map = "auto"
    user = "root"
    command = ["/bin/busybox", "sh", "-c", "cat /shadow; echo x > /made; exec busybox sleep 1000"]
    rootfs = {{ kind = "dir", path = "{tree}", writable = true, idmap = true }}
    restart = {{ policy = "never" }}
    """
    with running(root_nsvisor, config) as daemon:
        daemon.wait_state("system", "ready")
        wait_until(lambda: output(root_nsvisor, "system") == "secret\n", "its words")
        wait_until((tree / "made").exists, "the file")
        assert (tree / "made").stat().st_uid == 0
        assert int(maps(daemon)["system"].split(":")[1]) >= 65536
