"""Hints: every row of the table reads well, and what the kernel really answers has one."""

import errno
import subprocess
from pathlib import Path

import pytest

from supervisor.phases import PHASES
from supervisor.sandbox import hint_table
from supervisor.sandbox.hints import NO_SUBID, SETUP_TIMEOUT, Hint, hint
from supervisor.spec.facts import HostFacts
from tests.accounts import Account
from tests.sandbox.provocations import CASES

FACTS = HostFacts(uid=1000, gid=1000, user="ada", home="/srv/people/ada", privileged=False, view=())
ROOT_FACTS = HostFacts(uid=0, gid=0, user="root", home="/root", privileged=True, view=())
# The failures that the design names, by phase.
DESIGNED = {
    "cgroup.create": "ENODEV EACCES EBUSY EINVAL",
    "ns.join": "EINVAL EPERM",
    "clone": "EPERM ENOSPC EAGAIN ENOSYS",
    "id.map": "EPERM EACCES ENOENT",
    "id.root": "EINVAL",
    "ns.mount": "ENOSPC",
    "ns.uts": "ENOSPC",
    "ns.ipc": "ENOSPC",
    "ns.network": "ENOSPC",
    "ns.cgroup": "ENOSPC",
    "ns.time": "ENOSPC",
    "time.offsets": "EACCES",
    "net.loopback": "EPERM",
    "uts.hostname": "EINVAL",
    "uts.domainname": "EINVAL",
    "rootfs.prepare": "EINVAL ENOENT",
    "mount.dev": "EACCES EINVAL",
    "mount.proc": "EPERM",
    "mount.sysfs": "EPERM",
    "mount.cgroup": "ENODEV",
    "mount.mqueue": "EPERM",
    "mount.bind": "EPERM EINVAL ENOSPC ENOENT ENODEV",
    "mount.tmpfs": "ENOSPC",
    "mount.secret": "ENOENT EFBIG",
    "sysctl.set": "EACCES ENOENT",
    "mount.mask": "ENXIO",
    "root.pivot": "EINVAL",
    "init.fork": "ENOMEM EAGAIN",
    "session.new": "EPERM",
    "cwd.enter": "ENOENT",
    "limit.oom": "EACCES",
    "userns.seal": "EROFS EACCES",
    "limit.sched": "EPERM EACCES EINVAL",
    "limit.rlimit": "EPERM",
    "id.user": "EINVAL",
    "lock.no_new_privs": "EINVAL",
    "lock.landlock": "ENOSYS ENOTSUP ENOENT EPERM",
    "exec": "ENOENT EACCES ENOEXEC",
}
ROWS = [(phase, name, row) for phase, rows in hint_table.TABLE.items() for name, row in rows.items()]


def certain(found: Hint | None) -> Hint:
    assert found is not None
    return found


def test_every_phase_of_the_vocabulary_has_hints_and_no_other() -> None:
    assert set(hint_table.TABLE) == set(PHASES)
    assert set(hint_table.TIMEOUTS) <= set(PHASES)
    assert {phase for phase, _, _ in hint_table.BY_SYSCALL} <= set(PHASES)


@pytest.mark.parametrize(("phase", "names"), DESIGNED.items())
def test_designed_failures_have_a_hint_of_their_own(phase: str, names: str) -> None:
    assert set(names.split()) <= set(hint_table.TABLE[phase])


def test_every_row_is_one_sentence_under_a_name_of_the_kernel() -> None:
    known = {*errno.errorcode.values(), NO_SUBID, "SIGKILL", "SIGSYS", "SIGSEGV"}
    rows = [*ROWS, *(("*", name, row) for name, row in hint_table.ANYWHERE.items())]
    for phase, name, (sentence, command) in rows:
        assert name in known, (phase, name)
        assert sentence.endswith("."), (phase, name)
        assert 20 < len(sentence) < 125, (phase, name, len(sentence))
        assert command is None or (command and not command.endswith(".")), (phase, name)


@pytest.fixture(scope="module")
def seen(unprivileged: Account, program_bin: Path) -> list[str]:
    """What the kernel answered to an ordinary user's provocations, in the order of CASES."""
    source = Path(__file__).with_name("provocations.py").read_text()
    done = subprocess.run(
        [program_bin / "python", "-I", "-c", source],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        timeout=60,
        **unprivileged.identity(),  # type: ignore[call-overload]
    )
    return str(done.stdout).splitlines()


@pytest.mark.parametrize(
    ("number", "phase", "name"), [(number, phase, name) for number, (phase, name, _) in enumerate(CASES)]
)
def test_the_kernel_answers_what_the_table_explains(seen: list[str], number: int, phase: str, name: str) -> None:
    assert seen[number] == f"{phase} {name} {name}"
    assert certain(hint(phase, name)).sentence == hint_table.TABLE[phase][name][0]


def test_a_command_under_home_is_told_apart() -> None:
    for path in ("/home/ada/bin/tool", "/srv/people/ada/tool"):
        found = certain(hint("exec", "ENOENT", f"{path} --flag", FACTS))
        assert "home directory" in found.sentence
        assert found.command == f"ls -l {path}"
    assert "home directory, which" not in certain(hint("exec", "ENOENT", "/srv/people/adam/tool", FACTS)).sentence


def test_a_missing_interpreter_is_told_apart() -> None:
    found = certain(
        hint("exec", "ENOENT", "/usr/bin/tool", message="/usr/bin/tool: the file is there, its interpreter is not")
    )
    assert "#!" in found.sentence
    assert found.command == "head -n 1 /usr/bin/tool"


def test_a_command_missing_from_path_is_told_apart() -> None:
    found = certain(hint("exec", "ENOENT", "tool", message="tool: not found in the sandbox's PATH /usr/bin:/bin"))
    assert "PATH" in found.sentence
    assert found.command == "command -v tool"


def test_a_directory_as_command_is_told_apart() -> None:
    assert "is a directory" in certain(hint("exec", "EACCES", "/usr", message="/usr: a directory")).sentence


def test_a_leaked_directory_is_told_apart() -> None:
    text = "/srv: the directory lies outside the sandbox's root"
    assert "leaked" in certain(hint("cwd.enter", "ENOENT", "/srv", message=text)).sentence


def test_root_is_not_told_to_allow_unprivileged_namespaces() -> None:
    assert "sysctl" in str(hint("clone", "EPERM", facts=FACTS))
    assert "sysctl" not in str(hint("clone", "EPERM", facts=ROOT_FACTS))


def test_the_failing_call_tells_target_from_source() -> None:
    source = certain(hint("mount.bind", "EINVAL", "/a -> /b", syscall="open_tree"))
    target = certain(hint("mount.bind", "EINVAL", "/a -> /b", syscall="move_mount"))
    assert "locked" in source.sentence
    assert "one kind" in target.sentence


def test_what_is_wrong_with_a_target_is_looked_for_where_the_host_has_it() -> None:
    def command(phase: str, detail: str, root: str | None) -> str | None:
        return certain(hint(phase, "ELOOP", detail, syscall="openat2", instance="web", root=root)).command

    assert command("mount.bind", "/data -> /srv ro", "/roots/a") == "namei -l /roots/a/srv"
    assert command("mount.tmpfs", "/tmp size 4096", "") == "namei -l /tmp"
    assert command("mount.proc", "/proc, the host's", "/my roots") == "namei -l '/my roots/proc'"
    assert command("mount.overlay", "/data: /u over /l", None) == "nsvisor plan web"


def test_the_call_tells_the_target_of_every_kind_of_mount() -> None:
    for phase in (phase for phase in PHASES if phase.startswith("mount.") and phase != "mount.propagation"):
        assert "in circles" in certain(hint(phase, "ELOOP", "/x", syscall="openat2")).sentence
    link = certain(hint("mount.file", "EEXIST", "/x -> y", syscall="mkdirat"))
    assert "Something else" in link.sentence


def test_commands_name_the_user_the_path_and_the_instance() -> None:
    assert certain(hint("id.map", NO_SUBID, facts=FACTS)).command == (
        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada"
    )
    assert certain(hint("mount.bind", "ENOENT", "/data -> /srv ro")).command == "ls -ld /data"
    assert certain(hint("mount.bind", "ENOENT", "/my data;rm -> /srv")).command == "ls -ld '/my data;rm'"
    assert certain(hint("cwd.enter", "ENOENT", "/srv", instance="web-0")).command == "nsvisor plan web-0"


def test_details_are_read_as_the_plan_writes_them() -> None:
    assert certain(hint("rootfs.prepare", "ENOENT", "dir /my roots/a")).command == "ls -ld '/my roots/a'"
    assert certain(hint("mount.tmpfs", "ENOTDIR", "/tmp size 4096")).command == "namei -l /tmp"


def test_a_user_outside_the_one_mapped_id_is_told_apart() -> None:
    text = 'user = "www" needs more ids than the one that is mapped; set id_map = "keep-id"'
    assert "one id only" in certain(hint("id.map", "EINVAL", "www", message=text)).sentence


def test_the_missing_helper_is_named() -> None:
    assert "newuidmap" in certain(hint("id.map", "ENOENT", "newuidmap")).sentence


@pytest.mark.parametrize("phase", PHASES)
def test_a_set_up_that_hangs_has_a_hint_in_every_phase(phase: str) -> None:
    assert hint(phase, SETUP_TIMEOUT) is not None


def test_a_hanging_bind_points_at_its_file_system() -> None:
    assert certain(hint("mount.bind", SETUP_TIMEOUT, "/nfs/data -> /srv")).command == "timeout 5 stat -f /nfs/data"


def test_errors_of_no_phase_in_particular() -> None:
    assert "descriptors" in certain(hint("mount.dev", "EMFILE")).sentence
    assert "OOM" in certain(hint("id.map", "SIGKILL")).sentence
    assert hint("fd.close", "EXDEV") is None
    assert hint("no.phase", "EPERM") is None


def test_as_text_a_hint_is_one_line() -> None:
    assert str(Hint("Something is off.", "look")) == "Something is off. Try: look"
    assert str(Hint("Something is off.")) == "Something is off."


def test_of_an_overlay_the_hint_names_the_directory_that_the_message_is_about() -> None:
    def command(phase: str, detail: str, message: str) -> str | None:
        return certain(hint(phase, "ENOENT", detail, message=message)).command

    assert command("mount.overlay", "/srv: /u over /l /m", "/m: No such file or directory") == "ls -ld /m"
    assert command("mount.overlay", "/srv: /u over /l /m", "No such file or directory") == "ls -ld /u"
    assert command("rootfs.prepare", "overlay /u over /l /m", "/m: No such file or directory") == "ls -ld /m"
    assert command("rootfs.prepare", "overlay thrown away over /l /m", "/x: No such file") == "ls -ld /l"
