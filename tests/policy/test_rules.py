"""Rules of a worker."""

import pytest

from supervisor.policy.rules import Rules, rules
from supervisor.spec.model import Namespaces, Network, Ready, Restart, Stop, Worker


def worker(**keys: object) -> Worker:
    return Worker("web", ("/bin/true",), **keys)  # type: ignore[arg-type]


def test_a_worker_with_no_keys_has_the_documented_defaults() -> None:
    assert rules(worker()) == Rules()


@pytest.mark.parametrize(
    ("restart", "reset_after_s"),
    [
        (Restart(max_delay_s=30.0), 60.0),
        (Restart(max_delay_s=300.0), 300.0),
        (Restart(max_delay_s=300.0, reset_after_s=5.0), 5.0),
        (Restart(reset_after_s=0.0), 0.0),
    ],
)
def test_reset_after_is_never_below_max_delay_unless_set_by_hand(restart: Restart, reset_after_s: float) -> None:
    assert rules(worker(restart=restart)).reset_after_s == reset_after_s


def test_every_knob_is_read() -> None:
    restart = Restart(
        policy="always",
        delay_s=1.0,
        factor=3.0,
        max_delay_s=9.0,
        jitter=0.3,
        reset_after_s=7.0,
        max_restarts=4,
        window_s=99.0,
        success_exit=(1,),
        never_after=(2,),
        always_after=("SIGHUP",),
    )
    ready = Ready(kind="tcp", address="127.0.0.1:80", timeout_s=8.0)
    found = rules(worker(restart=restart, stop=Stop(signal="SIGINT", grace_s=2.0), ready=ready, after=("db",)))
    assert found == Rules(
        policy="always",
        delay_s=1.0,
        factor=3.0,
        max_delay_s=9.0,
        jitter=0.3,
        reset_after_s=7.0,
        max_restarts=4,
        window_s=99.0,
        success_exit=(1,),
        never_after=(2,),
        always_after=("SIGHUP",),
        stop_signal="SIGINT",
        grace_s=2.0,
        probed=True,
        ready_timeout_s=8.0,
        has_requirements=True,
    )


@pytest.mark.parametrize(
    "keys",
    [
        {"after": ("db",)},
        {"requires": ("db",)},
        {"network": Network(mode="worker:db")},
        {"namespaces": Namespaces(ipc="worker:db")},
    ],
)
def test_what_comes_before_it(keys: dict[str, object]) -> None:
    assert rules(worker(**keys)).has_requirements


def test_namespaces_of_nobody_elses_are_no_requirement() -> None:
    assert not rules(worker(network=Network(mode="host"), namespaces=Namespaces(ipc="pid:1"))).has_requirements
