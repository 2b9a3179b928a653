"""One launch through a keeper: the daemon's part of it in the test's hands, and the usual course in one call."""

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from supervisor.kernel import clone as flags
from supervisor.runtime.grants import grant
from supervisor.runtime.joins import open_joins
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.model import Worker
from supervisor.wire import encode_plan, pack
from tests.nsinit.keepers import Gone, Keeper, Message, close_all, has_ended, receive, wait_readable
from tests.nsinit.people import acting_as

Exit = tuple[int, int, int, int]  # wait status, user us, system us, max RSS KiB


class Refused(Exception):  # noqa: N818  (the keeper's word)
    """No child came of it: the step's phase, the errno, the system call, the words, the frames before it."""

    def __init__(self, phase: str, number: int, syscall: str, text: str, frames: list[list[str]]) -> None:
        super().__init__(phase, number, syscall, text)
        self.phase, self.number, self.syscall, self.text, self.frames = phase, number, syscall, text, frames


@dataclass(frozen=True)
class Failure:
    """A failed frame."""

    index: int
    phase: str
    number: int
    syscall: str
    text: str


@dataclass
class Sandbox:
    """A child of the keeper, waiting for `go`, or on its way, or done."""

    keeper: Keeper
    name: str
    plan: Plan
    pid: int
    pidfd: int
    channel: socket.socket
    stdout: int
    stderr: int
    frames: list[list[str]] = field(default_factory=list)
    needs: list[list[str]] = field(default_factory=list)
    exit: Exit | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict)

    def go(self) -> None:
        """Let it begin."""
        with suppress(BrokenPipeError):
            self.channel.send(pack("go"))

    def frame(self) -> Message:
        """The next one; what it tells is remembered. Gone at the end of the channel."""
        tokens, fds = receive(self.channel)
        if tokens[0] == "need":
            self.needs.append(tokens)
        else:
            self.frames += split(tokens)
        return tokens, fds

    def until_need(self) -> Message:
        """Go on until it needs something, and leave it waiting."""
        while (message := self.frame())[0][0] != "need":
            pass
        return message

    def until_end(self) -> None:
        """Go on until the channel's end, answering what it needs."""
        with suppress(Gone):
            while True:
                tokens, fds = self.frame()
                if tokens[0] == "need" and tokens[1] == "limits":
                    self._grant(tokens[2], fds[0])
                elif tokens[0] == "need" and tokens[1] == "secret":
                    self._tell(tokens[2])
                elif tokens[0] == "need":
                    self.answer(tokens[1], fds)
                close_all(fds)

    def answer(self, what: str, fds: Sequence[int] = ()) -> None:
        """Do what is needed, as the daemon would."""
        if what == "idmap":
            self._write_maps()
        if what == "hold":
            self.keeper.send("hold", self.name, fds=fds)
        self.channel.send(pack("done", 0, ""))

    def _tell(self, name: str) -> None:
        """A secret's content, or that there is none."""
        if name not in self.secrets:
            self.channel.send(pack("done", errno.ENOENT, "not there"))
            return
        content = os.memfd_create("secret")
        os.write(content, self.secrets[name])
        socket.send_fds(self.channel, [pack("done", 0, "")], [content])
        os.close(content)

    def _grant(self, what: str, pidfd: int) -> None:
        try:
            grant(what, pidfd, self.plan, self.keeper.who.facts)
            self.channel.send(pack("done", 0, ""))
        except OSError as error:
            self.channel.send(pack("done", error.errno or 0, error.strerror or ""))

    def _write_maps(self) -> None:
        facts = self.keeper.who.facts
        for kind, lines, helper in (
            ("gid", self.plan.gid_map, facts.newgidmap),
            ("uid", self.plan.uid_map, facts.newuidmap),
        ):
            if facts.privileged:
                with open(f"/proc/{self.pid}/{kind}_map", "w") as file:
                    file.write("".join("{} {} {}\n".format(*line) for line in lines))
            else:
                assert helper is not None
                words = [helper, str(self.pid), *(str(number) for line in lines for number in line)]
                subprocess.run(words, check=True, **self.keeper.who.account.identity())  # type: ignore[call-overload]

    @property
    def failure(self) -> Failure | None:
        """The failed frame, if there is one."""
        for tokens in self.frames:
            if tokens[0] == "phase" and tokens[4] == "failed":
                index = int(tokens[1])
                return Failure(index, self.plan.steps[index].phase, int(tokens[5]), tokens[6], tokens[7])
        return None

    def signal(self, number: int) -> None:
        """To the first process."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def wait(self) -> Exit:
        """Its exit, as the keeper tells it; acknowledged."""
        if self.exit is None:
            tokens, _ = self.keeper.expect("exited", self.name)
            status, user_us, system_us, max_rss_kib = map(int, tokens[2:])
            self.exit = (status, user_us, system_us, max_rss_kib)
            assert has_ended(self.pidfd)
            self.keeper.send("ack", self.name)
        return self.exit

    def output(self) -> str:
        """All of its standard output, to the end."""
        return read_all(self.stdout)

    def errors(self) -> str:
        """All of its standard error, to the end."""
        return read_all(self.stderr)

    def line(self) -> str:
        """The next line of its standard output."""
        line = b""
        while not line.endswith(b"\n"):
            wait_readable(self.stdout)
            byte = os.read(self.stdout, 1)
            assert byte, f"ended after {line!r}: {self.failure} {self.errors()}"
            line += byte
        return line.decode().rstrip("\n")


def split(tokens: list[str]) -> list[list[str]]:
    """What one message tells: of each phase `phase INDEX START END OUTCOME ERRNO SYSCALL MESSAGE`, or of the exec."""
    if tokens[0] == "exec":
        return [tokens]
    assert tokens[0] == "phases"
    assert len(tokens) % 7 == 1
    return [["phase", *tokens[at : at + 7]] for at in range(1, len(tokens), 7)]


def read_all(fd: int) -> str:
    """Until its last writer is gone."""
    chunks: list[bytes] = []
    while True:
        wait_readable(fd)
        chunk = os.read(fd, 65536)
        if not chunk:
            return b"".join(chunks).decode()
        chunks.append(chunk)


def worker(command: str | Sequence[str], **keys: Any) -> Worker:
    """A worker called `box`; a string is a shell script."""
    words = ("/bin/sh", "-c", command) if isinstance(command, str) else tuple(command)
    return Worker(**{"name": "box", "command": words, **keys})


_numbers = iter(range(1, 1_000_000))


@contextmanager
def launched(
    keeper: Keeper,
    what: Worker | Plan,
    *,
    terminal: bool = False,
    stdin: int | None = None,
    joined: Mapping[str, "Sandbox"] | None = None,
    joins: Sequence[tuple[int, int]] | None = None,
    stop: tuple[int, int] = (signal.SIGTERM, 0),
    hold: bool = False,
    hidden: bool | None = None,
    secrets: Mapping[str, bytes] | None = None,
) -> Iterator[Sandbox]:
    """A child that waits for `go`; killed, reaped and forgotten at the end. Refused where none came of it.

    joined: sandboxes by worker's name; joins: descriptors and kinds instead of the plan's own; hold: the keeper keeps
    copies of the pipes; hidden: as a command executed beside others; unless said, as the daemon does.
    """
    plan = compile_plan(what, 0, keeper.who.facts, terminal=terminal) if isinstance(what, Worker) else what
    name = f"{plan.instance}#{next(_numbers)}"
    if joins is None:
        with acting_as(keeper.who.account):
            opened, kinds = open_joins(plan.joins, lambda name: ((joined or {})[name].pid, (joined or {})[name].pidfd))
    else:
        opened, kinds = [os.dup(fd) for fd, _ in joins], [kind for _, kind in joins]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    plan_fd = os.memfd_create("plan")
    os.write(plan_fd, encode_plan([(step.phase, step.arguments) for step in plan.steps]))
    null = os.open("/dev/null", os.O_RDWR) if stdin is None else os.dup(stdin)
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    kept = [out, err] if hold else []
    clone_flags = flags.CLONE_NEWUSER * plan.new_user | flags.CLONE_NEWPID * plan.new_pid
    roles = " ".join(["plan", "channel", "stdio", "stdio", "stdio", *("keep" for _ in kept), *("join" for _ in opened)])
    keeper.send(
        *(
            "launch",
            name,
            clone_flags,
            *stop,
            roles,
            " ".join(map(str, kinds)),
            *(("hidden",) if (plan.is_watched if hidden is None else hidden) else ()),
            *(("released",) if plan.is_released else ()),
        ),
        fds=[plan_fd, theirs.fileno(), null, out_writer, err_writer, *kept, *opened],
    )
    close_all([plan_fd, null, out_writer, err_writer, *opened])
    theirs.close()
    with ours:
        try:
            tokens, fds = expect_answer(keeper, name)
            if tokens[0] == "refused":
                frames = []
                with suppress(Gone):
                    while True:
                        frames += split(receive(ours)[0])
                raise Refused(plan.steps[int(tokens[2])].phase, int(tokens[4]), tokens[5], tokens[6], frames)
            sandbox = Sandbox(keeper, name, plan, int(tokens[2]), fds[0], ours, out, err)
            try:
                sandbox.secrets = secrets or {}
                yield sandbox
            finally:
                sandbox.signal(signal.SIGKILL)
                if keeper.connection is not None and keeper.process.poll() is None:
                    sandbox.wait()
                close_all(fds)
        finally:
            close_all([out, err])


def expect_answer(keeper: Keeper, name: str) -> Message:
    """`launched` or `refused`, for this launch."""
    while True:
        tokens, fds = keeper.receive()
        if tokens[0] in {"launched", "refused"} and tokens[1] == name:
            return tokens, fds
        assert tokens[0] == "exited", tokens
        keeper.inbox.append((tokens, fds))


@dataclass(frozen=True)
class Ran:
    """A whole course: from `go` to the exit record."""

    out: str
    err: str
    status: int
    failure: Failure | None
    phases: tuple[str, ...]  # that were told of
    notes: dict[str, str]  # what they said
    exit: Exit

    @property
    def code(self) -> int | None:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None


def run(keeper: Keeper, what: Worker | Plan, **options: Any) -> Ran:
    """Launch, build, wait. A set-up that fails below a living PID 1 is ended."""
    with launched(keeper, what, **options) as sandbox:
        sandbox.go()
        sandbox.until_end()
        if sandbox.failure is not None:
            sandbox.signal(signal.SIGKILL)
        out, err = sandbox.output(), sandbox.errors()
        ended = sandbox.wait()
        phases = tuple(sandbox.plan.steps[int(tokens[1])].phase for tokens in sandbox.frames)
        notes = {sandbox.plan.steps[int(tokens[1])].phase: tokens[7] for tokens in sandbox.frames if tokens[7:] > [""]}
        return Ran(out, err, ended[0], sandbox.failure, phases, notes, ended)


def output_of(keeper: Keeper, what: Worker | Plan, **options: Any) -> str:
    """What it wrote, stripped; it must have gone well."""
    ran = run(keeper, what, **options)
    assert (ran.failure, ran.status, ran.err) == (None, 0, "")
    return ran.out.strip()
