"""Every phase made to fail: the record says which one, why and what to do; nothing is left; the next launch works."""

import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from supervisor.cli.render_explain import render
from supervisor.control.models import InstanceDetail
from supervisor.phases import PHASES
from supervisor.spec.syscalls import NATIVE, NUMBERS
from tests import cgroups
from tests.accounts import Account, needs_a_range
from tests.e2e.belongings import Belongings, added, belongings, keys_of
from tests.e2e.daemons import Daemon, Record, running, wait_until
from tests.e2e.failing_phases import (
    CASES,
    QUOTAS,
    RANGE,
    STOPPED,
    Case,
    argument,
    calls,
    fleet,
    make_files,
    quota_fleet,
)
from tests.e2e.private_network import private_network
from tests.kernel.intercepted_calls import Call, Fault, Interceptor
from tests.program import Program

QUOTA_SETTER = """
import os, sys
from supervisor.kernel.setns import setns
setns(os.open(f"/proc/{sys.argv[1]}/ns/user", os.O_RDONLY), 0)
for line in sys.stdin:
    kind, most = line.split()
    with open(f"/proc/sys/user/max_{kind}_namespaces", "w") as file:
        file.write(most)
    print("done", flush=True)
"""
UNDER_A_MANAGER = {"parent.release"}  # of a service, with a scope for the workers: tests/e2e/test_keeper_scope.py
AHEAD = {"standby.wait"}  # of the time: tests/e2e/test_standby.py
KERNEL = NUMBERS[NATIVE[os.uname().machine]]


class Intercepted(Program):
    """Whose daemon's system calls, and no other command's, are answered by the test."""

    interceptor: Interceptor | None = None

    def popen(self, *args: str, **options: object) -> "subprocess.Popen[str]":
        """As any program; the daemon with the interceptor."""
        if args[-1] != "daemon" or self.interceptor is None:
            wrapper, identity, self.wrapper, self.identity = self.wrapper, self.identity, [], self.user.identity()
            try:
                return super().popen(*args, **options)
            finally:
                self.wrapper, self.identity = wrapper, identity
        process = super().popen(*args, pass_fds=[self.interceptor.theirs.fileno()], **options)
        self.interceptor.serve()
        return process


@dataclass
class Victim:
    """A daemon whose launches fail."""

    daemon: Daemon
    interceptor: Interceptor | None
    cgroup: Path | None
    at_first: Belongings = field(default_factory=dict)
    keys_at_first: int = 0

    def ends(self, name: str, event: str, fault: Fault | None = None) -> list[Record]:
        """Start it: its records, up to this one."""
        assert fault is None or self.interceptor is not None
        at = self.daemon.program.log.stat().st_size
        if self.interceptor is not None:
            self.interceptor.fault = fault
        self.daemon.post("/v1/start", names=[name])
        records: list[Record] = []

        def ended() -> bool:
            records[:] = self._records(name, at)
            return any(record["event"] == event for record in records)

        try:
            wait_until(ended, f"{event} of {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.daemon.program.log.read_text()[at:]}") from None
        assert fault is None or fault.met.is_set()
        return records

    def _records(self, name: str, at: int) -> list[Record]:
        with self.daemon.program.log.open() as file:
            file.seek(at)
            lines = [line for line in file if line.startswith("{") and line.endswith("}\n")]
        return [record for record in map(json.loads, lines) if record.get("instance") == name]

    def explained(self, name: str) -> str:
        """What `nsvisor explain` prints."""
        status, answer = self.daemon.ask("GET", f"/v1/instances/{name}")
        assert status == 200
        (detail,) = msgspec.convert(answer, list[InstanceDetail])
        return "\n".join(render(detail, {}, str))

    def belongings(self, name: str) -> Belongings:
        """Without the files that an instance has for good: what it printed, and why it failed."""
        found = belongings(self.daemon, self.cgroup)
        found["state files"] = [file for file in found["state files"] if not Path(file).name.startswith(f"{name}.")]
        return found

    def still_launches(self) -> None:
        """A good worker."""
        (exited,) = [one for one in self.ends("good", "worker.exited") if one["event"] == "worker.exited"]
        assert exited["code"] == 0


@pytest.fixture(scope="module")
def victim(unprivileged: Account, program_bin: Path) -> Iterator[Victim]:
    """The ordinary user's daemon, in a network and with a cgroup of its own."""
    program = Intercepted(unprivileged, program_bin)
    make_files(program)
    interceptor = Interceptor(str(program_bin / "python"), *map(_numbered, calls()))
    with private_network() as network, cgroups.delegated(unprivileged) as cgroup:
        network.wrap(program)
        at = program.wrapper.index("--") + 1
        program.wrapper[at:at] = interceptor.wrapper
        program.interceptor = interceptor
        with cgroups.inside(cgroup), running(program, fleet(program.top)) as daemon:
            victim = Victim(daemon, interceptor, cgroup)
            victim.still_launches()
            victim.at_first, victim.keys_at_first = victim.belongings(""), keys_of(unprivileged.uid)
            yield victim
    interceptor.close()
    program.remove()


def _numbered(call: str) -> str:
    name, colon, condition = call.partition(":")
    return f"{KERNEL[name]}{colon}{condition}"


def test_the_table_has_all_phases() -> None:
    assert {case.phase for case in CASES.values()} | set(QUOTAS) == set(PHASES) - UNDER_A_MANAGER - AHEAD


@pytest.mark.parametrize("name", CASES)
def test_a_phase_that_fails(victim: Victim, name: str) -> None:
    case = CASES[name]
    if RANGE in case.keys:
        needs_a_range(victim.daemon.program.user)
    _check(victim, name, case, _fault(case, _killed if case.error == "SIGKILL" else _goes_on))


@pytest.mark.parametrize("name", STOPPED)
def test_a_process_killed_in_the_phase(victim: Victim, name: str) -> None:
    case = replace(CASES[name], error="SIGKILL", syscall=None, word="killed from outside", command="dmesg")
    _check(victim, name, case, _fault(case, _killed))


@pytest.mark.parametrize("name", STOPPED)
def test_a_phase_that_hangs(victim: Victim, name: str) -> None:
    case = replace(CASES[name], error="ETIMEDOUT", syscall=None, word="setup_timeout", command="uptime")
    _check(victim, f"slow-{name}", case, _fault(case, lambda _: True), cause="setup-timeout")


@pytest.mark.parametrize("name", STOPPED)
def test_a_keeper_killed_in_the_phase(victim: Victim, name: str) -> None:
    """The launch is tried again, under another keeper, and no failure is told."""
    keeper = victim.daemon.keeper_pid()

    def kill_keeper(_: Call) -> bool:
        gone = select.poll()
        pidfd = os.pidfd_open(keeper)
        gone.register(pidfd, select.POLLIN)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        gone.poll()
        os.close(pidfd)
        return False

    before = victim.belongings(name)
    records = victim.ends(name, "worker.exited", _fault(replace(CASES[name], error=""), kill_keeper))
    assert [one for one in records if one["event"] == "setup.phase" and one["outcome"] == "failed"] == []
    (exited,) = [one for one in records if one["event"] == "worker.exited"]
    assert exited["code"] == 0
    assert victim.daemon.keeper_pid() != keeper
    _check_leftovers(victim, name, before)


def test_the_command_explains_it(victim: Victim) -> None:
    victim.ends("no-file", "worker.failed")
    said = victim.daemon.program.run("explain", "no-file")
    assert said.returncode == 0
    assert "Failed in exec: execve: ENOENT" in said.stdout
    assert "  try: nsvisor plan no-file\n" in said.stdout


def test_nothing_has_gathered_meanwhile(victim: Victim) -> None:
    """Keyrings are the user's, who may have other processes: one for each launch would be many."""
    left = [line for line in added(victim.at_first, victim.belongings("")) if not line.startswith("state files: ")]
    assert not left, left
    uid = victim.daemon.program.user.uid
    wait_until(lambda: keys_of(uid) <= victim.keys_at_first + 20, "the kernel to collect keyrings", 10)


@pytest.mark.parametrize("phase", QUOTAS)
def test_a_quota_of_namespaces_that_is_used_up(
    confined: Victim, set_quota: Callable[[str, int], None], phase: str
) -> None:
    kind, _ = QUOTAS[phase]
    case = Case(
        phase, "", "ENOSPC", "clone3" if phase == "clone" else "unshare", "is used up or 0", f"max_{kind}_namespaces"
    )
    name = phase.replace(".", "-")
    before = confined.belongings(name)
    set_quota(kind, 0)
    _check_record(confined, name, case)
    set_quota(kind, 1000)
    _check_leftovers(confined, name, before)


@pytest.fixture(scope="module")
def confined(unprivileged: Account, program_bin: Path) -> Iterator[Victim]:
    """The daemon in a user namespace, whose quotas are its own; no interceptor, no cgroups."""
    program = Program(unprivileged, program_bin)
    program.wrapper = ["unshare", "--user", "--map-current-user"]
    with running(program, quota_fleet()) as daemon:
        victim = Victim(daemon, None, None)
        victim.still_launches()
        yield victim
    program.remove()


@pytest.fixture(scope="module")
def set_quota(confined: Victim) -> Iterator[Callable[[str, int], None]]:
    """Sets how many namespaces of a kind there may be in the user namespace of that daemon."""
    command = [sys.executable, "-c", QUOTA_SETTER, str(confined.daemon.pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as setter:
        assert setter.stdin is not None
        assert setter.stdout is not None
        asked, answered = setter.stdin, setter.stdout

        def set_it(kind: str, most: int) -> None:
            print(kind, most, file=asked, flush=True)
            assert answered.readline() == "done\n"

        yield set_it


def _goes_on(_: Call) -> bool:
    return False


def _killed(call: Call) -> bool:
    os.kill(call.pid, signal.SIGKILL)
    return True


def _fault(case: Case, act: Callable[[Call], bool]) -> Fault | None:
    if not case.call:
        return None
    name, _, condition = case.call.partition(":")
    index, _, value = condition.partition("=")
    right = argument(int(index), int(value)) if condition else case.when
    return Fault(KERNEL[name], getattr(errno, case.error, 0), lambda call: right(call) and case.when(call), act)


def _check(victim: Victim, name: str, case: Case, fault: Fault | None = None, cause: str = "setup") -> None:
    before = victim.belongings(name)
    _check_record(victim, name, case, fault, cause)
    _check_leftovers(victim, name, before)


def _check_record(victim: Victim, name: str, case: Case, fault: Fault | None = None, cause: str = "setup") -> None:
    records = victim.ends(name, "worker.failed", fault)
    (failed,) = [one for one in records if one["event"] == "setup.phase" and one["outcome"] not in ("ok", "skipped")]
    assert (failed["phase"], failed.get("errno"), failed.get("syscall")) == (case.phase, case.error, case.syscall), (
        json.dumps(records)
    )
    assert failed["level"] == "error"
    assert "[Errno" not in failed.get("message", "")
    sentence, _, command = failed["hint"].partition(" Try: ")
    wanted = None if case.command is None else case.command.replace("TOP", str(victim.daemon.program.top))
    assert case.word in sentence
    assert command == "" if wanted is None else wanted in command
    (setup,) = [one for one in records if one["event"] == "setup.failed"]
    assert list(setup["phases_us"])[-1] == case.phase
    (exited,) = [one for one in records if one["event"] == "worker.exited"]
    assert (exited["cause"], exited["phase"], exited["errno"]) == (cause, case.phase, case.error)
    said = victim.explained(name)
    assert f"{'Failed' if cause == 'setup' else 'Stopped'} in {case.phase}" in said
    assert f"  {sentence}\n" in said
    assert wanted is None or f"  try: {command}\n" in said


def _check_leftovers(victim: Victim, name: str, before: Belongings) -> None:
    deadline = time.monotonic() + 3
    while (left := added(before, victim.belongings(name))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, left
    victim.still_launches()
