"""Checks of what each worker names: its ids, its root, the sources of its binds, its command."""

import errno
import os
import shutil
from collections.abc import Iterator

from supervisor.host.check import Check
from supervisor.host.environments import directories_of
from supervisor.host.inside import command_problem
from supervisor.host.subid import may_map
from supervisor.spec import remedies
from supervisor.spec.advice_rootfs import rootfs_advice
from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import for_instance
from supervisor.spec.model import Worker

TUN = "/dev/net/tun"


def needs_helper(worker: Worker) -> bool:
    """Whether the worker maps more than the one id that a user may map alone."""
    return worker.namespaces.user is True and (worker.id_map != "self" or bool(worker.uid_map or worker.gid_map))


def check_id_helpers(workers: list[Worker], facts: HostFacts) -> Iterator[Check]:
    """newuidmap, newgidmap and the user's lines: only where a worker maps a range and the daemon is not root."""
    users = [worker.name for worker in workers if needs_helper(worker)]
    if not users or facts.privileged:
        return
    for name, path in (("newuidmap", facts.newuidmap), ("newgidmap", facts.newgidmap)):
        if path is None:
            yield Check(
                name, "fail", f"not found; {', '.join(users)} cannot map a range of ids", remedies.INSTALL_UIDMAP
            )
        elif not may_map(path):
            fix = f"sudo chmod u+s {path}"
            yield Check(name, "fail", f"{path} is neither set-uid root nor has file capabilities", fix)
        else:
            yield Check(name, "ok", path)
    add = remedies.ADD_SUBIDS.replace("{user}", facts.user or str(facts.uid))
    for name, span in (("/etc/subuid", facts.subuid), ("/etc/subgid", facts.subgid)):
        if span is None:
            yield Check(name, "fail", f"no line for {facts.user or facts.uid}", add)
        elif span.count < 65536:
            yield Check(name, "warn", f"{span.start}:{span.count}, fewer than the 65536 ids distributions use", add)
        else:
            yield Check(name, "ok", f"{span.start}:{span.count}")


def check_pasta(workers: list[Worker], facts: HostFacts) -> Iterator[Check]:
    """pasta(1) and /dev/net/tun: only where a worker asks for them."""
    users = [worker.name for worker in workers if worker.network.mode == "pasta"]
    if not users:
        return
    path = shutil.which("pasta")
    if path is None:
        yield Check("pasta", "fail", f"not found; {', '.join(users)} cannot have a network", remedies.INSTALL_PASTA)
    else:
        yield Check("pasta", "ok", path)
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        fix = remedies.LOAD_TUN if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO) else f"ls -l {TUN}"
        yield Check(TUN, "fail", f"{error.strerror}; {facts.user or facts.uid} cannot have pasta", fix)
    else:
        yield Check(TUN, "ok", "can be opened")


def check_files(workers: list[Worker], facts: HostFacts) -> Iterator[Check]:
    """Each worker's root directory, bind sources and command: one line per problem, one for all that is sound."""
    sound = []
    for worker in workers:
        problems = list(_file_problems(for_instance(worker, 0), facts))
        yield from problems
        if not problems:
            sound.append(worker.name)
    if sound:
        yield Check("workers", "ok", f"root, binds and command found: {', '.join(sound)}")


def _file_problems(worker: Worker, facts: HostFacts) -> Iterator[Check]:
    name = f"worker.{worker.name}"
    config = "correct the path, or create it: mkdir -p {}"
    missing = list(rootfs_advice(worker))
    for key, path, _ in missing:
        yield Check(f"{name}.{key[0]}", "fail", f"{path} is not a directory", config.format(path))
    if missing:
        return
    for mount in worker.mounts:
        wanted = mount.type == "bind" and not mount.optional
        if wanted and mount.source is not None and not os.path.exists(mount.source):
            yield Check(
                f"{name}.mounts", "fail", f"bind source {mount.source} does not exist", config.format(mount.source)
            )
    problem = command_problem(worker, facts)
    if problem is not None:
        yield Check(f"{name}.command", "fail", problem, _command_fix(worker, facts))


def _command_fix(worker: Worker, facts: HostFacts) -> str:
    command = worker.command[0]
    if not command.startswith("/"):
        return f"install it on the host, or give its path: command -v {command}"
    if not os.path.exists(command):
        return f"install it, or correct command: ls -l {command}"
    if worker.rootfs.kind == "dir":
        return f"put it into {worker.rootfs.path}, or bind it there"
    directories = directories_of(command, facts)
    where = "your home directory" if command.startswith(facts.home.rstrip("/") + "/") else directories[0]
    binds = [f'{{ type = "bind", source = "{one}", target = "{one}", options = ["ro"] }}' for one in directories]
    return f"the sandbox does not show {where}: mounts = [{', '.join(binds)}]"
