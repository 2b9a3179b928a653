"""A network namespace around the whole daemon: a default route that leads nowhere, ports of its own, a /dev/net/tun."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from supervisor.kernel.clone import CLONE_NEWNET
from supervisor.kernel.setns import setns
from tests.program import Program

ADDRESS, NEIGHBOUR, GATEWAY = "198.51.100.2", "203.0.113.9", "198.51.100.1"  # RFC 5737
LOOPBACK = "ip link set lo up"
ROUTE = f"""
ip tuntap add d0 mode tap && ip link set d0 up && ip address add {ADDRESS}/24 dev d0
ip address add {NEIGHBOUR}/32 dev d0 && ip route add default via {GATEWAY}
"""
TUN = """
mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200
"""


@dataclass
class PrivateNetwork:
    """The namespace, held by a process."""

    pid: int

    def wrap(self, program: Program) -> Program:
        """Have this program, whoever its user, run in here."""
        user = program.user
        enter = [path_of("nsenter"), "--target", str(self.pid), "--net", "--mount", f"--wd={program.top}", "--"]
        identity = [path_of("setpriv"), f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups", "--"]
        program.wrapper = [*enter, *identity]
        program.identity = {}
        return program

    def open_socket(self, kind: int, family: int = socket.AF_INET) -> socket.socket:
        """A socket of this network, in the test's hands."""
        made: list[socket.socket] = []

        def make() -> None:
            namespace = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
            setns(namespace, CLONE_NEWNET)  # of this thread alone, which ends with it
            os.close(namespace)
            made.append(socket.socket(family, kind))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        made[0].settimeout(10)
        return made[0]

    def ask(self, port: int, question: bytes = b"", *, kind: int = socket.SOCK_STREAM) -> bytes:
        """What a server on 127.0.0.1 says to it; empty where the connection is refused or reset."""
        with self.open_socket(kind) as client:
            try:
                client.connect(("127.0.0.1", port))
                client.send(question)
                return client.recv(4096)
            except ConnectionError:
                return b""

    def listen(self, address: str, port: int) -> socket.socket:
        """A listener."""
        server = self.open_socket(socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen()
        return server


def path_of(name: str) -> str:
    """Whatever PATH the program is to have."""
    found = shutil.which(name)
    assert found is not None, name
    return found


@contextmanager
def private_network(*, route: bool = True, tun: bool = True) -> Iterator[PrivateNetwork]:
    """Made by root, for whomever."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("pasta") is None:
        pytest.skip("needs pasta (package passt)")
    script = f"set -e\n{LOOPBACK}\n{ROUTE if route else ''}\n{TUN if tun else ''}\necho up\nexec sleep 600"
    words = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "up\n"
            yield PrivateNetwork(holder.pid)
        finally:
            holder.kill()
