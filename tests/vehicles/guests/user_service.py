"""The user service of a user who lingers, as docs/how-to/systemd.md sets it up."""

import os
import signal
import time
from contextlib import suppress

from tests.vehicles.guests.machine import NAME, UserService, cgroup_of, kill, make_user, run, wait_for

FLEET = """
[supervisor]
adopt_timeout = "{adopt_timeout}"

[worker.steady]
command = ["sleep", "1000"]
instances = 2

[worker.polite]
command = ["sh", "-c", "trap 'exit 0' INT; trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"]
ready = {{ kind = "log", pattern = "up", timeout = "90s" }}
stop = {{ signal = "SIGINT", grace = "5s" }}

[worker.deaf]
command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
ready = {{ kind = "log", pattern = "up", timeout = "90s" }}
stop = {{ grace = "0.5s" }}

[worker.talker]
command = ["sh", "-c", "echo from the talker; exec sleep 1001"]
log = {{ sink = "journald" }}
"""
WORKERS = ["deaf", "polite", "steady-0", "steady-1", "talker"]
EXITED = "dc703c611a8b59448c2f35b1bb58cad2"  # docs/reference/events.md

service = UserService()


def check_install() -> None:
    """What the how-to says, word by word."""
    make_user()
    service.write(service.config, FLEET.format(adopt_timeout="120s"))
    service.check("nsvisor", "install-unit")
    service.systemctl("daemon-reload")
    service.systemctl("enable", "--now", "nsvisor")
    assert service.show("ActiveState") == "active"
    wait_for(service.is_ready, "the workers to be ready")
    assert sorted(service.instances()) == WORKERS, service.instances()


def check_doctor_finds_the_manager() -> None:
    said = service.run("nsvisor", "doctor").stdout
    assert "linger" in said, said


def check_workers_live_in_a_scope_beside_the_service() -> None:
    assert service.show("Type") == "notify"
    assert "5" in service.show("StatusText"), service.show("StatusText")
    (scope,) = service.scopes()
    unit = scope.split()[0]
    assert unit.startswith("nsvisor-workers-"), unit
    assert service.show("Delegate", unit) == "yes"
    place = service.show("ControlGroup", unit)
    assert place.startswith(f"/user.slice/user-{service.uid}.slice/user@{service.uid}.service/"), place
    for name, one in service.instances().items():
        assert str(cgroup_of(one["pid"])).endswith(f"{place}/{name}#{one['incarnation']}"), cgroup_of(one["pid"])


def check_the_user_reads_its_journal() -> None:
    wait_for(lambda: service.events("daemon.ready"), "the entry")
    (entry,) = service.events("daemon.ready")
    assert entry["_SYSTEMD_USER_UNIT"] == "nsvisor.service", entry
    assert entry["SYSLOG_IDENTIFIER"] == "nsvisor", entry
    assert int(entry["NSVISOR_INSTANCES"]) == len(WORKERS), entry
    assert len(entry["MESSAGE_ID"]) == 32, entry
    by_unit = service.journal("--unit=nsvisor", "NSVISOR_EVENT=daemon.ready")
    assert by_unit == [entry], by_unit
    phases = service.events("setup.phase", instance="polite", phase="exec")
    assert phases, "no set-up phases"
    (line,) = service.journal("--identifier=talker")
    assert line["MESSAGE"] == "from the talker", line
    assert line["NSVISOR_STREAM"] == "stdout", line


def check_a_worker_that_dies_is_found_by_its_message_id() -> None:
    before = service.identities()
    kill(before["steady-1"][0])
    wait_for(lambda: service.identities()["steady-1"][1] > before["steady-1"][1] and service.is_ready(), "its return")
    (entry,) = service.journal(f"MESSAGE_ID={EXITED}")
    assert entry["NSVISOR_INSTANCE"] == "steady-1", entry
    after = service.identities()
    assert {name for name in WORKERS if after[name] != before[name]} == {"steady-1"}


def check_kill_9_of_the_daemon_leaves_the_workers() -> None:
    before, daemon = service.identities(), service.main_pid()
    kill(daemon)
    wait_for(lambda: service.started_anew(daemon), "the next daemon")
    assert service.identities() == before
    assert len(service.scopes()) == 1, service.scopes()
    assert service.events("daemon.adopted"), "no record"


def check_reload_of_a_good_and_of_a_bad_file() -> None:
    before, daemon = service.identities(), service.main_pid()
    text = FLEET.format(adopt_timeout="120s")
    service.write(service.config, text.replace("instances", "instanzes"))
    done = service.run("systemctl", "--user", "reload", "nsvisor")
    assert done.returncode != 0, done
    assert service.show("ActiveState") == "active"
    assert service.identities() == before
    service.write(service.config, text.replace("1001", "1002"))
    service.systemctl("reload", "nsvisor")
    wait_for(lambda: service.identities()["talker"] != before["talker"] and service.is_ready(), "the new talker")
    after = service.identities()
    assert {name for name in WORKERS if after[name] != before[name]} == {"talker"}
    assert service.main_pid() == daemon


def check_reexec_keeps_everything() -> None:
    before, daemon = service.identities(), service.main_pid()
    service.check("nsvisor", "reexec")
    assert service.events("daemon.adopted"), "no record"
    wait_for(service.is_ready, "the workers, under the new program")
    assert service.main_pid() == daemon
    assert service.show("ActiveState") == "active"
    assert service.identities() == before


def check_restart_stops_all_and_starts_all() -> None:
    # For the check after this one: the watchdog's interval is read at the start.
    service.drop_in("[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\nLimitCORE=0\n")
    before, daemon = service.identities(), service.main_pid()
    (scope,) = service.scopes()
    began = time.monotonic()
    service.systemctl("restart", "nsvisor")
    took_s = time.monotonic() - began
    wait_for(service.is_ready, "the workers")
    after = service.identities()
    assert not set(after.values()) & set(before.values()), (before, after)
    assert service.main_pid() != daemon
    assert 0.5 <= took_s < 20, f"{took_s} s"  # the deaf one's grace, and not TimeoutStopSec
    assert [one for one in service.scopes() if one.split()[0] == scope.split()[0]] == []
    last = {name: one["last_exit"] for name, one in service.instances().items()}
    assert (last["polite"]["code"], last["deaf"]["signal"]) == (0, "SIGKILL"), last


def check_a_daemon_that_hangs_is_replaced() -> None:
    before, daemon = service.identities(), service.main_pid()
    kill(daemon, signal.SIGSTOP)
    wait_for(lambda: service.started_anew(daemon), "the next daemon")
    assert service.identities() == before


def check_after_too_many_crashes_the_workers_end() -> None:
    """Nobody starts the daemon any more: its keeper waits adopt_timeout, then stops the workers and leaves."""
    service.write(service.config, FLEET.format(adopt_timeout="2s"))
    service.drop_in("[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=100ms\n")
    service.systemctl("reset-failed", "nsvisor")  # the starts so far count no more
    service.systemctl("restart", "nsvisor")
    wait_for(service.is_ready, "the workers")
    before = service.identities()

    def crashed_for_good() -> bool:
        if service.show("ActiveState") == "active" and (daemon := service.main_pid()):
            with suppress(ProcessLookupError):  # it is not seen yet that it was killed
                kill(daemon)
        return service.show("ActiveState") == "failed"

    wait_for(crashed_for_good, "systemd to give up")
    pids = {pid for pid, _ in before.values()}
    wait_for(lambda: not service.scopes(), f"the scope to go: {service.scopes()}")
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    service.write(service.config, FLEET.format(adopt_timeout="120s"))
    service.drop_in("")
    service.systemctl("reset-failed", "nsvisor")
    service.systemctl("start", "nsvisor")
    wait_for(service.is_ready, "the workers to be back")


def check_stop_leaves_nothing() -> None:
    service.systemctl("stop", "nsvisor")
    assert service.show("Result") == "success"
    wait_for(lambda: not service.scopes(), "the scope to go", 20)
    assert not list(service.runtime.glob("*.sock"))
    service.systemctl("start", "nsvisor")
    wait_for(service.is_ready, "the workers to be back")


def check_ending_the_user_ends_all_of_it_in_order() -> None:
    """Its manager stops the service before the scope: each worker by its own rules, none by the scope's SIGTERM."""
    run("loginctl", "terminate-user", NAME)
    wait_for(service.nothing_is_left, "nothing to be left of the user")
    make_user()
    wait_for(service.is_ready, "the service, which is enabled")
    last = {name: one["last_exit"] for name, one in service.instances().items()}
    assert (last["polite"]["code"], last["polite"]["requested_by"]) == (0, "shutdown"), last["polite"]
