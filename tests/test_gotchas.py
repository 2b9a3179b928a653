"""One test for each heading of docs/gotchas.md, named after it. Most say it with what the layers' own tests use."""

import errno
import os
import platform
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pyroute2  # type: ignore[import-untyped]
import pytest
import trio

from supervisor.cli.logfiles import LogReader
from supervisor.cli.units import system_unit, user_unit
from supervisor.host.routes import administers_network
from supervisor.host.static_init import find_static_init
from supervisor.kernel import clone, inotify, interface, mounts, pidfd_info, process
from supervisor.nsinit.ahead import Mounts
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations import process as operations
from supervisor.nsinit.operations import root
from supervisor.runtime import bridge_devices, keeper_process, output_readers
from supervisor.runtime.capture import FLOOD_BYTES, MOST_LARGE, READ_BYTES, open_pipes, unread_bytes
from supervisor.runtime.keeper_process import own_service, scope_command
from supervisor.runtime.probe_lines import bounded_search
from supervisor.runtime.waking_clock import SLEPT_S, WakingClock
from supervisor.sandbox.hints import hint
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.facts import BridgePort
from supervisor.spec.model import Limits, Mount, Namespaces, Network, Rootfs, Security, TimeOffsets
from supervisor.spec.seccomp import Comparison, Rule
from supervisor.telemetry.journal import JournalSocket
from tests.accounts import Account, me
from tests.cgroups import delegated
from tests.e2e import test_exec, test_other_tools, test_pasta
from tests.e2e.daemons import running, wait_until
from tests.e2e.private_network import private_network
from tests.e2e.tracer import traced
from tests.kernel import test_clone, traps
from tests.kernel.apart import apart, enter, fork
from tests.kernel.apart import place as mount_point
from tests.kernel.traps import refusal
from tests.nsinit import (
    test_clocks,
    test_go,
    test_handover,
    test_hidden,
    test_landlock,
    test_locks,
    test_masks,
    test_mount_types,
    test_mounts,
    test_old_kernels,
    test_outer,
    test_overlay,
    test_root,
    test_sealed,
    test_seccomp,
    test_secrets,
    test_untold,
)
from tests.nsinit.keepers import Keeper, running_keeper, wait_readable
from tests.nsinit.people import Who, somebody
from tests.nsinit.probes import census, python
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Failure, launched, output_of, run, worker
from tests.nsinit.test_ids import subordinate
from tests.program import Program
from tests.runtime import test_cgroup, test_slots, test_spec_digest, test_standby, test_turns, test_unwritten
from tests.security import test_descriptors as attacks_on_descriptors
from tests.security import test_devices as attacks_on_devices
from tests.security import test_first_process as attacks_on_processes
from tests.security import test_joined as attacks_on_joiners
from tests.security import test_root as attacks_on_roots

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gotchas.md"


def test_every_heading_has_its_test_and_no_other() -> None:
    headings = re.findall(r"^### (.*)$", PAGE.read_text(), re.MULTILINE)
    named = [re.sub(r"[^a-z0-9]+", "_", heading.replace("'", "").lower()).strip("_") for heading in headings]
    source = Path(__file__).read_text()
    assert re.findall(r"^(?:async )?def test_(\w+)", source, re.MULTILINE)[1:] == named


@pytest.fixture(scope="module")
def who(unprivileged: Account, program_bin: Path) -> Who:
    return somebody("user", unprivileged, program_bin)


@pytest.fixture
def keeper(who: Who) -> Iterator[Keeper]:
    with running_keeper(who) as keeper:
        yield keeper


@pytest.fixture
def folder(who: Who) -> Iterator[Folder]:
    folder = Folder(who)
    yield folder
    folder.remove()


def failure_of(keeper: Keeper, **keys: Any) -> Failure:
    failure = run(keeper, worker(**{"command": ["true"], **keys})).failure
    assert failure is not None
    return failure


# -- forking and waiting


def test_death_signal_follows_the_forking_thread(keeper: Keeper) -> None:
    pidfds: list[int] = []

    def forker() -> None:
        pid = fork()
        if pid == 0:
            process.prctl(process.PR_SET_PDEATHSIG, 9)
            os.write(writer, b"x")
            signal.pause()
        pidfds.append(os.pidfd_open(pid))
        os.read(reader, 1)  # it is armed

    reader, writer = os.pipe()
    thread = threading.Thread(target=forker)
    thread.start()
    thread.join()
    wait_readable(pidfds[0])  # we live, the thread does not
    os.waitid(os.P_PIDFD, pidfds[0], os.WEXITED)
    for fd in (reader, writer, *pidfds):
        os.close(fd)
    keeper.settle()
    assert len(os.listdir(f"/proc/{keeper.pid}/task")) == 1


def test_death_signal_is_cleared_by_a_change_of_ids(keeper: Keeper) -> None:
    if os.geteuid() == 0:
        assert apart(traps.death_signal_after_a_change_of_ids) == 0
    ranges = (f"0:{subordinate(keeper)}:10",)
    assert census(keeper, user=7, init=False, uid_map=ranges, gid_map=ranges)["death_signal"] == signal.SIGKILL


def test_a_killed_process_takes_along_what_it_has_not_told() -> None:
    with test_untold.plan_file() as plan:
        test_untold.test_what_a_killed_process_noted_is_there(plan)


def test_getppid_is_zero_in_a_pid_namespace(who: Who, keeper: Keeper) -> None:
    assert output_of(keeper, python("import os; print(os.getppid())", init=False)) == "0"
    with running_keeper(who) as dying:
        test_go.test_the_keeper_dies_before_go(dying)


def test_clone3_skips_the_fork_hooks() -> None:
    assert apart(traps.draws_alike_after_a_raw_clone3)
    test_clone.test_the_hooks_run()


def test_clone3_may_be_hidden_by_an_outer_container(who: Who) -> None:
    test_outer.test_clone_where_clone3_is_hidden(who)


def test_fork_in_a_dead_pid_namespace_is_enomem(unprivileged: Account) -> None:
    assert refusal(traps.fork_into_a_dead_pid_namespace, unprivileged) == errno.ENOMEM
    assert "pid namespace is dying" in str(hint("init.fork", "ENOMEM"))


def test_sigterm_to_pid_1_is_ignored(keeper: Keeper) -> None:
    assert output_of(keeper, worker("kill -TERM $$; echo alive", init=False)) == "alive"
    assert run(keeper, worker("kill -TERM 1; while :; do sleep 0.01; done")).status == 15


def test_a_stopped_process_does_not_hear_sigterm(keeper: Keeper) -> None:
    with launched(keeper, worker(["sleep", "60"])) as sandbox:
        sandbox.go()
        sandbox.until_end()
        (workload,) = psutil.Process(sandbox.pid).children()
        workload.suspend()
        wait_until(lambda: workload.status() == psutil.STATUS_STOPPED, "it to be stopped")
        sandbox.signal(signal.SIGTERM)
        wait_until(lambda: 1 << signal.SIGTERM - 1 & pending_signals(workload.pid), "it to be forwarded")
        assert workload.status() == psutil.STATUS_STOPPED
        sandbox.signal(signal.SIGCONT)
        assert sandbox.wait()[0] == signal.SIGTERM


def pending_signals(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("ShdPnd:")[2].split()[0], 16)


def test_a_traced_process_keeps_its_pid_namespace(keeper: Keeper) -> None:
    with launched(keeper, worker(["sleep", "60"])) as sandbox:
        sandbox.go()
        sandbox.until_end()
        (workload,) = psutil.Process(sandbox.pid).children()
        with traced(workload.pid):
            sandbox.signal(signal.SIGKILL)
            wait_until(lambda: workload.status() == psutil.STATUS_ZOMBIE, "it to be dead and not reaped")
            assert not select.select([sandbox.pidfd], [], [], 0.2)[0]
        assert sandbox.wait()[0] == signal.SIGKILL


def test_orphans_go_to_the_nearest_subreaper(keeper: Keeper) -> None:
    shared = Namespaces(pid=False, mount=False)
    script = "(setsid sleep 60 > /dev/null 2>&1 &); echo up; exec sleep 61"
    with launched(keeper, worker(script, namespaces=shared)) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        wait_until(lambda: len(psutil.Process(sandbox.pid).children()) == 2, "the orphan to come to its subreaper")
        below = psutil.Process(sandbox.pid).children()
        sandbox.signal(signal.SIGKILL)
        sandbox.wait()  # told by the keeper
        assert not any(process.is_running() for process in below)


def test_a_reaper_must_not_blur_the_exit_status(keeper: Keeper) -> None:
    assert [run(keeper, worker(script)).status for script in ("kill -9 $$", "exit 137")] == [9, 137 << 8]


async def test_a_grandchild_holds_the_output_pipe() -> None:
    """The wait for the pipe's end, which never comes here, is bounded."""
    started = trio.current_time()
    await output_readers.drained([trio.Event()])
    assert 0 < trio.current_time() - started < output_readers.DRAIN_S + 5


def test_a_pidfd_is_readable_before_the_status_can_be_read() -> None:
    pid = fork()
    if pid == 0:
        os._exit(7)
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(20_000) == [(pidfd, select.POLLIN)]
        assert pidfd_info.exit_status(pidfd) is None
        os.waitpid(pid, 0)
        if pidfd_info.is_offered(pidfd):  # Linux 6.13; 6.15 has the status
            assert poll.poll(20_000) == [(pidfd, select.POLLIN | select.POLLHUP)]
        newer = tuple(map(int, platform.release().split("-")[0].split(".")[:2])) >= (6, 15)
        assert pidfd_info.exit_status(pidfd) == (7 << 8 if newer else None)
    finally:
        os.close(pidfd)


def test_a_pipe_without_a_reader_kills_the_worker(who: Who, folder: Folder) -> None:
    test_handover.test_a_closed_pipe_does_not_kill_the_worker(who, folder)


# -- user namespaces and ids


def test_gid_map_before_setgroups_deny(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.gid_map_first, unprivileged) == errno.EPERM
    assert output_of(keeper, worker("cat /proc/self/setgroups")) == "deny"


def test_one_id_needs_no_helper_a_range_does(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.map_of_two_ids, unprivileged) == errno.EPERM
    first = subordinate(keeper)
    ranges = (f"0:{first}:2",)
    shown = output_of(keeper, worker("cat /proc/self/uid_map", user="root", uid_map=ranges, gid_map=ranges))
    assert shown.split() == ["0", str(first), "2"]


def test_maps_of_a_process_that_is_not_dumpable(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.map_of_the_undumpable, unprivileged) == errno.EACCES
    ranges = (f"0:{subordinate(keeper)}:10",)  # `time.offsets` writes to /proc/self after `id.root`
    spaces, offsets = Namespaces(time=True), TimeOffsets(monotonic_s=5)
    box = worker("true", user=7, uid_map=ranges, gid_map=ranges, namespaces=spaces, time_offsets=offsets)
    assert run(keeper, box).failure is None


def test_one_mapped_id_keeps_the_callers_groups(nsvisor: Program) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to give the caller a group")
    file = nsvisor.write("of-the-group", "readable\n")
    nsvisor.top.chmod(0o711)
    os.chown(file, 0, 4)
    file.chmod(0o640)
    words = ["--log-phases", "--json", "--uid", "self", "--ro-bind", str(file), "/file", "--", "cat", "/file"]
    for mapped, said in (([], "readable\n"), (["--auto-id"], "")):
        done = nsvisor.popen("run", *mapped, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, extra_groups=[4])
        out, log = done.communicate(timeout=20)
        assert out == said
        assert ("1 of the caller's supplementary groups stay" in log) is not bool(mapped)


def test_a_slice_cannot_pass_a_closed_directory(keeper: Keeper, folder: Folder) -> None:
    ranges = (f"0:{subordinate(keeper)}:10",)
    place = folder.directory("closed", mode=0o700)
    (place / "below").mkdir(mode=0o755)
    mounts = (Mount("bind", "/data", str(place / "below")),)
    box = worker("true", user=0, uid_map=ranges, gid_map=ranges, mounts=mounts)
    failure = run(keeper, box).failure
    assert failure is not None
    assert (failure.phase, failure.number) == ("mount.bind", errno.EACCES)
    place.chmod(0o711)
    assert run(keeper, box).failure is None


def test_a_worker_of_another_id_reopens_its_output() -> None:
    """The e2e tests have one do it."""
    pipes = open_pipes()
    try:
        assert {stat.S_IMODE(os.fstat(fd).st_mode) for fd in pipes} == {0o622}
    finally:
        for fd in pipes:
            os.close(fd)


def test_setresuid_empties_the_capabilities(keeper: Keeper) -> None:
    if os.geteuid() == 0:
        assert apart(traps.capabilities_after_a_change_of_ids) == 0
    ranges = (f"500:{subordinate(keeper)}:10",)  # no id 0 builds it
    assert output_of(keeper, worker("id -u", user=505, uid_map=ranges, gid_map=ranges)) == "505"


def test_join_the_owners_user_namespace_first(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.join_too_late, unprivileged) == errno.EPERM
    with launched(keeper, worker("readlink /proc/self/ns/net; exec sleep 60", name="db")) as db:
        db.go()
        db.until_end()
        box = worker("readlink /proc/self/ns/net", network=Network("worker:db"))
        assert output_of(keeper, box, joined={"db": db}) == db.line()


def test_user_namespaces_cannot_be_made_in_a_chroot(who: Who, folder: Folder) -> None:
    test_outer.test_a_chroot(who, folder)
    assert "chroot" in str(hint("clone", "EPERM"))


def test_a_namespace_quota_of_zero_is_enospc(who: Who) -> None:
    test_outer.test_a_quota_of_zero(who, "user")


def test_ubuntu_takes_the_capabilities_away_later() -> None:
    for phase, name in (("id.map", "EACCES"), ("net.loopback", "EPERM")):
        assert "apparmor_restrict_unprivileged_userns" in str(hint(phase, name))


def test_inheritable_capabilities_meet_those_of_files(keeper: Keeper) -> None:
    assert census(keeper)["status"]["CapInh"] == "0" * 16
    kept = Security(capabilities=("CAP_NET_RAW",), ambient=())
    assert census(keeper, security=kept)["status"]["CapInh"] == "0" * 16


def test_the_limit_of_user_namespaces_must_be_set_early(keeper: Keeper) -> None:
    test_locks.test_no_further_user_namespaces(keeper)
    plan = compile_plan(worker("true"), 0, keeper.who.facts)
    (seal,) = (step for step in plan.steps if step.phase == "userns.seal")
    steps = [step for step in plan.steps if step is not seal]
    at = [step.phase for step in steps].index("cap.drop") + 1
    failure = run(keeper, msgspec.structs.replace(plan, steps=(*steps[:at], seal, *steps[at:]))).failure
    assert failure is not None
    assert (failure.phase, failure.number) in {("userns.seal", errno.EACCES), ("userns.seal", errno.EROFS)}
    test_locks.test_that_one_would_undo_it(keeper)


def test_a_sealed_user_namespace_takes_no_joiner(keeper: Keeper) -> None:
    test_locks.test_a_sandbox_that_joins_a_sealed_one(keeper)


def test_a_user_namespace_is_ruled_from_its_parent(keeper: Keeper) -> None:
    for seccomp, expected in (("off", ""), ("default", "EPERM")):
        attacks_on_joiners.test_who_is_joined_has_every_right_over_who_joins(keeper, seccomp, expected)


# -- mounts


def test_a_bind_over_locked_submounts_must_be_recursive(who: Who, folder: Folder) -> None:
    with test_mounts.keeper_with_submounts(who, folder) as keeper:
        test_mounts.test_a_bind_that_is_not_recursive_would_uncover_what_is_locked(keeper, folder)
        test_mounts.test_binds_are_recursive(keeper, folder)


def test_inherited_mount_restrictions_cannot_be_cleared(who: Who, folder: Folder) -> None:
    with test_mounts.keeper_with_submounts(who, folder) as keeper:
        test_mounts.test_inherited_restrictions_stay(keeper, folder)


def test_a_directory_over_a_file_is_einval(keeper: Keeper, folder: Folder) -> None:
    expected = ("mount.bind", "EINVAL", "move_mount")
    test_mounts.test_binds_that_fail(keeper, folder, "directory", "/etc/passwd", expected)
    by_call = {call: str(hint("mount.bind", "EINVAL", syscall=call)) for call in ("move_mount", "open_tree")}
    assert by_call["move_mount"] != by_call["open_tree"]


def test_a_tmpfs_for_dev_needs_mode_0755(unprivileged: Account, keeper: Keeper) -> None:
    assert apart(lambda: traps.create_on_a_node("1777"), unprivileged) == errno.EACCES
    assert apart(lambda: traps.create_on_a_node("755"), unprivileged) == 0
    assert output_of(keeper, worker("echo x > /dev/null; stat -c %a /dev")) == "755"


def test_devices_are_bound_and_must_be_the_real_ones(unprivileged: Account, who: Who) -> None:
    assert refusal(traps.make_a_node, unprivileged) == errno.EPERM
    test_mounts.test_a_device_that_is_another(who)


def test_devpts_with_an_unmapped_group(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.devpts_with_a_group, unprivileged) == errno.EINVAL
    test_mounts.test_a_pty_can_be_opened(keeper)


def test_a_fresh_proc_needs_a_visible_one(who: Who) -> None:
    test_mounts.test_a_host_proc_with_parts_covered(who)


def test_mount_targets_are_not_followed_out_of_the_root(keeper: Keeper, folder: Folder) -> None:
    test_root.test_a_link_in_the_root_does_not_lead_out(keeper, folder, "/etc")


def test_pivot_root_on_an_initramfs(unprivileged: Account, folder: Folder) -> None:
    """A chroot cannot be pivoted away from either, and with the same errno."""
    top = folder.directory("chroot")
    folder.directory("chroot/old")

    def covered() -> tuple[list[str], list[str]]:
        enter(clone.CLONE_NEWNS)
        mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)
        os.chroot(top)
        os.chdir("/")
        before = os.listdir("/")
        box = Box(-1, -1, (0, 0))
        root.prepare(box, "host", "dir", "/new", "")
        root.pivot(box)
        return before, os.listdir("/")

    assert apart(covered, unprivileged) == (["old"], ["new"])


def test_the_old_root_is_not_always_the_uppermost(unprivileged: Account) -> None:
    """With a tmpfs over the old root, and the new one over that."""

    def pivot() -> list[str]:
        enter(clone.CLONE_NEWNS)
        mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)
        for name in ("covering", "new"):
            tree = mounts.new_filesystem("tmpfs", {}, 0)
            os.mkdir(name, dir_fd=tree)
            mounts.attach(tree, mount_point("/"))
        os.fchdir(tree)
        mounts.pivot_root_here()
        os.chdir("/")
        return [*os.listdir("/"), *os.listdir("/..")]

    assert apart(pivot, unprivileged) == ["new", "new"]


def test_the_same_upper_directory_mounts_twice(keeper: Keeper, folder: Folder) -> None:
    test_overlay.test_an_upper_has_one_user_and_the_next_when_that_has_ended(
        keeper, test_overlay.Layers(folder), init=True
    )


def test_a_layer_that_is_not_mounted_is_einval(keeper: Keeper, folder: Folder) -> None:
    test_overlay.test_what_is_written_over_the_root_is_thrown_away(keeper, test_overlay.Layers(folder))


def test_a_classic_remount_sets_every_flag_anew(who: Who, folder: Folder) -> None:
    test_old_kernels.test_what_lies_below_a_bind_is_closed_too(who, folder)


def test_a_path_can_be_another_one_when_it_is_covered(who: Who, keeper: Keeper, folder: Folder) -> None:
    test_masks.test_a_link_in_the_root_does_not_lead_a_cover_astray(keeper, folder)
    test_masks.test_a_null_device_that_is_another_hides_nothing(who)


def test_a_setting_meant_for_proc_can_land_elsewhere(keeper: Keeper, folder: Folder) -> None:
    test_masks.test_a_setting_goes_to_no_file_that_lies_over_it(keeper, folder)


def test_settings_of_ipc_want_the_id_0(keeper: Keeper) -> None:
    test_masks.test_a_setting_of_ipc_wants_the_id_0(keeper)


def test_the_hosts_root_needs_no_capability_in_proc(program_bin: Path, unprivileged: Account) -> None:
    with running_keeper(somebody("root", unprivileged, program_bin)) as keeper:
        opens = "exec 3<> /proc/sys/kernel/panic_on_oops && echo open"
        bare = output_of(keeper, worker(opens, masked_paths=(), readonly_paths=()))
        assert (bare, run(keeper, worker(opens)).out) == ("open", "")


def test_a_tmpfs_can_be_swapped_out(unprivileged: Account, keeper: Keeper) -> None:
    test_secrets.test_they_lie_on_a_file_system_that_is_closed_and_never_swapped_out(keeper, None)
    assert refusal(traps.tmpfs_without_swap, unprivileged) == errno.EINVAL


def test_a_bound_device_is_closed_by_nodev(keeper: Keeper) -> None:
    test_mount_types.test_a_device_needs_the_option_for_it(keeper)


def test_a_bound_device_is_still_the_hosts(program_bin: Path, unprivileged: Account) -> None:
    with attacks_on_devices.privately(somebody("root", unprivileged, program_bin)) as keeper:
        attacks_on_devices.test_the_hosts_null_device_keeps_its_mode(keeper)


def test_what_the_host_mounts_later_comes_in_as_it_is(program_bin: Path, unprivileged: Account) -> None:
    root_who = somebody("root", unprivileged, program_bin)
    for words, comes_in in ((("ro", "slave"), True), (("ro",), False)):
        of_root = Folder(root_who)
        try:
            attacks_on_roots.test_what_the_host_mounts_later_does_not_come_in(root_who, of_root, words, comes_in)
        finally:
            of_root.remove()


def test_a_change_of_the_mounts_is_told_once() -> None:
    def look() -> list[bool]:
        enter(clone.CLONE_NEWNS)
        watched = Mounts()
        seen = [watched.have_changed()]
        mounts.attach(mounts.new_filesystem("tmpfs", {}, 0), os.open("/tmp", os.O_PATH | os.O_CLOEXEC))
        return [*seen, watched.have_changed(), watched.have_changed()]

    assert apart(look) == [False, True, False]


def test_a_working_directory_that_is_unreachable(keeper: Keeper, folder: Folder) -> None:
    test_root.test_a_working_directory_that_leads_out(keeper, folder, "inside")


def test_lazy_imports_fail_after_the_root_is_gone(keeper: Keeper, folder: Folder) -> None:
    """In a root with no Python at all, every later phase does its work or says why not."""
    empty = folder.directory("empty", mode=0o777)
    folder.directory("empty/etc")
    folder.file("empty/etc/passwd", "wüw:x:3:4::/:\n")
    ranges = (f"0:{subordinate(keeper)}:10",)
    common = {"rootfs": Rootfs("dir", str(empty)), "uid_map": ranges, "gid_map": ranges, "limits": Limits(core=0)}
    cases: list[tuple[dict[str, object], str, str]] = [
        ({"user": "wüw"}, "exec", "execve"),
        ({"user": "nobody"}, "id.user", "getpwnam"),
        ({"working_dir": "/nö"}, "cwd.enter", "chdir"),
        ({"limits": Limits(nofile=1 << 40)}, "limit.rlimit", "setrlimit"),
    ]
    for keys, phase, syscall in cases:
        failure = failure_of(keeper, **{**common, **keys})
        assert (failure.phase, failure.syscall) == (phase, syscall)


# -- time


def test_clock_offsets_come_before_the_first_child(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.offsets_too_late, unprivileged) == errno.EACCES
    test_clocks.test_offsets_of_a_time_namespace(keeper, init=True)


def test_the_monotonic_clock_changes_with_the_time_namespace(keeper: Keeper) -> None:
    test_clocks.test_frames_below_pid_1_of_a_time_namespace(keeper)
    test_clocks.test_a_time_namespace_that_is_joined(keeper)


# -- the workload's process


def test_sigpipe_is_ignored_in_children_of_python(keeper: Keeper) -> None:
    show = ["/bin/grep", "SigIgn", "/proc/self/status"]
    plain = subprocess.run(show, capture_output=True, text=True, check=True, restore_signals=False).stdout
    assert int(plain.split()[1], 16) & 1 << 12  # SIGPIPE
    assert int(output_of(keeper, worker(show)).split()[1], 16) & (1 << 12 | 1 << 24) == 0
    assert output_of(keeper, worker("(yes; echo $? > /tmp/status) | head -n 1; cat /tmp/status")).split() == [
        "y",
        "141",
    ]


def test_limits_come_late(keeper: Keeper) -> None:
    tight = Limits(nofile=4, nproc=0, data=1 << 24, address_space=1 << 26)
    assert run(keeper, worker(["/bin/true"], limits=tight)).status == 0
    test_landlock.test_a_limit_of_descriptors_comes_after_the_paths(keeper)


def test_landlock_denies_renames_unasked(keeper: Keeper) -> None:
    test_landlock.test_only_what_is_written_down_is_restricted(keeper)


def test_the_oom_score_is_the_hosts_to_lower(keeper: Keeper) -> None:
    failure = failure_of(keeper, limits=Limits(oom_score_adj=-999))
    assert (failure.phase, failure.number) == ("limit.oom", errno.EACCES)


def test_setrlimit_says_valueerror(keeper: Keeper) -> None:
    failure = failure_of(keeper, limits=Limits(nofile=1 << 40))
    assert (failure.phase, failure.number, failure.syscall) == ("limit.rlimit", errno.EPERM, "setrlimit")
    assert "over the hard limit" in failure.text


def test_an_ioctls_number_has_32_bits_a_filter_sees_64(keeper: Keeper) -> None:
    calls = [("ioctl", (1, 0x5412 | 1 << 32, 0), errno.EPERM)]
    assert test_seccomp.answers(keeper, calls) == [errno.EPERM]
    plain = Comparison(1, "SCMP_CMP_EQ", 0x5412)  # as flatpak had it
    security = test_seccomp.own("SCMP_ACT_ALLOW", Rule(("ioctl",), "SCMP_ACT_ERRNO", errno.EXDEV, (plain,)))
    assert test_seccomp.answers(keeper, calls, security=security) != [errno.EXDEV]


def test_clone3_hides_its_flags(keeper: Keeper) -> None:
    assert test_seccomp.answers(keeper, [("clone3", (0, 0), 0)]) == [errno.ENOSYS]
    assert output_of(keeper, python(test_seccomp.PROGRAMS["threads"]))


def test_a_filter_must_not_starve_pid_1(keeper: Keeper) -> None:
    test_seccomp.test_pid_1_is_spared_a_strict_profile(keeper)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs x86_64")
def test_another_architectures_calls_have_other_numbers(keeper: Keeper) -> None:
    test_seccomp.test_calls_of_32_bits_and_of_x32(keeper)


def test_prctl_reads_all_five_arguments(unprivileged: Account, keeper: Keeper) -> None:
    assert refusal(traps.prctl_with_garbage, unprivileged) == errno.EINVAL
    assert census(keeper)["status"]["NoNewPrivs"] == "1"


def test_session_keyrings_cross_user_namespaces(unprivileged: Account, keeper: Keeper) -> None:
    before, inside = apart(traps.keyring_in_a_new_user_namespace, unprivileged)
    assert before == inside > 0
    assert census(keeper)["keyring"] != traps.session_keyring()


def test_two_hundred_keys_per_user(unprivileged: Account) -> None:
    """Without room the phase says so and goes on."""

    def without_room() -> str | None:
        traps.take_every_key()
        return operations.session(Box(-1, -1, (0, 0)), "0")

    assert apart(without_room, unprivileged) == "no session keyring: Disk quota exceeded"


def test_the_environment_is_built_from_nothing(who: Who) -> None:
    gone = "import os; del os.environ['TOKEN']; print('TOKEN' in open('/proc/self/environ').read())"
    done = subprocess.run([sys.executable, "-c", gone], env={"TOKEN": "x"}, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    with running_keeper(who, environ={"TOKEN": "x"}) as keeper:
        names = {pair.split("=")[0] for pair in census(keeper)["environ"].strip("\0").split("\0")}
    assert names == {"PATH", "HOME", "LANG", "TZ"}


def test_enoent_for_a_file_that_exists(keeper: Keeper, folder: Folder) -> None:
    folder.directory("bin")
    folder.file("bin/script", "#!/nowhere/sh\n", 0o755)
    mounts = (Mount("bind", "/tmp", str(folder.top / "bin")),)
    said = {}
    for command in ("/tmp/script", "/tmp/missing"):
        failure = failure_of(keeper, command=[command], mounts=mounts)
        assert (failure.phase, failure.number) == ("exec", errno.ENOENT)
        said[command] = failure.text
    assert said["/tmp/script"] == "/tmp/script: the file is there, its interpreter is not"
    assert "interpreter" not in said["/tmp/missing"]
    assert hint("exec", "ENOENT", message=said["/tmp/script"]) != hint("exec", "ENOENT", message=said["/tmp/missing"])
    assert "home directory" in str(hint("exec", "ENOENT", "/home/ada/tool"))


def test_who_enters_a_sandbox_is_seen_in_it(keeper: Keeper) -> None:
    test_hidden.test_all_could_be_had_of_one_that_is_not_hidden(keeper)
    test_hidden.test_nothing_can_be_had_of_it(keeper, pid_namespace=True)


def test_a_command_may_be_our_own_interpreter(keeper: Keeper, who: Who, folder: Folder) -> None:
    test_sealed.test_the_keepers_interpreter_cannot_be_written_to(keeper)
    test_sealed.test_one_that_its_user_could_write_to_is_copied(who, folder)
    test_sealed.test_a_trap_in_the_commands_place(keeper, folder)


def test_who_visits_a_sandbox_can_be_caught_in_it(keeper: Keeper) -> None:
    for protected in (False, True):
        attacks_on_processes.test_the_readiness_probe_cannot_be_looked_at(keeper, protected)
        attacks_on_processes.test_who_joins_a_sandbox_cannot_be_looked_at_while_it_is_made(keeper, protected)


def test_a_directory_can_be_standard_input(keeper: Keeper, folder: Folder) -> None:
    attacks_on_descriptors.test_a_directory_as_standard_input(keeper, folder)


def test_a_descriptor_of_a_file_can_be_opened_again(nsvisor: Program) -> None:
    test_exec.test_files_go_in_as_what_flows_through_them(nsvisor)


def test_a_descriptor_passed_on_may_take_the_number_of_one_of_ours(nsvisor: Program) -> None:
    test_other_tools.descriptors_are_passed_under_any_number(nsvisor)


def test_a_descriptor_that_does_not_fit_is_dropped_without_an_error(nsvisor: Program) -> None:
    test_other_tools.descriptors_that_do_not_fit_fail_the_phase(nsvisor)


# -- Python and systemd


@pytest.mark.skipif(not find_static_init(), reason="no static init")
def test_a_static_init_folds_signals_into_codes() -> None:
    for words in ("kill -KILL $$", "exit 137"):
        command = ["unshare", "-fpr", "--mount-proc", find_static_init(), "--", "sh", "-c", words]
        assert subprocess.run(command, check=False).returncode == 137


def test_an_unlinked_socket_that_is_in_use_tells_only_of_its_links(tmp_path: Path) -> None:
    fd = inotify.inotify_init()
    path = tmp_path / "socket"
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(path))
        inotify.add_watch(fd, str(path), inotify.IN_ATTRIB | inotify.IN_DELETE_SELF)
        path.unlink()
        assert int.from_bytes(os.read(fd, 4096)[4:8], sys.byteorder) == inotify.IN_ATTRIB
    os.close(fd)


def test_an_isolated_python_does_not_see_the_venv(who: Who) -> None:
    command = [who.python, "-I", "-S", "-c", "import supervisor"]
    environ = {"PYTHONPATH": who.package_parent}
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in done.stderr
    with running_keeper(who) as keeper:  # which gets the directory as an argument
        keeper.settle()


def test_a_crash_of_the_service_kills_its_cgroup(tmp_path: Path) -> None:
    """The keeper is started in a scope of its own wherever there is a manager that can make one."""
    run_here = tmp_path / "systemd-run"
    run_here.write_text("")
    run_here.chmod(0o755)
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").write_text("")
    environ = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    words = scope_command(environ, 1000, "nsvisor-workers-1.scope")
    assert words[0] == str(run_here)
    assert {"--scope", "--user", "--property=Delegate=yes", "--unit=nsvisor-workers-1.scope"} < set(words)
    assert scope_command({"PATH": str(tmp_path)}, 1000, "x.scope") == []


def test_a_re_exec_keeps_the_number_and_loses_the_count() -> None:
    """What came of it is seen under a real user manager: tests/e2e/test_keeper_scope.py."""
    program = (
        "import os; from supervisor.runtime import keeper_process as it; os.getpid = lambda: 7; print(it.scope_unit())"
    )
    done = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    first, second = (one.stdout.strip() for one in done)
    assert first.startswith("nsvisor-workers-7-")
    assert first != second


def test_a_shutdown_stops_the_scope_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of it is seen on a full systemd: tests/vehicles/guests/second_boot.py."""
    place = tmp_path / "cgroup"
    slices = "user.slice/user-1000.slice/user@1000.service/app.slice"
    for lines, service in {
        f"0::/{slices}/nsvisor.service\n": "nsvisor.service",
        f"9:pids:/other.service\n1:name=systemd:/{slices}/nsvisor.service\n0::/\n": "nsvisor.service",
        "1:name=systemd:/\n0::/system.slice/nsvisor.service\n": "nsvisor.service",
        "0::/user.slice/user-1000.slice/session-3.scope\n": None,
        f"0::/{slices}/nsvisor.service/below\n": None,
    }.items():
        place.write_text(lines)
        assert own_service(str(place)) == service
    (tmp_path / "systemd-run").write_text("")
    (tmp_path / "systemd-run").chmod(0o755)
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").write_text("")
    environ = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    monkeypatch.setattr(keeper_process, "own_service", lambda: "nsvisor.service")
    assert "--property=Before=nsvisor.service" in scope_command(environ, 1000, "nsvisor-workers-1.scope")


def test_a_service_with_controllers_cannot_be_restarted() -> None:
    for unit in (user_unit(), system_unit()):
        assert not re.search(r"^(Delegate|\w*Accounting|MemoryMax|TasksMax|CPUQuota)=", unit, re.MULTILINE)


def test_startlimit_settings_belong_to_the_unit() -> None:
    for unit in (user_unit(), system_unit()):
        in_unit, _, in_service = unit.partition("\n[Service]\n")
        assert {"StartLimitIntervalSec=60", "StartLimitBurst=5"} <= set(in_unit.splitlines())
        assert "StartLimit" not in in_service


def test_poll_takes_no_more_than_the_limit_of_open_files() -> None:
    """tests/nsinit/test_clients.py lowers a keeper's."""
    reader, writer = os.pipe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    poll = select.poll()
    with select.epoll() as epoll:
        for fd in (reader, writer):
            poll.register(fd, select.POLLHUP)
            epoll.register(fd, select.EPOLLHUP)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(OSError, match="Invalid argument"):
                poll.poll(0)
            assert epoll.poll(0) == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(reader)
            os.close(writer)


def test_a_full_datagram_socket_polls_as_writable(tmp_path: Path) -> None:
    address = str(tmp_path / "socket")
    with (
        closing(JournalSocket(address)) as journal,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as another,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as loose,
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(address)
            journal.send(b"A=1\n")
            with suppress(BlockingIOError):
                while loose.sendto(b"A=1\n", address):
                    pass
            assert select.select([], [loose], [], 0)[1] == [loose]
            assert not journal.poll(0)
            receiver.recv(100)
            assert journal.poll(0)
            os.unlink(address)
        another.bind(address)
        journal.send(b"A=2\n")
        assert another.recv(100) == b"A=2\n"


# -- Control groups


def test_half_a_line_may_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"whole\nhal")
    reader = LogReader(str(path))
    assert list(reader.everything()) == [b"whole"]
    os.truncate(path, len(b"whole\n"))
    with path.open("ab") as file:
        file.write(b"another\n")
    assert list(reader.fresh()) == [b"another"]
    reader.close()


def test_a_pattern_may_search_for_ever() -> None:
    assert bounded_search(re.compile("(a+)+$"), "a" * 40 + "b") is None
    assert bounded_search(re.compile("a+b$"), "a" * 40 + "b")


def test_a_pipe_is_full_at_half_its_size() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        for _ in range(16):
            assert os.write(writer, bytes(2100)) == 2100
        with pytest.raises(BlockingIOError):
            os.write(writer, bytes(2100))
        assert unread_bytes(reader) == 33_600 < READ_BYTES
    finally:
        os.close(reader)
        os.close(writer)


def test_what_was_read_is_gone_before_it_is_counted(tmp_path: Path) -> None:
    (lost,) = test_unwritten.left(tmp_path / "killed", "read")
    assert lost["lost_bytes_most"] == READ_BYTES


def test_large_pipes_make_other_pipes_tiny() -> None:
    pages = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text())
    assert pages == 0 or pages * os.sysconf("SC_PAGE_SIZE") / 4 >= MOST_LARGE * FLOOD_BYTES


def test_freed_memory_is_paid_for_again() -> None:
    program = """
import resource, sys
from supervisor.kernel.malloc import keep_freed
if sys.argv[1] == "keep":
    keep_freed(4 << 20)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    before = faults()
    for _ in range(100):
        blocks = [bytes(range(256)) * 1024 for _ in range(4)]
        del blocks
print(faults() - before)
"""
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", program, how], check=True, capture_output=True).stdout)
        for how in ("keep", "give back")
    )
    assert kept * 10 < given_back


def test_a_program_that_executes_itself_has_no_signal_handlers() -> None:
    program = """
import os, signal, sys
from supervisor.runtime import signals
signal.signal(signal.SIGTERM, lambda *_: print("heard", sys.argv[2], flush=True))
if sys.argv[2] == "first":
    if sys.argv[1] == "block":
        signals.block()
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], sys.argv[1], "second", ""])
signals.unblock()
print("goes on", flush=True)
"""
    late = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)\n" + program  # before there is a handler
    ends = {}
    for how in ("leave", "block"):
        words = [sys.executable, "-c", program, how, "first", late]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        ends[how] = done.returncode, done.stdout
    assert ends == {"leave": (-signal.SIGTERM, ""), "block": (0, "heard second\ngoes on\n")}


def test_a_hash_over_defaults_changes_with_the_program() -> None:
    test_spec_digest.test_a_key_that_an_older_program_did_not_have_changes_nothing()


@pytest.fixture
def place() -> Iterator[Path]:
    with delegated(me()) as tree:
        yield tree


def test_all_deadlines_pass_while_the_daemon_is_stopped() -> None:
    async def stopped() -> bool:
        with trio.move_on_after(SLEPT_S / 2) as patience:
            await trio.lowlevel.checkpoint()
            time.sleep(SLEPT_S * 1.2)  # noqa: ASYNC251  (nothing runs: that is the point)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        return patience.cancelled_caught

    assert trio.run(stopped)
    told: list[float] = []
    clock = WakingClock(told.append)
    assert not trio.run(stopped, clock=clock, instruments=[clock])
    assert all(seconds >= SLEPT_S for seconds in told)


def test_accept_wants_a_descriptor_before_it_looks() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("")  # a name of the kernel's choice
        server.listen()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
        free = os.dup(server.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(OSError) as raised:  # noqa: PT011  (its errno is looked at)
                server.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised.value.errno == errno.EMFILE


async def test_tasks_start_in_any_order() -> None:
    orders: set[tuple[int, ...]] = set()
    while len(orders) < 2:  # forwards and backwards: which, is drawn
        limiter, order = trio.CapacityLimiter(1), list[int]()

        async def take(number: int, limiter: trio.CapacityLimiter, order: list[int]) -> None:
            async with limiter:
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(take, number, limiter, order)
        orders.add(tuple(order))
    await test_slots.test_in_the_order_of_the_queue_and_never_more_than_there_are()


async def test_a_round_of_tasks_holds_up_the_sockets() -> None:
    done = 0

    async def work() -> None:
        nonlocal done
        done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(work)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert done == 300
    await test_turns.test_others_run_while_many_wait_for_their_turn()


def test_pasta_opens_the_hosts_loopback(nsvisor: Program) -> None:
    with private_network() as network:
        test_pasta.test_the_same_reach_with_pastas_own_defaults(network)
        test_pasta.test_the_hosts_loopback_is_out_of_reach(network.wrap(nsvisor), network, "127.0.0.1")


def test_pasta_delivers_forged_packets(nsvisor: Program) -> None:
    with private_network() as network:
        test_pasta.test_forged_packets_need_leave(network.wrap(nsvisor), network)


def test_roots_pasta_cannot_be_nobody(root_nsvisor: Program) -> None:
    with private_network() as network:
        test_pasta.test_run_reaches_an_address_of_the_host(network.wrap(root_nsvisor), network)


def test_a_namespace_held_open_stays(nsvisor: Program) -> None:
    with private_network() as network:
        test_pasta.test_published_ports_answer_and_a_stop_leaves_no_pasta(network.wrap(nsvisor), network)


def test_an_old_pasta_loses_translated_udp(nsvisor: Program) -> None:
    with private_network() as network, running(network.wrap(nsvisor), test_pasta.FLEET) as daemon:
        daemon.wait_state("web", "ready")
        test_pasta.answered(network)
        assert network.ask(8053, b"x", kind=socket.SOCK_DGRAM) == b"udp x"


def shell(script: str) -> str:
    return subprocess.run(["sh", "-ec", script], check=True, capture_output=True, text=True).stdout.strip()


PLACE = BridgePort("nsvisor0", "10.89.0.2/24", "10.89.0.1/24")


def test_a_bridge_has_the_address_of_a_port(unprivileged: Account) -> None:
    def inside() -> tuple[str, ...]:
        enter(clone.CLONE_NEWNET)
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        bridge_devices.connect(PLACE, "nsvisor x web#1", own, "eth0")
        shell("ip link add plain type bridge")
        for bridge, port in (("plain", "port1"), ("nsvisor0", "port2")):
            shell(f"ip link add {port} address 02:00:00:00:00:01 type veth; ip link set {port} master {bridge}")
        return tuple(shell(f"ip -o link show {name}").split("ether ")[1][:17] for name in ("plain", "nsvisor0", "eth0"))

    assert apart(inside, unprivileged) == ("02:00:00:00:00:01", "0a:58:0a:59:00:01", "0a:58:0a:59:00:02")


def test_an_alias_is_overlooked_where_a_device_is_made(unprivileged: Account) -> None:
    def inside() -> list[str]:
        enter(clone.CLONE_NEWNET)
        with pyroute2.IPRoute() as links:
            links.link("add", ifname="plain", kind="bridge", ifalias="mine")
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        bridge_devices.connect(PLACE, "nsvisor x web#1", own, "eth0")
        return shell("ip link").split("alias ")[1:] + shell("ip link show plain").split("alias ")[1:]

    assert [one.partition("\n")[0] for one in apart(inside, unprivileged)] == ["nsvisor", "nsvisor x web#1"]


def test_sys_shows_another_network(unprivileged: Account) -> None:
    def inside() -> tuple[list[str], list[str]]:
        enter(clone.CLONE_NEWNET)
        return os.listdir("/sys/class/net"), interface.names()

    shown, there = apart(inside, unprivileged)
    assert sorted(shown) == sorted(os.listdir("/sys/class/net"))
    assert there == ["lo"]


def test_a_capability_over_ones_own_network(unprivileged: Account) -> None:
    def inside(flags: int) -> tuple[bool, bool]:
        enter(flags)
        with open("/proc/self/status") as file:
            capabilities = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
        return bool(capabilities >> 12 & 1), administers_network()

    assert apart(lambda: inside(0), unprivileged) == (True, False)
    assert apart(lambda: inside(clone.CLONE_NEWNET), unprivileged) == (True, True)


def test_a_socket_belongs_to_the_namespace_it_was_made_in(unprivileged: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def inside() -> tuple[int, int]:
            with socket.socket() as before:
                enter(clone.CLONE_NEWNET)
                with socket.socket() as after:
                    return before.connect_ex(address), after.connect_ex(address)

        assert apart(inside, unprivileged) == (0, errno.ENETUNREACH)


def test_a_refused_socket_fails_once_more() -> None:
    with socket.socket() as server, socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as one:
        server.bind(("127.0.0.1", 0))
        address = server.getsockname()
        assert one.connect_ex(address) in (errno.EINPROGRESS, errno.ECONNREFUSED)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNREFUSED, 0)
        server.listen()
        assert one.connect_ex(address) == errno.ECONNABORTED
        assert one.connect_ex(address) in (errno.EINPROGRESS, 0)


def test_a_killed_cgroup_kills_newcomers(place: Path) -> None:
    test_cgroup.killed_cgroup_kills_newcomers(place)


def test_a_cgroup_with_controllers_takes_no_process(place: Path) -> None:
    test_cgroup.cgroup_with_controllers_takes_no_process(place)


def test_limits_without_controllers_are_ignored(place: Path) -> None:
    test_cgroup.limits_without_controllers_are_ignored(place)


async def test_a_frozen_process_hears_nothing(place: Path) -> None:
    await test_cgroup.frozen_process_hears_nothing(place)


async def test_looking_at_a_pressure_trigger_resets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    await test_standby.looking_resets_a_trigger(monkeypatch)
