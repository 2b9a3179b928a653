"""Each line of the table in docs/how-to/tutorial-runtimes.md, run as it stands, prints what the table says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.program import PATH, Program

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/tutorial-runtimes.md"
ROW = re.compile(r"^\|(?:[^|]*)\|(?:[^|]*)\| `(nsvisor run [^|]*)` \| (.*?) \|$", re.MULTILINE)
LITERAL = [
    (command, says.strip("`")) for command, says in ROW.findall(PAGE.read_text()) if re.fullmatch(r"`[^`]+`", says)
]


def shell(program: Program, command: str) -> str:
    """What a line prints, typed at the user's own shell."""
    done = subprocess.run(
        ["sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=program.environ,
        cwd=program.top,
        **program.user.identity(),  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    printed: str = done.stdout
    return printed


def test_the_table_has_its_lines() -> None:
    assert len(LITERAL) >= 5


@pytest.mark.parametrize(("command", "says"), LITERAL, ids=[command for command, _ in LITERAL])
def test_it_prints_what_the_table_says(nsvisor: Program, command: str, says: str) -> None:
    if " -- ps " in command and shutil.which("ps", path=PATH) is None:
        pytest.skip("needs procps")
    assert shell(nsvisor, command).split() == says.split()


@pytest.mark.parametrize("kind", ["user", "pid", "mnt", "uts", "ipc", "cgroup", "net"])
def test_namespaces_are_not_the_hosts(nsvisor: Program, kind: str) -> None:
    inside = shell(nsvisor, f"nsvisor run -- readlink /proc/self/ns/{kind}").strip()
    assert inside.startswith(f"{kind}:[")
    assert inside != os.readlink(f"/proc/self/ns/{kind}")


def test_a_busybox_root_from_a_directory(nsvisor: Program) -> None:
    if shutil.which("busybox") is None:
        pytest.skip("needs busybox-static")
    block = re.search(r"^    mkdir -p box.*$", PAGE.read_text(), re.MULTILINE)
    assert block is not None
    said = shell(
        nsvisor,
        block.group() + "\nnsvisor run --rootfs box -- ls /bin\nnsvisor run --rootfs box -- cat /etc/passwd || true",
    )
    assert {"busybox", "sh", "ls", "cat"} <= set(said.split())
    assert "root:" not in said


def test_networks(nsvisor: Program) -> None:
    own = shell(nsvisor, "nsvisor run -- cat /proc/net/dev")
    assert [line.split(":")[0].strip() for line in own.splitlines()[2:]] == ["lo"]
    host = Path("/proc/net/dev").read_text()
    shared = shell(nsvisor, "nsvisor run --net host -- cat /proc/net/dev")
    assert [line.split(":")[0] for line in shared.splitlines()] == [line.split(":")[0] for line in host.splitlines()]


def test_two_runs_in_one_network_namespace(nsvisor: Program) -> None:
    script = "readlink /proc/self/ns/net; cat"
    first = nsvisor.popen(
        "run", "--", "sh", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert first.stdout is not None
        network = first.stdout.readline().strip()
        holder = next(
            int(entry)
            for entry in os.listdir("/proc")
            if entry.isdigit() and script.encode() in _command(entry) and _network(entry) == network
        )
        joined = shell(nsvisor, f"nsvisor run --join network=pid:{holder} -- readlink /proc/self/ns/net").strip()
    finally:
        _, error = first.communicate("")
    assert first.returncode == 0, error
    assert joined == network
    assert network != os.readlink("/proc/self/ns/net")


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _network(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None
