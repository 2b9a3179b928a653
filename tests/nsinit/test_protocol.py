"""What the daemon says, right and wrong. Nothing that it says ends the keeper, or a worker."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.kernel import clone as flags
from supervisor.wire import MAX_MESSAGE_BYTES, PROTOCOL, encode_plan
from tests.nsinit.keepers import Gone, Keeper, close_all, has_ended, receive, running_keeper
from tests.nsinit.listeners import listening_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, split, worker

VERBS = ["hello", "launch", "spawn", "ack", "state", "keeper", "held", "", "exit", "__init__", "_launch"]
VERBS += ["adopt", "forget", "rule"]
NUMBERS = ["0", "-1", "1", "15", "99999999999999999999", "x", "", "1e9", "٣", " 7 ", str(PROTOCOL)]
WORDS = st.one_of(st.sampled_from(NUMBERS), st.text(st.characters(exclude_characters="\0"), max_size=20))
ROLES = st.lists(st.sampled_from(["plan", "channel", "stdio", "keep", "join", "cgroup", "?"]), max_size=8).map(" ".join)
LAUNCHES = st.tuples(
    *(
        st.just("launch"),
        WORDS,
        WORDS,
        WORDS,
        WORDS,
        ROLES,
        st.lists(st.sampled_from(NUMBERS), max_size=3).map(" ".join),
    )
)
MESSAGES = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.tuples(st.sampled_from(VERBS), st.lists(WORDS, max_size=7))
    .map(lambda parts: encoded(parts[0], *parts[1]))
    .filter(bool),
    LAUNCHES.map(lambda words: encoded(*words)),
)


def encoded(*words: str) -> bytes:
    return b"\0".join(word.encode("utf-8", "surrogatepass") for word in words)


@pytest.fixture(scope="module")
def witness(who: Who) -> Iterator[tuple[Keeper, int]]:
    """A keeper with a worker that must not notice: the keeper, and the worker's pidfd."""
    with running_keeper(who) as keeper, launched(keeper, worker("exec sleep 600")) as sandbox:
        sandbox.go()
        sandbox.until_end()
        yield keeper, sandbox.pidfd


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=MESSAGES, count=st.integers(0, 6))
def test_garbage(witness: tuple[Keeper, int], message: bytes, count: int) -> None:
    keeper, pidfd = witness
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    before = len(keeper.descriptors()) + (message.partition(b"\0")[0] == b"state")
    keeper.send_raw(message, fds)
    close_all(fds)
    said = [tokens[0] for tokens in keeper.drain("the end")]
    assert said in (["error"], ["refused"], ["protocol"], ["keeper", "held", "end"], [])
    assert len(keeper.descriptors()) <= before
    assert not has_ended(pidfd)


def refusal(keeper: Keeper, *words: str | int, fds: list[int] | None = None) -> str:
    """What it answers."""
    keeper.send(*words, fds=fds or [])
    (verb, text), _ = keeper.receive()
    assert verb == "error"
    return text


def test_errors_say_what_is_wrong(keeper: Keeper) -> None:
    assert refusal(keeper, "dance") == "dance: KeyError: 'dance'"
    assert refusal(keeper, "ack", "nobody#1").startswith("ack: KeyError")
    assert refusal(keeper, "ack").startswith("ack: IndexError")
    assert refusal(keeper, "state").startswith("state: IndexError")
    assert refusal(keeper, "launch", "a#1").startswith("launch: ValueError")
    assert len(refusal(keeper, "x" * (MAX_MESSAGE_BYTES - 1))) < 1000


def launch_message(name: str, *, clone_flags: int = 0, stop: int = 15, grace: int = 0) -> tuple[str | int, ...]:
    return ("launch", name, clone_flags, stop, grace, "plan channel stdio stdio stdio", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"clone_flags": 0x100},  # CLONE_VM: the child would run in the keeper's memory
        {"clone_flags": flags.CLONE_PARENT},
        {"clone_flags": 1 << 64},
        {"stop": 0},
        {"stop": 65},
        {"grace": -1},
    ],
)
def test_a_launch_that_cannot_be(keeper: Keeper, wrong: dict[str, int]) -> None:
    """Refused before there is a child."""
    fds = [os.open("/dev/null", os.O_RDWR) for _ in range(5)]
    assert refusal(keeper, *launch_message("a#1", **wrong), fds=fds).startswith("launch: WireError")
    close_all(fds)
    assert [pid for pid in os.listdir("/proc") if pid.isdecimal() and _parent(pid) == keeper.pid] == []


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


def test_a_name_that_is_taken(keeper: Keeper) -> None:
    with launched(keeper, worker("exec sleep 60")) as sandbox:
        fds = [os.open("/dev/null", os.O_RDWR) for _ in range(5)]
        assert "held already" in refusal(keeper, *launch_message(sandbox.name), fds=fds)
        close_all(fds)
        assert refusal(keeper, "ack", sandbox.name).endswith("has not exited")


def test_descriptors_that_are_none_of_a_launch(keeper: Keeper) -> None:
    """No socket for a channel, no memfd for a plan: a child that leaves at once, and a record of it."""
    fds = [os.open("/dev/null", os.O_RDWR) for _ in range(5)]
    keeper.send(*launch_message("a#1"), fds=fds)
    close_all(fds)
    _, (pidfd,) = keeper.expect("launched")
    assert keeper.expect("exited")[0][1:3] == ["a#1", str(125 << 8)]
    os.close(pidfd)
    keeper.send("ack", "a#1")


@pytest.mark.parametrize("plan", [b"", b"exec", b"exec\0x", b"exec\0-1", b"exec\0" + b"9" * 20, b"no.phase\x000"])
def test_a_plan_that_is_none(keeper: Keeper, plan: bytes) -> None:
    with sent_off(keeper, plan) as channel:
        with suppress(BrokenPipeError):  # it looked at the plan before, and left
            channel.send(b"go")
        assert keeper.expect("exited")[0][2] == str(125 << 8)


@contextmanager
def sent_off(keeper: Keeper, plan: bytes) -> Iterator[socket.socket]:
    """A launch by hand: its channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fds = [os.memfd_create("plan"), theirs.fileno(), *(os.open("/dev/null", os.O_RDWR) for _ in range(3))]
    os.write(fds[0], plan)
    keeper.send(*launch_message("a#1"), fds=fds)
    theirs.close()
    close_all([fds[0], *fds[2:]])
    _, (pidfd,) = keeper.expect("launched")
    with ours:
        yield ours
    keeper.send("ack", "a#1")
    os.close(pidfd)


def test_a_phase_with_the_wrong_arguments_fails_as_that_phase(keeper: Keeper) -> None:
    steps: list[tuple[str, tuple[bytes | str | int, ...]]]
    steps = [("clone", ()), ("parent.bind", ()), ("uts.hostname", ("a", "b", "c"))]
    with sent_off(keeper, encode_plan(steps)) as channel:
        channel.send(b"go")
        last = split(receive(channel)[0])[-1]
        assert [last[1], *last[4:7]] == ["2", "failed", "0", ""]
        assert last[7].startswith("TypeError: ")
        keeper.expect("exited")


def test_another_protocol(keeper: Keeper) -> None:
    keeper.send("hello", PROTOCOL + 1)
    assert keeper.receive()[0] == ["protocol", str(PROTOCOL)]


def test_more_descriptors_than_a_message_may_have(who: Who) -> None:
    """The kernel drops what there is no room for; the launch is refused, none stays open."""
    with running_keeper(who) as keeper:
        keeper.settle()
        before = keeper.descriptors()
        null = os.open("/dev/null", os.O_RDWR)
        roles = " ".join(["plan", "channel", "stdio", "stdio", "stdio", *(["keep"] * 95)])
        keeper.send("launch", "a#1", 0, 15, 0, roles, "", fds=[null] * 100)
        os.close(null)
        assert keeper.receive()[0][0] == "refused"
        keeper.settle()
        assert keeper.descriptors() == before


def test_an_empty_message_is_the_end(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening:
        with listening.daemon() as daemon:
            daemon.settle()
            daemon.send_raw(b"", [0])
            with pytest.raises(Gone):
                daemon.receive()
        with listening.daemon() as daemon:
            daemon.settle()
            assert not any("/dev/pts" in line for line in daemon.descriptors())


def test_a_second_daemon_is_told_that_it_is_one(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening, listening.daemon() as first:
        first.settle()
        for _ in range(3):
            with listening.daemon() as second:
                assert second.receive()[0] == ["busy", str(first.pid)]
                second.send("hello", PROTOCOL)  # not answered, and not a reset either: that would read as "gone"
        first.settle()


def test_another_user_is_refused(who: Who, folder: Folder) -> None:
    if os.geteuid() != 0:
        assert who.account.is_me  # there is no other to be
        return
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])"
    code += "; s.send(b'hello\\x00' + sys.argv[2].encode()); print(s.recv(99))"
    with listening_keeper(who, folder) as listening:
        command = [sys.executable if who.privileged else who.python, "-I", "-c", code, listening.path, str(PROTOCOL)]
        done = subprocess.run(
            ["/usr/bin/python3", *command[1:]],
            user=54321,
            group=54321,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "b''\n" or "BrokenPipe" in done.stderr or "ConnectionReset" in done.stderr
        with listening.daemon() as daemon:
            daemon.settle()


def test_a_daemon_that_does_not_read_stops_nothing(who: Who, folder: Folder) -> None:
    """Messages wait in the keeper, in order; workers are reaped all the same."""
    many = 2000
    with (
        listening_keeper(who, folder) as listening,
        listening.daemon() as daemon,
        launched(daemon, worker("exec sleep 60", init=False)) as sandbox,
    ):
        sandbox.go()
        sandbox.until_end()
        for number in range(many):  # each is answered
            daemon.send("ack", f"nobody{number}")
        sandbox.signal(signal.SIGKILL)
        while os.path.exists(f"/proc/{sandbox.pid}"):
            os.sched_yield()
        answers = [daemon.receive()[0] for _ in range(many + 1)]
        exited = [tokens for tokens in answers if tokens[0] == "exited"]
        assert [tokens[1:3] for tokens in exited] == [[sandbox.name, str(int(signal.SIGKILL))]]
        answers.remove(exited[0])
        assert answers == [["error", f"ack: KeyError: 'nobody{number}'"] for number in range(many)]
        sandbox.exit = (9, 0, 0, 0)
        daemon.send("ack", sandbox.name)
        daemon.settle()
