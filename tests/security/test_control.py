"""The daemon's own sockets, tried from inside: whoever gets through could have the daemon start anything."""

import json
from typing import Any

from tests.accounts import needs_a_range
from tests.e2e.daemons import running, wait_until
from tests.program import Program

TRY = r"""
import errno, json, os, socket, sys
found = {}
for name, kind in (("control", socket.SOCK_STREAM), ("exec", socket.SOCK_SEQPACKET), ("keeper", socket.SOCK_SEQPACKET)):
    try:
        with socket.socket(socket.AF_UNIX, kind) as connection:
            connection.connect(f"{sys.argv[1]}/{name}.sock")
            found[name] = ""
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
found["environ"] = sorted(os.environ)
found["descriptors"] = sorted(os.listdir("/proc/self/fd"))
print(json.dumps(found), flush=True)
"""
CONFIG = """
[defaults]
restart.policy = "never"
[worker.outside]
command = ["/usr/bin/python3", "-I", "-c", '''{source}''', "{place}"]
[worker.shown]
command = ["/usr/bin/python3", "-I", "-c", '''{source}''', "/srv"]
mounts = [{{ type = "bind", source = "{place}", target = "/srv" }}]
[worker.stranger]
command = ["/usr/bin/python3", "-I", "-c", '''{source}''', "/srv"]
mounts = [{{ type = "bind", source = "{place}", target = "/srv" }}]
id_map = "auto"
"""


def test_a_worker_does_not_reach_the_daemon(nsvisor: Program) -> None:
    """By default the sockets are out of sight. One that is shown them has the daemon's uid and gets through.

    With ids of its own it cannot even be shown them: they lie in a directory of mode 0700.
    """
    needs_a_range(nsvisor.user)
    place = nsvisor.runtime / "nsvisor"
    place.mkdir(mode=0o700)
    nsvisor.user.owns(place)

    def said(name: str) -> Any:
        file = nsvisor.state / "nsvisor" / "logs" / f"{name}.log"
        wait_until(lambda: file.exists() and file.read_text().endswith("\n"), f"{name} to say something")
        return json.loads(json.loads(file.read_text().splitlines()[-1])["m"])

    with running(nsvisor, CONFIG.format(source=TRY, place=place)) as daemon:
        outside, shown = said("outside"), said("shown")
        refused = daemon.wait_record("setup.phase", instance="stranger", outcome="failed")
    sockets = ("control", "exec", "keeper")
    assert [outside[name] for name in sockets] == ["ENOENT"] * 3
    assert [shown[name] for name in sockets] == [""] * 3
    assert (refused["phase"], refused["errno"]) == ("mount.bind", "EACCES")
    for one in (outside, shown):
        assert set(one["environ"]) <= {"PATH", "HOME", "LANG", "TZ"}
        assert len(one["descriptors"]) == 4  # 0-2, and the directory itself
