"""Secrets from end to end: what the worker reads, and that nobody else can."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.daemons import running, wait_until
from tests.nsinit.test_secrets import memory
from tests.program import Program

FLEET = """
[worker.api]
command = ["sh", "-c", "cat /run/secrets/* /etc/key > /dev/null && echo have them && exec sleep 1000"]
secrets = [
  {{ id = "file", source = "{top}/file" }},
  {{ id = "cred", credential = "cred" }},
  {{ id = "env", env = "API_KEY", target = "/etc/key" }},
  {{ id = "none", source = "{top}/none", optional = true }},
]
restart = {{ policy = "always", delay = "10ms" }}
"""
MISSING = """
[worker.api]
command = ["true"]
secrets = [{{ id = "db", source = "{top}/missing" }}]
restart = {{ policy = "never" }}
"""


def test_nobody_but_the_worker_has_them(nsvisor: Program) -> None:
    marks = {kind: f"{kind}-{os.urandom(16).hex()}" for kind in ("file", "cred", "env")}
    nsvisor.write("file", marks["file"])
    credentials = nsvisor.folder("credentials")
    nsvisor.user.owns(credentials / "cred" if (credentials / "cred").write_text(marks["cred"]) else credentials)
    nsvisor.environ |= {"CREDENTIALS_DIRECTORY": str(credentials), "API_KEY": marks["env"]}
    with running(nsvisor, FLEET.format(top=nsvisor.top)) as daemon:
        daemon.wait_state("api", "ready")
        wait_until(lambda: "have them" in nsvisor.run("logs", "api").stdout, "the worker to read them")
        pid = daemon.instance("api")["pid"]
        said = [
            nsvisor.run(*words).stdout
            for words in (["inspect", "api"], ["explain", "api"], ["plan", "api"], ["logs", "api"])
        ]
        assert "mount.secret" in said[1]
        said += [file.read_text(errors="replace") for file in nsvisor.state.rglob("*") if file.is_file()]
        said.append(nsvisor.log.read_text())
        keeper = daemon.keeper_pid()
        processes = [keeper, pid, *map(int, children(pid)), *map(int, children(keeper))]
        environments = [
            Path(f"/proc/{one}/environ").read_bytes() + Path(f"/proc/{one}/cmdline").read_bytes() for one in processes
        ]
        memories = [memory(one) for one in processes]
        for kind, mark in marks.items():
            assert not any(mark in text for text in said), kind
            assert not any(mark.encode() in found for found in (*environments, *memories)), kind
        for kind in ("file", "cred"):
            assert marks[kind].encode() not in memory(daemon.pid), kind
        for one in (daemon.pid, *processes):
            assert not [fd for fd in links(one) if "memfd:secret" in fd]
        root = Path(f"/proc/{pid}/root")
        assert (root / "run/secrets/file").read_text() == marks["file"]
        assert sorted(os.listdir(root / "run/secrets")) == ["cred", "file"]
        nsvisor.write("file", "another one")  # each incarnation reads anew
        nsvisor.run("restart", "api")
        wait_until(
            lambda: daemon.instance("api")["incarnation"] > 1 and daemon.instance("api")["state"] == "ready", "it"
        )
        assert Path(f"/proc/{daemon.instance('api')['pid']}/root/run/secrets/file").read_text() == "another one"


def links(pid: int) -> list[str]:
    """What its descriptors refer to."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(fd))
    return found


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_one_that_is_missing_is_a_failed_phase_with_a_hint(nsvisor: Program) -> None:
    with running(nsvisor, MISSING.format(top=nsvisor.top)) as daemon:
        record = daemon.wait_record("setup.phase", outcome="failed")
        assert (record["phase"], record["errno"]) == ("mount.secret", "ENOENT")
        assert record["message"] == f"{nsvisor.top}/missing: No such file or directory"
        assert "optional = true" in record["hint"]


@pytest.mark.parametrize(
    ("words", "prepared", "said"),
    [
        ("id=x,source={top}/x", b"a" * (1 << 20), ""),
        ("id=x,source={top}/x", b"a" * ((1 << 20) + 1), "over 1 MiB"),
        ("id=x,source={top}", b"", "not a regular file"),
        ("id=x,env=NOT_THERE", b"", "$NOT_THERE is not set"),
        ("id=x,credential=c", b"", "no $CREDENTIALS_DIRECTORY"),
        ("id=x,env=NOT_THERE,optional,mode=0400", b"", ""),
        ("id=x", b"", "no content"),
    ],
)
def test_run(nsvisor: Program, words: str, prepared: bytes, said: str) -> None:
    (nsvisor.top / "x").write_bytes(prepared)
    nsvisor.user.owns(nsvisor.top / "x")
    done = nsvisor.run(
        "run", "--secret", words.format(top=nsvisor.top), "--", "sh", "-c", "cat /run/secrets/x | wc -c; true"
    )
    assert said in done.stderr
    if said:
        assert done.returncode == 125
    elif "optional" not in words:
        assert done.stdout.strip() == str(len(prepared))


def test_mounts_and_settings_of_run(nsvisor: Program) -> None:
    done = nsvisor.run(
        *(
            "run",
            "--mount",
            "type=tmpfs,target=/data,size=64KiB,noexec",
            "--mount",
            "type=bind,source=/none,target=/x,optional",
        ),
        *("--sysctl", "net.ipv4.ip_forward=1", "--", "sh", "-c"),
        "df -k --output=size /data | tail -1; cat /proc/sys/net/ipv4/ip_forward; ls /x 2>&1 | wc -l",
    )
    assert (done.returncode, done.stdout.split()) == (0, ["64", "1", "1"]), done.stderr
    done = nsvisor.run("run", "--mount", "type=tmpfs,type=tmpfs", "--", "true")
    assert (done.returncode, done.stderr.startswith("cannot run: --mount")) == (125, True)
