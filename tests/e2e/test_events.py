"""`nsvisor events` across daemons."""

import json

from tests.e2e.daemons import running
from tests.program import Program

FLEET = '[worker.web]\ncommand = ["sleep", "1000"]\n'


def events(program: Program, *options: str) -> list[dict[str, object]]:
    done = program.run("events", "--json", "--no-follow", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_who_resumes_is_told_of_another_daemon(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as first:
        first.wait_state("web", "ready")
        seen = events(nsvisor)
        middle = seen[len(seen) // 2]
        again = events(nsvisor, "--since-id", str(middle["id"]))
        assert again[: len(seen)] == seen[len(seen) // 2 + 1 :]
    with running(nsvisor, FLEET):
        resumed = events(nsvisor, "--after", str(seen[-1]["id"]), "web")
        new = events(nsvisor)
    assert [one["event"] for one in resumed][:1] == ["events.lost"]
    assert resumed[0]["fields"]["lost"] is None  # type: ignore[index]
    assert "events.lost" not in [one["event"] for one in new]
    assert new[0]["event"] == "daemon.started"
    assert isinstance(new[0]["id"], int)
    assert new[0]["id"] > max(int(str(one["id"])) for one in seen)
