"""Readiness and health of real workers: probes in their networks and sandboxes, what they say, what they print."""

import signal
import socket
from pathlib import Path

import trio

from tests.e2e.daemons import matching
from tests.runtime.fleets import fleet, until

PYTHON = "/usr/bin/python3"
# An HTTP server on the loopback of its own network. It answers 503 from its first SIGUSR1 on.
SERVER = """
import http.server, signal
class Handler(http.server.BaseHTTPRequestHandler):
    status = 200
    def do_GET(self):
        self.send_response(Handler.status)
        self.end_headers()
        self.wfile.write(b"database is \\x1b[31mdown" if Handler.status != 200 else b"fine")
    def log_message(self, *_): pass
def turn(*_): Handler.status = 503 if Handler.status == 200 else 200
signal.signal(signal.SIGUSR1, turn)
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
# What libsystemd does, and no more.
NOTIFIER = """
import array, os, socket, sys, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
"""


def script(text: str, *keys: str, name: str = "web") -> str:
    """A worker that is a Python program."""
    word = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return "\n".join([f"[worker.{name}]", f'command = ["{PYTHON}", "-I", "-S", "-c", "{word}"]', *keys, ""])


def server(*keys: str) -> str:
    return script(SERVER, *keys)


def says(body: str, *keys: str) -> str:
    return script(NOTIFIER + body, *keys)


def shell(text: str, *keys: str) -> str:
    return "\n".join(["[worker.web]", f"command = ['/bin/sh', '-c', '{text}']", *keys, ""])


HTTP = '{ kind = "http", url = "http://127.0.0.1:8080/healthz", interval = "50ms" }'


async def test_http_in_a_network_of_its_own_until_it_is_unhealthy(tmp_path: Path) -> None:
    health = '{ kind = "http", url = "http://127.0.0.1:8080/", interval = "50ms", retries = 2 }'
    async with fleet(tmp_path, server(f"ready = {HTTP}", f"health = {health}", 'restart.delay = "10ms"')) as running:
        web = await running.wait_state("web", "ready")
        healthy = await running.wait_event("worker.healthy")
        assert (healthy["kind"], healthy["seen"]) == ("http", "HTTP 200 OK: fine")
        assert await running.fleet.wait(["web"], "healthy", 5)
        running.fleet.instances["web"].incarnation.send(signal.SIGUSR1)  # type: ignore[union-attr]
        unhealthy = await running.wait_event("worker.unhealthy")
        assert unhealthy["seen"] == "HTTP 503 Service Unavailable: database is [31mdown"
        assert (unhealthy["failures"], unhealthy["then"], unhealthy["incarnation"]) == (2, "restart", 1)
        assert (await running.wait_event("worker.stopping"))["by"] == "unhealthy"
        await until(lambda: web.status.incarnation == 2 and web.is_healthy, "the second")
        last = web.exits[-1]
        assert (last.cause, last.signal, last.requested_by, last.clean) == ("unhealthy", "SIGTERM", None, False)
        assert last.probe == unhealthy["seen"]
        assert web.status.failures == 1


async def test_a_worker_that_is_only_reported(tmp_path: Path) -> None:
    health = '{ kind = "tcp", address = "127.0.0.1:9", interval = "20ms", retries = 1, on_failure = "report" }'
    async with fleet(tmp_path, f'[worker.web]\ncommand = ["sleep", "1000"]\nhealth = {health}\n') as running:
        unhealthy = await running.wait_event("worker.unhealthy")
        assert unhealthy["seen"] == "connect 127.0.0.1:9: ECONNREFUSED (Connection refused)"
        assert unhealthy["then"] == "report"
        await trio.sleep(0.1)
        assert running.state_of("web") == "ready"
        assert not running["web"].is_healthy
        assert len(running.events("worker.unhealthy")) == 1


async def test_a_command_in_the_sandbox(tmp_path: Path) -> None:
    """It sees the worker's files, exits with what it likes, and its first line is told."""
    ready = "{ kind = 'command', command = ['test', '-e', '/tmp/up'], interval = '20ms' }"
    check = "echo; echo the queue of {index} is full >&2; test ! -e /tmp/bad || exit 3"
    health = f"{{ kind = 'command', command = ['/bin/sh', '-c', '{check}'], interval = '50ms', retries = 1 }}"
    text = shell("sleep 0.2; touch /tmp/up; sleep 0.5; touch /tmp/bad; exec sleep 1000", f"ready = {ready}",
                 f"health = {health}")  # fmt: skip
    async with fleet(tmp_path, text) as running:
        await running.wait_state("web", "ready")
        assert (await running.wait_event("worker.healthy"))["seen"] == "exit code 0: the queue of 0 is full"
        assert (await running.wait_event("worker.unhealthy"))["seen"] == "exit code 3: the queue of 0 is full"
        assert running.events("exec.started") == []


async def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    check = "sleep 7654 & exec sleep 7654"
    health = f"{{ kind = 'command', command = ['/bin/sh', '-c', '{check}'], timeout = '300ms', retries = 1 }}"
    async with fleet(tmp_path, f"[worker.web]\ncommand = ['sleep', '1000']\nhealth = {health}\n") as running:
        seen = (await running.wait_event("worker.unhealthy"))["seen"]
        assert seen == "/bin/sh: no answer within 0.3 s"
        assert (await running.wait_event("worker.exited", cause="unhealthy"))["probe"] == seen
        await until(lambda: not matching("sleep", "7654"), "what it started to be gone")


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    health = '{ kind = "command", command = ["/no/such"], retries = 1, on_failure = "report" }'
    async with fleet(tmp_path, f'[worker.web]\ncommand = ["sleep", "1000"]\nhealth = {health}\n') as running:
        assert (await running.wait_event("worker.unhealthy"))["seen"] == "/no/such: ENOENT"


async def test_a_worker_that_leaves_is_not_probed(tmp_path: Path) -> None:
    health = "{ kind = 'command', command = ['test', '-e', '/tmp/up'], interval = '10ms', retries = 1 }"
    text = shell('trap "rm /tmp/up; sleep 0.5; exit 0" TERM; touch /tmp/up; while :; do sleep 0.01; done',
                 "ready = { kind = 'command', command = ['test', '-e', '/tmp/up'] }", f"health = {health}")  # fmt: skip
    async with fleet(tmp_path, text) as running:
        await running.wait_event("worker.healthy")
        await running.fleet.stop(["web"])
        web = await running.wait_state("web", "stopped")
        assert (web.exits[-1].code, web.exits[-1].cause) == (0, "exit")
        assert running.events("worker.unhealthy") == running.events("worker.probe_failed") == []


async def test_a_line_of_output(tmp_path: Path) -> None:
    ready = "{ kind = 'log', pattern = '^listening on .*:[0-9]+$' }"
    text = shell("echo listening on nothing; sleep 0.2; printf listen; sleep 0.1; echo ing on 127.0.0.1:80 >&2;"
                 " echo ing on 127.0.0.1:80; exec sleep 1000", f"ready = {ready}")  # fmt: skip
    async with fleet(tmp_path, text) as running:
        await running.wait_state("web", "ready")
        assert (await running.wait_event("worker.ready"))["after_ms"] >= 300
        assert running["web"].output.observer is None


async def test_a_line_that_never_comes_is_in_the_record_of_the_exit(tmp_path: Path) -> None:
    ready = "{ kind = 'log', pattern = 'never', timeout = '200ms' }"
    async with fleet(tmp_path, shell("echo something else; exec sleep 1000", f"ready = {ready}")) as running:
        await running.wait_event("worker.ready_timeout")
        assert (await running.wait_event("worker.exited"))["probe"] == "no line of output matched"


async def test_a_readiness_probe_that_may_fail_so_often(tmp_path: Path) -> None:
    ready = '{ kind = "tcp", address = "127.0.0.1:9", interval = "10ms", retries = 3, start_period = "100ms" }'
    async with fleet(tmp_path, f'[worker.web]\ncommand = ["sleep", "1000"]\nready = {ready}\n') as running:
        exited = await running.wait_event("worker.exited")
        assert exited["cause"] == "unhealthy"
        assert exited["probe"] == "not ready: connect 127.0.0.1:9: ECONNREFUSED (Connection refused)"
        assert exited["uptime_s"] > 0.1


NOTIFY = 'ready = { kind = "notify", timeout = "10s" }'


async def test_what_a_worker_says(tmp_path: Path) -> None:
    body = """
assert "WATCHDOG_USEC" not in os.environ
say("STATUS=loading\\n")
say("MAINPID=17\\nSTATUS=serving \\x1b[1m\\x00 now\\nREADY=1\\n")
say("RELOADING=1")
time.sleep(1000)
"""
    async with fleet(tmp_path, says(body.replace("\\\\", "\\"), NOTIFY)) as running:
        web = await running.wait_state("web", "ready")
        await until(lambda: web.said.state == "reloading", "all of it")
        assert (web.said.status, web.said.main_pid) == ("serving [1m now", 17)
        assert running.events("worker.notified", state="ready")
        assert not (tmp_path / "notify").exists(), "others could reach it"


async def test_the_sockets_place_is_taken(tmp_path: Path) -> None:
    mounts = 'mounts = [{ type = "file", target = "/dev/nsvisor/notify", content = "" }]'
    text = f'[worker.web]\ncommand = ["sleep", "1000"]\n{NOTIFY}\n{mounts}\nrestart.policy = "never"\n'
    async with fleet(tmp_path, text) as running:
        await running.wait_state("web", "failed")
        failed = await running.wait_event("setup.phase", outcome="failed")
        assert (failed["phase"], failed["errno"], failed["syscall"]) == ("mount.file", "EADDRINUSE", "bind")
        assert "sd_notify" in failed["hint"]


async def test_a_barrier_is_answered(tmp_path: Path) -> None:
    """systemd-notify waits for the end of a pipe that it has sent."""
    body = """
ours, theirs = os.pipe()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
    one.connect(os.environ["NOTIFY_SOCKET"])
    one.sendmsg([b"READY=1"])
    one.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs]))])
os.close(theirs)
assert os.read(ours, 1) == b""
say("STATUS=heard")
time.sleep(1000)
"""
    async with fleet(tmp_path, says(body, NOTIFY)) as running:
        web = await running.wait_state("web", "ready")
        await until(lambda: web.said.status == "heard", "the answer")


async def test_more_time_for_readiness_and_for_the_stop(tmp_path: Path) -> None:
    body = """
import signal
def stop(*_):
    say("STOPPING=1\\nEXTEND_TIMEOUT_USEC=5000000")
    time.sleep(0.6)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say("EXTEND_TIMEOUT_USEC=5000000")
time.sleep(0.6)
say("READY=1")
while True: time.sleep(1)
"""
    text = says(body.replace("\\\\", "\\"), 'ready = { kind = "notify", timeout = "400ms" }', 'stop.grace = "300ms"')
    async with fleet(tmp_path, text) as running:
        await running.wait_state("web", "ready")
        await running.fleet.stop(["web"])
        await running.wait_state("web", "stopped")
        assert running.events("worker.killing") == []
        assert running["web"].exits[-1].code == 0


async def test_a_watchdog(tmp_path: Path) -> None:
    body = """
assert os.environ["WATCHDOG_USEC"] == "400000"
say("READY=1")
for _ in range(8):
    say("WATCHDOG=1")
    time.sleep(0.1)
time.sleep(1000)
"""
    async with fleet(tmp_path, says(body, NOTIFY, 'health = { kind = "notify", timeout = "400ms" }')) as running:
        await running.wait_event("worker.healthy")
        unhealthy = await running.wait_event("worker.unhealthy")
        assert unhealthy["seen"] == "no WATCHDOG=1 for 0.4 s"
        assert (await running.wait_event("worker.exited"))["uptime_s"] > 0.8


async def test_a_stranger_is_not_believed(tmp_path: Path) -> None:
    """A process of the same user, which sees the file where the worker has no mount namespace of its own."""
    keys = ("namespaces.mount = false", 'ready = { kind = "notify" }')
    async with fleet(tmp_path, "\n".join(["[worker.web]", 'command = ["sleep", "1000"]', *keys, ""])) as running:
        await running.wait_state("web", "running")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(b"READY=1", str(tmp_path / "notify" / "web"))
        assert "none of its own" in (await running.wait_event("worker.probe_failed"))["error"]
        assert running.state_of("web") == "running"


async def test_the_next_daemon_goes_on_and_hears_what_was_said_meanwhile(tmp_path: Path) -> None:
    body = """
say("STATUS=one")
while os.path.exists("/srv/wait"): time.sleep(0.01)
say("READY=1\\nSTATUS=two")
time.sleep(1000)
"""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "wait").touch()
    health = '{ kind = "command", command = ["test", "-e", "/srv"], interval = "50ms" }'
    mounts = f'mounts = [{{ type = "bind", source = "{tmp_path}/srv", target = "/srv" }}]'
    text = says(body.replace("\\\\", "\\"), NOTIFY, f"health = {health}", mounts)
    async with fleet(tmp_path, text) as running:
        await running.wait_state("web", "running")
        await until(lambda: running["web"].said.status == "one", "the first status")
        pid = running.pid("web")
        running.die()
    (tmp_path / "srv" / "wait").unlink()
    await trio.sleep(0.2)
    async with fleet(tmp_path, text) as running:
        web = await running.wait_state("web", "ready")
        await until(lambda: web.is_healthy and web.said.status == "two", "health")
        assert (running.pid("web"), web.status.incarnation) == (pid, 1)
        running.die()
    async with fleet(tmp_path, text) as running:
        assert running["web"].health is not None
        await running.wait_event("worker.adopted")
        assert running["web"].is_healthy
        assert running["web"].said.status == "two"


async def test_a_reload_changes_what_is_probed_and_nothing_else(tmp_path: Path) -> None:
    text = '[worker.web]\ncommand = ["sleep", "1000"]\n'
    async with fleet(tmp_path, text) as running:
        web = await running.wait_state("web", "ready")
        health = '{ kind = "tcp", address = "127.0.0.1:9", retries = 1, on_failure = "report" }'
        running.text = f"{text}health = {health}\n"
        found = await running.fleet.reload()
        assert [change.relaunch for change in found.changed] == [False]
        await running.wait_event("worker.unhealthy")
        running.text = text
        await running.fleet.reload()
        assert (web.health, web.status.incarnation) == (None, 1)
        running.text = f'{text}ready.kind = "notify"\n'
        assert [change.relaunch for change in (await running.fleet.reload(dry_run=True)).changed] == [True]
