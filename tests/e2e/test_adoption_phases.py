"""The daemon is SIGKILLed while launches are under way, one in each phase: the next one ends them and launches anew."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.kernel.clone import CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUTS
from supervisor.spec.syscalls import NATIVE, NUMBERS
from tests import cgroups
from tests.accounts import Account
from tests.e2e.belongings import added, belongings
from tests.e2e.daemons import is_alive, matching, running, wait_until
from tests.e2e.failing_phases import CASES, FORKED
from tests.e2e.private_network import PrivateNetwork, private_network
from tests.e2e.test_fail_every_phase import Intercepted
from tests.kernel.intercepted_calls import Call, Fault, Interceptor

KERNEL = NUMBERS[NATIVE[os.uname().machine]]
When = Callable[[Call], bool]


def nth(count: int) -> When:
    """The call of that number of one process."""
    seen: dict[int, int] = {}

    def is_it(call: Call) -> bool:
        seen[call.pid] = seen.get(call.pid, 0) + 1
        return seen[call.pid] == count

    return is_it


def is_pasta(call: Call) -> bool:
    return Path(os.readlink(f"/proc/{call.pid}/exe")).name.startswith(("pasta", "passt"))


def always(_: Call) -> bool:
    return True


# Where a launch hangs when its daemon is killed: the worker's keys, and the system call that does not return.
HANGS: dict[str, tuple[str, str, When]] = {
    **{
        case.phase.translate(str.maketrans("._", "--")): (case.keys, case.call, case.when)
        for name in (
            *("parent", "loopback", "hostname", "domainname", "propagation", "seal", "root-seal", "pivot", "fork"),
            *("session", "bounding", "capset", "descriptors", "umask", "personality", "privileges", "seccomp"),
        )
        for case in [CASES[name]]
    },
    "session-new-apart": (FORKED, "setsid", always),
    "ns-mount": ("", f"unshare:0={CLONE_NEWNS}", always),
    "ns-uts": ("", f"unshare:0={CLONE_NEWUTS}", always),
    "ns-ipc": ("", f"unshare:0={CLONE_NEWIPC}", always),
    "ns-network": ("", f"unshare:0={CLONE_NEWNET}", always),
    "ns-cgroup": ("", f"unshare:0={CLONE_NEWCGROUP}", always),
    "net-attach": ('network = { mode = "pasta" }', "pivot_root", is_pasta),  # its own: half set up
    "rootfs-prepare": ("", "move_mount", nth(1)),
    "mount-2": ("", "move_mount", nth(2)),
    "mount-4": ("", "move_mount", nth(4)),
    "mount-secret": ('secrets = [{ id = "x", source = "/etc/passwd" }]', "sendfile", always),
    "cwd-enter": (
        'working_dir = "/usr/share"',
        "chdir",
        lambda call: call.memory(call.arguments[0], 10) == b"/usr/share",
    ),
    "exec": ("", "execve", lambda call: b"sleep" in call.memory(call.arguments[0], 64).split(b"\0")[0]),
}
SECONDS = {name: str(43000 + number) for number, name in enumerate(HANGS)}


def fleet() -> str:
    """A worker for each, none started by itself."""
    text = "[supervisor]\nstart_concurrency = 100\n[defaults]\nautostart = false\n"
    for name, (keys, _, _) in HANGS.items():
        text += f'[worker.{name}]\ncommand = ["sleep", "{SECONDS[name]}"]\nsetup_timeout = "5m"\n{keys}\n'
    return text


@contextmanager
def close_in_the_end(interceptors: list[Interceptor]) -> Iterator[None]:
    """Once all that they answered are gone."""
    try:
        yield
    finally:
        for interceptor in interceptors:
            interceptor.close()


def intercepted(program: Intercepted, network: PrivateNetwork, calls: list[str]) -> Interceptor:
    """For the next daemon."""
    interceptor = Interceptor(str(program.bin / "python"), *calls)
    network.wrap(program)
    at = program.wrapper.index("--") + 1
    program.wrapper[at:at] = interceptor.wrapper
    program.interceptor = interceptor
    return interceptor


def numbered(call: str) -> str:
    name, colon, condition = call.partition(":")
    return f"{KERNEL[name]}{colon}{condition}"


def hang(interceptor: Interceptor, name: str, start: Callable[[], object]) -> int:
    """Start that worker's launch, and return once it hangs: the process that does."""
    _, call, when = HANGS[name]
    word, _, condition = call.partition(":")
    index, _, value = condition.partition("=")
    pids: list[int] = []

    def right(call: Call) -> bool:
        if condition and call.arguments[int(index)] & 0xFFFFFFFF != int(value):
            return False
        return when(call)

    def act(call: Call) -> bool:
        pids.append(call.pid)
        return True

    fault = interceptor.fault = Fault(KERNEL[word], when=right, act=act)
    start()
    assert fault.met.wait(20), f"{name} does not come to {call}"
    return pids[0]


@pytest.fixture
def program(unprivileged: Account, program_bin: Path) -> Iterator[Intercepted]:
    one = Intercepted(unprivileged, program_bin)
    yield one
    one.remove()


def test_killed_with_a_launch_in_each_phase(program: Intercepted, unprivileged: Account) -> None:
    calls = sorted({numbered(call) for _, call, _ in HANGS.values()})
    interceptors: list[Interceptor] = []
    with (
        close_in_the_end(interceptors),
        private_network() as network,
        cgroups.delegated(unprivileged) as cgroup,
        cgroups.inside(cgroup),
    ):
        interceptors.append(one := intercepted(program, network, calls))
        with running(program, fleet()) as first:
            first.post("/v1/start", names=["ns-uts"])
            first.wait_state("ns-uts", "ready")  # what the first launch of all makes is made
            first.post("/v1/stop", names=["ns-uts"])
            first.wait_state("ns-uts", "stopped")
            at_first = belongings(first, cgroup)
            keeper = first.keeper_pid()
            hanging = {name: hang(one, name, lambda: first.post("/v1/start", names=[name])) for name in HANGS}  # noqa: B023
            assert {one["state"] for one in first.instances().values()} == {"creating"}
            assert all(map(is_alive, hanging.values()))
            numbers = {name: found["incarnation"] for name, found in first.instances().items()}
            first.kill()
        interceptors.append(intercepted(program, network, calls))
        with running(program, fleet()) as second:
            for name in HANGS:
                found = second.wait_state(name, "ready")
                assert found["incarnation"] == numbers[name] + 1, name
                assert found["last_exit"]["cause"] == "interrupted", name
                assert (found["restarts"], found["failures"]) == (0, 0), name
                assert len(matching("sleep", SECONDS[name])) == 1, name
            assert second.keeper_pid() == keeper
            assert not [name for name, pid in hanging.items() if is_alive(pid)]
            assert second.records("worker.stray") == []
            second.post("/v1/stop", names=[])
            for name in HANGS:
                second.wait_state(name, "stopped")
            now: list[str] = []

            def nothing_more() -> bool:
                now[:] = [
                    one for one in added(at_first, belongings(second, cgroup)) if not one.startswith("state files")
                ]
                return not now

            wait_until(nothing_more, "what the launches made to be gone", 10)
