"""The kinds of descriptors that a soak tells of."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from tests.soak.descriptors import CONNECTION, difference, kinds, quiet_kinds

SERVER = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("listens", flush=True)
accepted, _ = listening.accept()
print("accepted", flush=True)
sys.stdin.readline()
accepted.close()
sys.stdin.read()
"""


def test_connections_with_clients_are_waited_for_and_told(tmp_path: Path) -> None:
    path, pipe = str(tmp_path / "control.sock"), subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", SERVER, path], stdin=pipe, stdout=pipe, text=True) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "listens\n"
        before = kinds(server.pid)
        client.connect(path)
        assert server.stdout.readline() == "accepted\n"
        asked = kinds(server.pid)
        assert difference(asked, before) == f"{CONNECTION} 0 -> 1"
        closing = threading.Timer(0.3, print, ("close",), {"file": server.stdin, "flush": True})
        closing.start()
        assert quiet_kinds(psutil.Process(server.pid)) == before
        closing.join()
    assert before["socket control.sock"] == 1
    assert before["pipe"] >= 2
