"""What doctor says of the journal: only where a worker's lines go there."""

import socket
from pathlib import Path

import pytest

from supervisor.host import check_journal
from supervisor.host.check import Check
from supervisor.spec.model import Log, Worker

WANTS = Worker(name="web", command=("true",), log=Log(sink="journald"))
PLAIN = Worker(name="plain", command=("true",))


def test_only_who_asks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "socket"
    monkeypatch.setattr(check_journal, "SOCKET", str(path))
    assert list(check_journal.check_journal([PLAIN])) == []
    (missing,) = check_journal.check_journal([PLAIN, WANTS])
    assert (missing.status, missing.found) == ("warn", f"{path}: No such file or directory; what web print is lost")
    assert missing.fix is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        assert list(check_journal.check_journal([WANTS])) == [Check("journald", "ok", str(path))]
    (gone,) = check_journal.check_journal([WANTS])
    assert "Connection refused" in gone.found
