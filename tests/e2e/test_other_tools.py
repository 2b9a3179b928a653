"""Each option that bwrap and nsjail document is one of ours whose effect is seen, or is refused with a reason."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemons import is_alive, killed_in_the_end, matching, wait_until
from tests.e2e.other_tools import PAGE, Row, markdown, rows
from tests.program import Program

# `bwrap --help` of 0.8 and the manual page of 0.11.
BWRAP = """
    help version args argv0 level-prefix unshare-all share-net unshare-user unshare-user-try unshare-ipc unshare-pid
    unshare-net unshare-uts unshare-cgroup unshare-cgroup-try userns userns2 disable-userns assert-userns-disabled pidns
    uid gid hostname chdir clearenv setenv unsetenv lock-file sync-fd bind bind-try dev-bind dev-bind-try ro-bind
    ro-bind-try bind-fd ro-bind-fd remount-ro exec-label file-label proc dev tmpfs mqueue dir file bind-data
    ro-bind-data symlink overlay-src overlay tmp-overlay ro-overlay seccomp add-seccomp-fd block-fd userns-block-fd
    info-fd json-status-fd new-session die-with-parent as-pid-1 cap-add cap-drop perms size chmod
"""
# nsjail(1) and `nsjail --help` of 2026.
NSJAIL = """
    help mode config exec_file execute_fd chroot no_pivotroot rw user group hostname cwd port bindhost max_conns
    max_conns_per_ip log log_fd time_limit max_cpus daemon verbose quiet really_quiet keep_env env keep_caps cap silent
    stderr_to_null skip_setsid pass_fd disable_no_new_privs rlimit_as rlimit_core rlimit_cpu rlimit_fsize rlimit_nofile
    rlimit_nproc rlimit_stack rlimit_memlock rlimit_rtprio rlimit_msgqueue disable_rlimits persona_addr_compat_layout
    persona_mmap_page_zero persona_read_implies_exec persona_addr_limit_3gb persona_addr_no_randomize
    disable_clone_newnet disable_clone_newuser disable_clone_newns disable_clone_newpid disable_clone_newipc
    disable_clone_newuts disable_clone_newcgroup enable_clone_newtime uid_mapping gid_mapping bindmount_ro bindmount
    tmpfsmount mount symlink disable_proc proc_path proc_rw experimental_mnt seccomp_policy seccomp_string seccomp_log
    seccomp_unotify seccomp_unotify_report nice_level cgroup_mem_max cgroup_mem_memsw_max cgroup_mem_swap_max
    cgroup_mem_mount cgroup_mem_parent cgroup_pids_max cgroup_pids_mount cgroup_pids_parent cgroup_net_cls_classid
    cgroup_net_cls_mount cgroup_net_cls_parent cgroup_cpu_ms_per_sec cgroup_cpu_mount cgroup_cpu_parent cgroupv2_mount
    use_cgroupv2 detect_cgroupv2 iface_no_lo iface_own macvlan_iface macvlan_vs_ip macvlan_vs_nm macvlan_vs_gw
    macvlan_vs_ma macvlan_vs_mo disable_tsc forward_signals use_core_scheduling user_net use_pasta oom_score_adj
"""
TESTS = Path(__file__).resolve().parents[2]
TABLE = rows()
ALL = [row for its in TABLE.values() for row in its]
LINES = list({row.line: row for row in ALL if row.line is not None}.values())
GROUPS: dict[str, list[Row]] = {}
for _row in ALL:
    if _row.check is not None:
        GROUPS.setdefault(_row.group, []).append(_row)
OF_ROOT = "of root"
FLEET = """
[worker.other]
command = ["true"]
[worker.hello]
command = ["echo", "hello"]
"""
PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}


@pytest.mark.parametrize(("tool", "listed"), [("bwrap", BWRAP), ("nsjail", NSJAIL)])
def test_no_documented_option_is_missing(tool: str, listed: str) -> None:
    found = [re.findall(r"--([a-z][a-z0-9_-]*)", option)[0] for row in TABLE[tool] for option in row.options]
    assert set(found) == set(listed.split())


def test_every_row_is_run_or_refused() -> None:
    for row in ALL:
        ways = [row.refused is not None, row.line is not None, row.run is not None]
        assert sum(ways) == 1, row
        assert row.run is None or (row.check is None) != (row.test is None), row
        if row.test is not None:
            file, name = row.test.split("::")
            assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), row


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text() == markdown()


@pytest.fixture
def holder(nsvisor: Program) -> Iterator[int]:
    """The pid of the workload of a sandbox, in whose namespaces it is."""
    process = nsvisor.popen("run", "--", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with killed_in_the_end(process):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        pid = process.pid
        for _ in range(3):  # keeper, PID 1, shell
            (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        yield pid
        process.communicate("")


def prepared(program: Program) -> dict[str, str]:
    """What the lines of the table name, as variables of the shell."""
    data = program.folder("data")
    for name in ("lower", "second", "upper", "work"):
        program.folder(f"data/{name}")
    for name, text in (
        ("file", "content\n"),
        ("lower/file", "content\n"),
        ("lock", ""),
        ("fleet.toml", FLEET),
        ("profile.json", json.dumps(PROFILE)),
    ):
        program.write(f"data/{name}", text)
    root = program.folder("root")
    program.folder("root/bin")
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox-static")
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "test", "readlink"):
        (root / "bin" / name).symlink_to("busybox")
    user = program.user
    found = {"D": str(data), "ROOT": str(root), "OUTER_UID": str(user.uid), "OUTER_GID": str(user.gid)}
    for kind in ("uid", "gid"):
        for line in Path(f"/etc/sub{kind}").read_text().splitlines():
            if line.startswith(f"{user.name}:"):
                found[f"SUB_{kind.upper()}"] = line.split(":")[1]
    return found


def links(pid: int | str, prefix: str) -> dict[str, str]:
    names = os.listdir(f"/proc/{pid}/ns")
    return {f"{prefix}_{name}": os.readlink(f"/proc/{pid}/ns/{name}") for name in names}


def shell(program: Program, line: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    done: subprocess.CompletedProcess[str] = subprocess.run(
        ["sh", "-c", line],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=program.environ | variables | {"OF_THE_CALLER": "yes"},
        cwd=program.top,
        **program.user.identity(),  # type: ignore[call-overload]
    )
    return done


def look(program: Program, group: list[Row], options: list[str], variables: dict[str, str]) -> list[str]:
    """Build one sandbox by these options and make every check of the group inside: those that failed."""
    script = "SHELL_PID=$$\n" + "".join(
        f"( {row.check}\n) || echo 'not so: {row.name}'\n" for row in dict.fromkeys(group)
    )
    passed = " ".join(f"--env {name}" for name in variables if name.startswith(("HOST", "HOLDER", "SUB")))
    line = f'exec nsvisor run {passed} {" ".join(options)} -- sh -c "$SCRIPT" 2>&1'
    done = shell(program, line, {**variables, "SCRIPT": script})
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    return done.stdout.splitlines()


def needed(group: list[Row]) -> list[str]:
    """The options of a group, each once."""
    return list(dict.fromkeys(row.run for row in group if row.run))


@pytest.mark.parametrize("group", sorted(GROUPS.keys() - {OF_ROOT, "join", "maps"}))
def test_options_do_what_the_table_says(nsvisor: Program, group: str) -> None:
    variables = {**prepared(nsvisor), **links("self", "HOST")}
    assert look(nsvisor, GROUPS[group], needed(GROUPS[group]), variables) == []


@pytest.mark.parametrize("group", ["", OF_ROOT, "ids", "capabilities", "limits"])
def test_the_same_as_root(root_nsvisor: Program, group: str) -> None:
    variables = {**prepared(root_nsvisor), **links("self", "HOST")}
    assert look(root_nsvisor, GROUPS[group], needed(GROUPS[group]), variables) == []


def test_no_check_passes_without_its_options(nsvisor: Program) -> None:
    """But where the option is about what is not there, or often so anyway."""
    variables = {**prepared(nsvisor), **links("self", "HOST"), **links("self", "HOLDER")}
    checks = [row for row in ALL if row.check is not None and row.run and "optional" not in row.run]
    failed = look(nsvisor, checks, [], variables)
    passed = {row.name for row in checks if f"not so: {row.name}" not in failed}
    assert passed <= {"--rlimit_core", "--rlimit_rtprio", "--seccomp_log"}


def test_namespaces_of_another_sandbox(nsvisor: Program, holder: int) -> None:
    variables = {**prepared(nsvisor), **links("self", "HOST"), **links(holder, "HOLDER"), "HOLDER": str(holder)}
    assert look(nsvisor, GROUPS["join"], needed(GROUPS["join"]), variables) == []


def test_id_maps(nsvisor: Program) -> None:
    variables = prepared(nsvisor)
    if not (shutil.which("newuidmap") and "SUB_UID" in variables and "SUB_GID" in variables):
        pytest.skip("needs newuidmap (package uidmap) and a line in /etc/subuid")
    assert look(nsvisor, GROUPS["maps"], needed(GROUPS["maps"]), variables) == []


def test_lines_print_what_the_table_says(nsvisor: Program) -> None:
    variables = prepared(nsvisor)
    found = {row.line: shell(nsvisor, str(row.line), variables) for row in LINES}
    assert {line: done.stdout.strip() for line, done in found.items()} == {
        row.line: row.prints.strip() for row in LINES
    }


def descriptors_are_passed_under_any_number(nsvisor: Program) -> None:
    """Those and no others, whatever numbers of our own they take."""
    nsvisor.write("file", "content\n")
    opened = " ".join(f"{number}<file" for number in range(3, 10))
    passed = " ".join(f"--pass-fd {number}" for number in (9, 3, 5, 4, 5))
    for init in ("", "--no-init"):
        line = f"nsvisor run {init} {passed} -- sh -c 'echo /proc/self/fd/*; cat <&9' {opened}"
        done = shell(nsvisor, line, {})
        names = [word.removeprefix("/proc/self/fd/") for word in done.stdout.split()]
        # The shell reads the directory by one more.
        assert names in (["0", "1", "2", "3", "4", "5", *more, "9", "content"] for more in (["6"], [])), done.stderr


def descriptors_that_do_not_fit_fail_the_phase(nsvisor: Program) -> None:
    for limit, failed in ((5, ["recvmsg", "EMFILE"]), (30, ["dup2", "EBADF"])):
        line = f"bash -c 'nsvisor run --limit nofile={limit} --pass-fd 30 -- true 30</etc/passwd'"
        done = shell(nsvisor, line, {})
        assert (done.returncode, done.stderr.split(": ")[2:4]) == (125, failed)


def test_a_directory_is_not_passed_on(nsvisor: Program) -> None:
    done = shell(nsvisor, "nsvisor run --pass-fd 3 -- true 3</", {})
    said = "cannot run: --pass-fd 3: a directory, which leads out of the sandbox; bind it\n"
    assert (done.returncode, done.stderr) == (125, said)


def test_a_command_that_does_not_stop_in_time_is_killed(nsvisor: Program) -> None:
    line = (
        "nsvisor run --time-limit 200ms --set stop.grace=100ms -- sh -c \"trap '' TERM; sleep 1000 & wait; wait; wait\""
    )
    assert shell(nsvisor, line, {}).returncode == 124


def test_options_change_a_worker_of_the_configuration(nsvisor: Program) -> None:
    """Arrays of tables are added to, what is single is replaced; problems are told where they are written."""
    text = """
    [worker.w]
    command = ["sh", "-c", "echo $A $B; ls -d /one /two; id -u"]
    env = { A = "1", B = "2" }
    mounts = [{ type = "tmpfs", target = "/one" }]
    """
    file = nsvisor.write("w.toml", text)
    run = ("--config", str(file), "run", "--worker", "w")
    assert nsvisor.run(*run).stdout.split() == ["1", "2", "/one", str(nsvisor.user.uid)]
    done = nsvisor.run(*run, "--env", "B=3", "--tmpfs", "/two", "--uid", "root")
    assert done.stdout.split() == ["1", "3", "/one", "/two", "0"]
    done = nsvisor.run(*run, "--tmpfs", "/one")
    assert (done.returncode, done.stderr) == (125, "cannot run: --tmpfs /one: target: the same target as mounts[0]\n")
    assert nsvisor.run(*run, "--", "hostname").stdout == "w\n"
    done = nsvisor.run("--config", str(file), "run", "--worker", "v")
    assert (done.returncode, done.stderr.startswith("cannot find 'v'")) == (125, True)
    nsvisor.write("w.toml", text.replace("tmpfs", "moon"))
    done = nsvisor.run(*run, "--tmpfs", "/two")
    assert (done.returncode, done.stderr.startswith(f"{file}:5: worker.w.mounts[0].type")) == (125, True)


def test_it_dies_with_its_parent(nsvisor: Program) -> None:
    line = "nsvisor run --die-with-parent -- sleep 46011 & echo $!; wait"
    parent = subprocess.Popen(
        ["sh", "-c", line],
        stdout=subprocess.PIPE,
        text=True,
        env=nsvisor.environ,
        **nsvisor.user.identity(),  # type: ignore[call-overload]
    )
    with killed_in_the_end(parent):
        pid = int(parent.stdout.readline())
        wait_until(lambda: set(matching("sleep", "46011")) - {pid}, "the command")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda: not is_alive(pid) and not matching("sleep", "46011"), "everything to be gone", 5)
        parent.stdout.close()


def test_texts_go_in_as_they_are(nsvisor: Program) -> None:
    """No number for {index}, which only a worker's instances have; no byte lost."""
    line = "A=$(printf '\\377') nsvisor run --keep-env --env B=x,y=z -- printf '%s\n' '{index}' \"$(printf '\\376')\""
    done = shell(nsvisor, f"({line}; A=$(printf '\\377') nsvisor run --env A -- sh -c 'echo \"$A\"') | od -An -c", {})
    assert done.stdout.split() == [*"{index}", "\\n", "376", "\\n", "377", "\\n"], done.stderr
