"""After the machine was started again: what ran is back, and was stopped in order; then the user goes."""

import subprocess

from tests.vehicles.guests.machine import NAME, Service, UserService, checked, path, wait_for

user, root = UserService(), Service()


def check_workers_are_back() -> None:
    wait_for(user.manager_is_up, "the user's manager")
    for service in (root, user):
        wait_for(service.is_ready, f"the workers of {service.uid}")


def check_the_machine_went_down_in_order() -> None:
    """Daemons stopped their workers by the workers' own rules before anything else ended them."""
    for service in (root, user):
        assert service.events("daemon.stopped", boot=-1), f"uid {service.uid}: no daemon.stopped"
        entries = service.events("worker.exited", boot=-1, instance="polite")
        assert entries, "no exit"
        assert entries[-1]["NSVISOR_CODE"] == "0", entries[-1]
        assert entries[-1]["NSVISOR_REQUESTED_BY"] == "shutdown", entries[-1]


def check_without_linger_it_ends_with_the_last_session() -> None:
    checked("loginctl", "disable-linger", NAME)
    wait_for(user.nothing_is_left, "the user's processes to end")
    # A login session, as by sshd: pam_systemd opens it.
    session = subprocess.Popen(
        ["su", "--login", "--command", "systemctl --user is-system-running --wait; read -r line", NAME],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={"PATH": path()},
    )  # fmt: skip
    try:
        wait_for(user.manager_is_up, "the manager to come with the login")
        wait_for(user.is_ready, "the service, which is enabled")
    finally:
        session.communicate(b"\n", timeout=30)
    wait_for(user.nothing_is_left, "the user's processes to end after the logout")
