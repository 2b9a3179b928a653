"""Every phase made to fail: the record says which one, why and what to do; nothing is left; the next launch works."""

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from supervisor.cli.render_explain import render
from supervisor.control.models import InstanceDetail
from supervisor.phases import PHASES
from supervisor.spec.syscalls import NATIVE, NUMBERS
from tests import cgroups
from tests.accounts import Account, needs_a_range
from tests.e2e.belongings import Belongings, belongings, added, keys_of
from tests.e2e.daemons import Daemon, Record, running, wait_until
from tests.e2e.failing_phases import CASES, QUOTAS, Case, argument, calls, fleet, make_files, quota_fleet
from tests.e2e.private_network import private_network
from tests.kernel.intercepted_calls import Call, Fault, Interceptor
from tests.program import Program

KERNEL = NUMBERS[NATIVE[os.uname().machine]]
TIMEOUT_S = 1.0


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

    def fails(self, name: str, fault: Fault | None = None) -> list[Record]:
        """Start it: its records, up to the one of its exit."""
        assert fault is None or self.interceptor is not None
        at = self.daemon.program.log.stat().st_size
        if self.interceptor is not None:
            self.interceptor.fault = fault
        self.daemon.post("/v1/start", names=[name])
        records: list[Record] = []

        def failed() -> bool:
            records[:] = self._records(name, at)
            return any(record["event"] == "worker.failed" for record in records)

        wait_until(failed, f"{name} to fail: {self.daemon.program.log.read_text()[at:]}")
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
        at = self.daemon.program.log.stat().st_size
        self.daemon.post("/v1/start", names=["good"])
        wait_until(lambda: any(one["event"] == "worker.exited" for one in self._records("good", at)), "good to exit")
        (exited,) = [one for one in self._records("good", at) if one["event"] == "worker.exited"]
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
            yield victim
    interceptor.close()
    program.remove()


def _numbered(call: str) -> str:
    name, colon, condition = call.partition(":")
    return f"{KERNEL[name]}{colon}{condition}"


def test_the_table_has_all_phases() -> None:
    assert {case.phase for case in CASES.values()} | set(QUOTAS) == set(PHASES)


@pytest.mark.parametrize("name", CASES)
def test_a_phase_that_fails(victim: Victim, name: str) -> None:
    case = CASES[name]
    if case.phase.startswith("id."):
        needs_a_range(victim.daemon.program.user)
    _check(victim, name, case, _fault(case))


def _fault(case: Case, act: Callable[[Call], bool] = lambda _: False) -> Fault | None:
    if not case.call:
        return None
    name, _, condition = case.call.partition(":")
    index, _, value = condition.partition("=")
    right = argument(int(index), int(value)) if condition else case.when
    return Fault(KERNEL[name], getattr(errno, case.error), lambda call: right(call) and case.when(call), act)


def _check(victim: Victim, name: str, case: Case, fault: Fault | None = None) -> None:
    top = str(victim.daemon.program.top)
    before = victim.belongings(name)
    records = victim.fails(name, fault)
    (failed,) = [one for one in records if one["event"] == "setup.phase" and one["outcome"] not in ("ok", "skipped")]
    assert (failed["phase"], failed.get("errno"), failed.get("syscall")) == (case.phase, case.error, case.syscall), failed
    assert failed["level"] == "error"
    sentence, _, command = failed["hint"].partition(" Try: ")
    assert case.word in sentence
    assert command == "" if case.command is None else case.command.replace("TOP", top) in command
    assert "[Errno" not in failed.get("message", "")
    (setup,) = [one for one in records if one["event"] == "setup.failed"]
    assert list(setup["phases_us"])[-1] == case.phase
    (exited,) = [one for one in records if one["event"] == "worker.exited"]
    assert (exited["cause"], exited["phase"], exited["errno"]) == ("setup", case.phase, case.error)
    said = victim.explained(name)
    assert f"Failed in {case.phase}:" in said
    assert case.error in said
    assert case.word in said
    assert case.command is None or case.command.replace("TOP", top) in said.partition("try: ")[2]
    _check_leftovers(victim, name, before)


def _check_leftovers(victim: Victim, name: str, before: Belongings) -> None:
    deadline = time.monotonic() + 3
    while (left := added(before, victim.belongings(name))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, left
    victim.still_launches()
