"""Secrets on their way into a sandbox: read at each launch, into a sealed memory file.

The content goes from its source into that file, and from there into the sandbox, inside the kernel; only what comes
from an environment variable passes through this process's memory, where it was before.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Mapping

import trio

from supervisor.runtime.child import Child
from supervisor.runtime.launch_order import Answer
from supervisor.spec.instances import for_instance
from supervisor.spec.model import Secret, Worker

LARGEST_BYTES = 1024 * 1024
_readers = trio.CapacityLimiter(32)  # apart from all other threads: those that hang must not take theirs
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def answer_secrets(worker: Worker, index: int | None, environ: Mapping[str, str]) -> Answer:
    """Answer `secret ID` with a descriptor of its content. index: None for the only instance, whose texts stand."""
    secrets = worker.secrets if index is None else for_instance(worker, index).secrets
    by_id = {secret.id: secret for secret in secrets}

    async def answer(_child: Child, name: str, _fds: list[int]) -> int:
        secret = by_id.get(name)
        if secret is None:
            raise OSError(errno.EINVAL, f"the worker has no secret {name!r}")
        content = os.memfd_create("secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            # A thread, for the file may lie on a server that is gone: left behind then, with a descriptor of its own.
            await trio.to_thread.run_sync(
                _fill, os.dup(content), secret, environ, abandon_on_cancel=True, limiter=_readers
            )
            fcntl.fcntl(content, fcntl.F_ADD_SEALS, SEALS)
        except BaseException:
            os.close(content)
            raise
        return content

    return answer


def _fill(content: int, secret: Secret, environ: Mapping[str, str]) -> None:
    """OSError: ENOENT not there, EFBIG over 1 MiB, EINVAL no regular file."""
    try:
        if secret.env is not None:
            _from_environment(content, secret.env, environ)
        else:
            _from_file(content, secret.source or _credential(secret.credential or "", environ))
    finally:
        os.close(content)


def look(secret: Secret, environ: Mapping[str, str]) -> None:
    """Whether it could be read now. OSError as of _fill()."""
    if secret.env is not None:
        _value(secret.env, environ)
    else:
        os.close(_open(secret.source or _credential(secret.credential or "", environ)))


def _from_environment(content: int, name: str, environ: Mapping[str, str]) -> None:
    data = _value(name, environ)
    while data:
        data = data[os.write(content, data) :]


def _value(name: str, environ: Mapping[str, str]) -> bytes:
    value = environ.get(name)
    if value is None:
        raise OSError(errno.ENOENT, f"${name} is not set in the supervisor's environment")
    data = os.fsencode(value)
    _check_size(len(data), f"${name}")
    return data


def _credential(name: str, environ: Mapping[str, str]) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        raise OSError(errno.ENOENT, "the supervisor has no $CREDENTIALS_DIRECTORY: LoadCredential= of its unit sets it")
    return os.path.join(directory, name)


def _from_file(content: int, path: str) -> None:
    fd = _open(path)
    try:
        copied = 0
        while copied <= LARGEST_BYTES:
            count = os.sendfile(content, fd, copied, LARGEST_BYTES + 1 - copied)
            if count == 0:
                return
            copied += count
        _check_size(copied, path)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from None
    try:
        _check_file(os.fstat(fd), path)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check_file(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"{path}: not a regular file")
    _check_size(found.st_size, path)


def _check_size(size: int, what: str) -> None:
    if size > LARGEST_BYTES:
        raise OSError(errno.EFBIG, f"{what}: over 1 MiB")
