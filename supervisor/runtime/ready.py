"""When a worker counts as ready: somebody answers at its TCP address, seen from inside its network namespace."""

import os
import subprocess
import sys

import trio

import supervisor

CONNECT_TIMEOUT_S = 1.0
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(supervisor.__file__)))
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from supervisor.nsinit import probe; sys.exit(probe.main())"
)


class ProbeError(Exception):
    """The address cannot be probed at all."""


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT, [IPv6]:PORT. ValueError where it is neither."""
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{address!r} is not HOST:PORT")
    if not 0 < int(port) < 65536:
        raise ValueError(f"{port} is not a port")
    return bare, int(port)


async def tcp_ready(address: str, interval_s: float, net_pid: int | None = None) -> None:
    """Return once a connection to the address comes about. Cancel it to give up; it has no time-out of its own.

    net_pid: a process whose network namespace the address belongs to; where that is not ours, a helper process joins it
    (some 20 ms, and 5 MB while it waits). ProbeError where that is impossible, or the host has no such name.
    """
    host, port = parse_address(address)
    if net_pid is None or _same_network(net_pid):
        await _probe_here(host, port, interval_s)
    else:
        await _probe_there(net_pid, host, port, interval_s)


def _same_network(pid: int) -> bool:
    try:
        theirs, ours = os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net")
    except OSError:
        return False  # hidden from us or gone: the helper looks closer
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


async def _probe_here(host: str, port: int, interval_s: float) -> None:
    while True:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            try:
                async with await trio.open_tcp_stream(host, port) as stream:
                    name = stream.socket.getsockname()
                    if name != stream.socket.getpeername():  # by chance, loopback connects a dynamic port to itself
                        return
            except trio.socket.gaierror as error:
                raise ProbeError(f"cannot resolve {host}: {error.strerror}") from None
            except OSError:
                pass  # nobody there yet
        await trio.sleep(interval_s)


async def _probe_there(pid: int, host: str, port: int, interval_s: float) -> None:
    interval_ms = max(1, round(interval_s * 1000))
    end, ours = os.pipe()  # the helper leaves when we do, however that comes about
    try:
        done = await trio.run_process(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, str(pid), host, str(port), str(interval_ms)],
            stdin=end,
            stdout=subprocess.DEVNULL,
            capture_stderr=True,
            check=False,
            env={},  # it enters the worker's namespaces: the daemon's environment may hold secrets
        )
    finally:
        os.close(end)
        os.close(ours)
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="backslashreplace").strip()
        raise ProbeError(complaint or f"the probe ended with status {done.returncode}")
