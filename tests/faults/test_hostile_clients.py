"""Clients of a real daemon that are too many, too slow, deaf or mad: the others are answered, and memory is bounded."""

import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil

from supervisor.control.exec_server import MAX_CONNECTIONS
from tests.e2e.daemons import Daemon, running
from tests.program import Program

FLEET = '[worker.a]\ncommand = ["sleep", "1000"]\ninstances = 4\n'
MANY = 1000
GROWTH_BYTES = 100 * 1024 * 1024
REQUEST = b"GET /v1/instances HTTP/1.1\r\nhost: a\r\n\r\n"
EVENTS = b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /v1/start HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
MAD = {
    "a header that never ends": b"GET /v1/version HTTP/1.1\r\nx: " + b"a" * 10_000,
    "headers without end": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
    "a line without end": b"GET /" + b"a" * 200_000,
    "a body that does not come": POST + b"content-length: 1000\r\n\r\n{",
    "a body that is too long": POST + b"content-length: 10000000000\r\n\r\n" + b" " * 200_000,
    "chunks without end": POST + b"transfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b" " * 4096 + b"\r\n1000\r\n",
    "a chunk that is no number": POST + b"transfer-encoding: chunked\r\n\r\n-1\r\n\r\n",
    "another kind of body": b"POST /v1/stop HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n<a>",
    "both lengths": POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/2 by knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + b"\xff" * 5000,
    "an upgrade": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "noise": bytes(range(256)) * 400,
    "requests in a row": REQUEST * 300,
}


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Room for so many clients in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def client(stack: ExitStack, path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A connection that lasts as long as the test."""
    one = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 20, 0))  # of connect, too
    one.connect(path)
    return one


def push(one: socket.socket, data: bytes) -> None:
    """Send until nobody takes more."""
    one.setblocking(False)
    with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        while data:
            data = data[one.send(data) :]


def rss(daemon: Daemon) -> int:
    return int(psutil.Process(daemon.pid).memory_info().rss)


def test_a_thousand_who_ask_for_nothing(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon, many_descriptors(), ExitStack() as stack:
        daemon.wait_state("a-0", "ready")
        before = rss(daemon)
        for _ in range(MANY):
            client(stack, str(nsvisor.socket))
        for _ in range(MAX_CONNECTIONS + 50):
            client(stack, str(nsvisor.socket.with_name("exec.sock")), socket.SOCK_SEQPACKET)
        assert len(daemon.instances()) == 4
        done = nsvisor.run("ps")
        assert done.returncode == 0, done.stderr
        done = nsvisor.run("exec", "a-0", "--", "echo", "here")
        assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
        refused = daemon.records("control.refused")
        assert 0 < len(refused) < 10
        assert refused[0]["closed"] > 0
        assert rss(daemon) - before < GROWTH_BYTES


def test_some_who_never_read(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon, ExitStack() as stack:
        daemon.wait_state("a-0", "ready")
        before = rss(daemon)
        for _ in range(20):
            push(client(stack, str(nsvisor.socket)), REQUEST * 2000)
            push(client(stack, str(nsvisor.socket)), EVENTS)
        for _ in range(20):
            daemon.post("/v1/restart", names=["a-1"])
        assert len(daemon.instances()) == 4
        assert rss(daemon) - before < GROWTH_BYTES


def test_all_sorts_of_madness_at_once(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon, ExitStack() as stack:
        daemon.wait_state("a-0", "ready")
        before = rss(daemon)
        pids = {name: one["pid"] for name, one in daemon.instances().items()}
        for said in MAD.values():
            push(client(stack, str(nsvisor.socket)), said)
            half = client(stack, str(nsvisor.socket))
            push(half, said)
            half.shutdown(socket.SHUT_WR)
            push(client(stack, str(nsvisor.socket.with_name("exec.sock")), socket.SOCK_SEQPACKET), said[:100_000])
        for _ in range(10):
            assert {name: one["pid"] for name, one in daemon.instances().items()} == pids
        assert daemon.records("control.failed") == []
        assert rss(daemon) - before < GROWTH_BYTES
