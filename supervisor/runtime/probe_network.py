"""TCP and HTTP probes: sockets of the worker's network namespace, used from here.

A socket belongs to the namespace that it was made in, wherever it goes. A helper process enters the worker's namespace,
makes some and hands them over: the probe itself uses no memory of the worker's, and hangs nobody but itself.
"""

import errno
import os
import socket
import struct
import subprocess
import sys
from typing import Self

import h11
import trio

import supervisor
from supervisor.runtime.log_file import errno_name
from supervisor.runtime.probe_answer import Answer, CannotProbe, shown
from supervisor.spec.probe_forms import http_parts

SOCKETS_AT_ONCE = 8  # starting the helper takes some 20 ms of CPU time
RECEIVE_BYTES = 4096
BODY_BYTES = 200  # so much of it is looked at
BODY_S = 0.2  # and waited for
MOST_BYTES = 64 * 1024  # of an answer: one that has not come to its body by then is none
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(supervisor.__file__)))
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from supervisor.nsinit import probe; sys.exit(probe.main())"
)


class NetworkOf:
    """The network of one process, as long as it is probed. Use it as a context manager: it holds sockets."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ours: bool | None = None
        self._kept: dict[int, list[socket.socket]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sockets in self._kept.values():
            for one in sockets:
                one.close()
        self._kept.clear()

    async def connect(self, host: str, port: int) -> trio.socket.SocketType:
        """A connection to the first of the host's addresses that takes one. OSError, CannotProbe."""
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:  # a label that is too long is no IDNA
            raise CannotProbe(f"cannot resolve {host}: {getattr(error, 'strerror', error)}") from None
        last = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        for family, _kind, _protocol, _name, address in found:
            try:
                return await self._connect(family, address)
            except OSError as error:
                last = error
        raise last

    async def _connect(
        self, family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
    ) -> trio.socket.SocketType:
        raw = await self._socket(family)
        one = trio.socket.from_stdlib_socket(raw)
        try:
            await one.connect(address)
        except OSError as error:
            # Told the error, Linux makes it as good as new at the next call, which fails for that.
            refused = error.errno == errno.ECONNREFUSED and family in self._kept
            if refused and raw.connect_ex(address) == errno.ECONNABORTED:
                self._kept[family].append(raw)
            else:
                one.close()
            raise
        if one.getsockname() == one.getpeername():  # by chance, loopback connects a dynamic port to itself
            one.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return one

    async def _socket(self, family: int) -> socket.socket:
        """CannotProbe, of our own want of descriptors or processes, too: that is no fault of the worker's."""
        try:
            return await self._make(family)
        except OSError as error:
            raise CannotProbe(f"no socket in its network: {_reason(error)}") from None

    async def _make(self, family: int) -> socket.socket:
        if self._ours is None:
            self._ours = _same_network(self._pid)
        if self._ours:
            return socket.socket(family, socket.SOCK_STREAM)
        if not self._kept.get(family):
            self._kept[family] = await _sockets_of(self._pid, family)
        return self._kept[family].pop()


def _same_network(pid: int) -> bool:
    try:
        theirs, ours = os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net")
    except OSError:
        return False  # hidden from us or gone: the helper looks closer
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


async def _sockets_of(pid: int, family: int) -> list[socket.socket]:
    """Ask the helper. CannotProbe. It leaves when we do, however that comes about: its standard input ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        done = await trio.run_process(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, str(pid), str(int(family)), str(SOCKETS_AT_ONCE)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            capture_stderr=True,
            check=False,
            env={},  # it enters the worker's namespaces: the daemon's environment may hold secrets
        )
        if done.returncode != 0:
            complaint = done.stderr.decode(errors="backslashreplace").strip()
            raise CannotProbe(complaint or f"the probe's helper ended with status {done.returncode}")
        ours.setblocking(False)
        space = socket.CMSG_SPACE(4 * SOCKETS_AT_ONCE)
        _, control, _, _ = ours.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
        return [socket.socket(fileno=fd) for _, _, data in control for (fd,) in struct.iter_unpack("i", data)]


async def probe_tcp(network: NetworkOf, address: str) -> Answer:
    """Whether somebody takes a connection at HOST:PORT. CannotProbe."""
    host, _, port = address.rpartition(":")
    try:
        connection = await network.connect(host.removeprefix("[").removesuffix("]"), int(port))
    except OSError as error:
        return Answer(ok=False, seen=f"connect {address}: {_reason(error)}")
    connection.close()
    return Answer(ok=True, seen=f"{address} takes connections")


async def probe_http(network: NetworkOf, url: str, status: int | None) -> Answer:
    """Whether GET is answered with this status (None: any from 200 to 299). Redirections are not followed."""
    host, port, field, target = http_parts(url)
    try:
        connection = await network.connect(host, port)
    except OSError as error:
        return Answer(ok=False, seen=f"connect {field}: {_reason(error)}")
    try:
        return await _ask(connection, field, target, status)
    except OSError as error:
        return Answer(ok=False, seen=f"GET {url}: {_reason(error)}")
    except h11.ProtocolError as error:
        return Answer(ok=False, seen=f"GET {url}: no HTTP: {error}")
    finally:
        connection.close()


async def _ask(stream: trio.socket.SocketType, host: str, target: str, status: int | None) -> Answer:
    client = h11.Connection(h11.CLIENT)
    fields = [("Host", host), ("User-Agent", f"nsvisor/{supervisor.__version__}"), ("Connection", "close")]
    asked = client.send(h11.Request(method="GET", target=target, headers=fields)) or b""
    asked += client.send(h11.EndOfMessage()) or b""
    while asked:
        asked = asked[await stream.send(asked) :]
    response = await _head(client, stream)
    if response is None:
        return Answer(ok=False, seen="the connection was closed without an answer")
    code = response.status_code
    ok = 200 <= code <= 299 if status is None else code == status
    elsewhere = dict(response.headers).get(b"location") if 300 <= code <= 399 and not ok else None
    text = shown(await _body(client, stream))
    seen = " ".join(filter(None, ("HTTP", str(code), shown(response.reason))))
    seen += f" to {shown(elsewhere)}, not followed" if elsewhere else ""
    return Answer(ok=ok, seen=f"{seen}: {text}" if text else seen)


async def _head(client: h11.Connection, stream: trio.socket.SocketType) -> h11.Response | None:
    """The answer without its body; None where there is none."""
    read = 0
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            if read > MOST_BYTES:
                raise h11.RemoteProtocolError("too long a head")
            data = await stream.recv(RECEIVE_BYTES)
            read += len(data)
            client.receive_data(data)
        elif isinstance(event, h11.Response):
            return event
        elif not isinstance(event, h11.InformationalResponse):
            return None


async def _body(client: h11.Connection, stream: trio.socket.SocketType) -> bytes:
    """What comes of its beginning soon: the status is the verdict, and these are its words."""
    body = b""
    with trio.move_on_after(BODY_S):
        while len(body) < BODY_BYTES:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await stream.recv(RECEIVE_BYTES))
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
    return body[:BODY_BYTES]


def _reason(error: OSError) -> str:
    name = errno_name(error)
    words = os.strerror(error.errno) if error.errno else str(error)  # Trio adds the address
    return f"{name} ({words})" if name else words
