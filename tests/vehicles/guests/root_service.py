"""Root's daemon as a service of the system manager, beside the user's."""

import os

from tests.vehicles.guests.machine import Service, cgroup_of, kill, wait_for

FLEET = """
[supervisor]
adopt_timeout = "120s"
[worker.steady]
command = ["sleep", "2000"]

[worker.polite]
command = ["sh", "-c", "trap 'exit 0' INT; trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"]
ready = { kind = "log", pattern = "up", timeout = "90s" }
stop = { signal = "SIGINT", grace = "5s" }
"""

service = Service()


def check_install() -> None:
    service.write(service.config, FLEET)
    service.check("nsvisor", "install-unit", "--system")
    service.systemctl("daemon-reload")
    service.systemctl("enable", "--now", "nsvisor")
    assert service.show("ActiveState") == "active"
    wait_for(service.is_ready, "the workers to be ready")


def check_workers_live_in_a_scope_of_the_system() -> None:
    (scope,) = service.scopes()
    place = service.show("ControlGroup", scope.split()[0])
    assert place.startswith("/system.slice/nsvisor-workers-"), place
    for name, one in service.instances().items():
        assert str(cgroup_of(one["pid"])).endswith(f"{place}/{name}#{one['incarnation']}"), cgroup_of(one["pid"])


def check_kill_9_of_the_daemon_leaves_the_workers() -> None:
    before, daemon = service.identities(), service.main_pid()
    kill(daemon)
    wait_for(lambda: service.started_anew(daemon), "the next daemon")
    assert service.identities() == before


def check_its_journal() -> None:
    (entry,) = service.journal("--unit=nsvisor", "NSVISOR_EVENT=daemon.adopted")
    assert entry["_SYSTEMD_UNIT"] == "nsvisor.service", entry
    assert int(entry["NSVISOR_WORKERS"]) == 2, entry


def check_stop_leaves_nothing() -> None:
    pids = [pid for pid, _ in service.identities().values()]
    service.systemctl("stop", "nsvisor")
    assert service.show("Result") == "success"
    wait_for(lambda: not service.scopes(), "the scope to go", 20)
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert not list(service.runtime.glob("*.sock"))
    service.systemctl("start", "nsvisor")
    wait_for(service.is_ready, "the workers to be back")
