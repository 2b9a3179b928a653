"""Who is joined and who joins: the joiner's user namespace lies within the other's."""

import errno
import json

import pytest

from supervisor.spec.model import Network, Security
from tests.nsinit.keepers import Keeper
from tests.nsinit.sandboxes import launched
from tests.security.attempts import attempting

# The one that is joined listens on an abstract socket; a peer's pidfd comes with its connection (Linux 6.5).
OWNER = """
listening = socket.socket(socket.AF_UNIX)
listening.bind("\\0meet")
listening.listen(1)
print("up", flush=True)
peer, _ = listening.accept()
(pidfd,) = struct.unpack("i", peer.getsockopt(socket.SOL_SOCKET, 77, 4))
@attempt
def descriptor():
    checked(libc.syscall(438, pidfd, 0, 0))
@attempt
def enter():
    checked(libc.setns(pidfd, 0x10000000 | 0x20000))
"""
JOINER = """
peer = socket.socket(socket.AF_UNIX)
peer.connect("\\0meet")
peer.recv(1)
"""


@pytest.mark.parametrize(("seccomp", "expected"), [("off", ""), ("default", "EPERM")])
def test_who_is_joined_has_every_right_over_who_joins(keeper: Keeper, seccomp: str, expected: str) -> None:
    """Without a capability: in a user namespace whose owner it is and in whose parent it lives (user_namespaces(7)).

    Only the filter keeps it from the joiner's descriptors and files, where it can name its processes at all.
    """
    db_is = attempting(OWNER, security=Security(seccomp=seccomp), name="db", user="root")
    with launched(keeper, db_is) as db:
        db.go()
        db.until_end()
        assert db.line() == "up"
        joiner = attempting(JOINER, network=Network("worker:db"), name="joiner", user="root")
        with launched(keeper, joiner, joined={"db": db}) as web:
            web.go()
            web.until_end()
            assert web.failure is None
            found = json.loads(db.line())
    assert {name: errno.errorcode.get(number, "") for name, number in found.items()} == {
        "descriptor": expected,
        "enter": expected,
    }
