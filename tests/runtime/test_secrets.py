"""Where secrets come from: read at each launch, sealed, and told about when they are not there."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any, cast

import pytest

from supervisor.runtime.child import Child
from supervisor.runtime.secrets import LARGEST_BYTES, SEALS, answer_secrets
from supervisor.spec.model import Secret, Worker
from tests.runtime.fleets import descriptors

NOBODY = cast("Child", None)


async def ask(environ: dict[str, str] | None = None, name: str = "x", **keys: Any) -> int:
    """A descriptor of the secret's content."""
    worker = Worker("web", ("true",), secrets=(Secret("x", **keys),))
    given = await answer_secrets(worker, None, environ or {})(NOBODY, name, [])
    assert given is not None
    return given


def content(fd: int) -> bytes:
    """All of it; closed."""
    found = os.pread(fd, LARGEST_BYTES + 1, 0)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == SEALS
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    os.close(fd)
    return found


async def test_from_each_kind_of_source(tmp_path: Path) -> None:
    before = descriptors()
    (tmp_path / "one").write_bytes(b"\x00\xfftext")
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "most").write_bytes(b"a" * LARGEST_BYTES)
    (tmp_path / "none").write_bytes(b"")
    assert content(await ask(source=str(tmp_path / "one"))) == b"\x00\xfftext"
    assert content(await ask(source=str(tmp_path / "link"))) == b"\x00\xfftext"
    assert content(await ask(source=str(tmp_path / "most"))) == b"a" * LARGEST_BYTES
    assert content(await ask(source=str(tmp_path / "none"))) == b""
    assert content(await ask({"X": "ä\udcff"}, env="X")) == "ä".encode() + b"\xff"
    assert content(await ask({"CREDENTIALS_DIRECTORY": str(tmp_path)}, credential="one")) == b"\x00\xfftext"
    assert descriptors() == before


async def test_what_is_changed_is_read_anew(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        (tmp_path / "x").write_bytes(text)
        assert content(await ask(source=str(tmp_path / "x"))) == text


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"source": "missing"}, errno.ENOENT),
        ({"source": "."}, errno.EINVAL),
        ({"source": "pipe"}, errno.EINVAL),
        ({"source": "big"}, errno.EFBIG),
        ({"env": "MISSING"}, errno.ENOENT),
        ({"env": "BIG"}, errno.EFBIG),
        ({"credential": "missing"}, errno.ENOENT),
    ],
)
async def test_what_cannot_be_had(tmp_path: Path, keys: dict[str, str], expected: int) -> None:
    before = descriptors()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"a" * (LARGEST_BYTES + 1))
    if "source" in keys:
        keys = {"source": str(tmp_path / keys["source"])}
    environ = {"BIG": "a" * (LARGEST_BYTES + 1), "CREDENTIALS_DIRECTORY": str(tmp_path)}
    with pytest.raises(OSError, match=r"missing|MISSING|regular|1 MiB") as caught:
        await ask(environ, **keys)
    assert caught.value.errno == expected
    assert descriptors() == before


async def test_without_credentials_and_without_such_a_secret() -> None:
    with pytest.raises(OSError, match="LoadCredential="):
        await ask(credential="x")
    with pytest.raises(OSError, match="no secret 'other'"):
        await ask(name="other", env="X")
