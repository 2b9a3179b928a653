"""Who starts before whom."""

from graphlib import CycleError

import pytest

from supervisor.policy.order import (
    dependencies,
    instance_dependencies,
    instance_requirements,
    resolve,
    start_levels,
)
from supervisor.spec.model import Fleet, Namespaces, Network, Worker


def worker(name: str, **keys: object) -> Worker:
    return Worker(name, ("/bin/true",), **keys)  # type: ignore[arg-type]


def fleet(*workers: Worker) -> Fleet:
    return Fleet(workers={worker.name: worker for worker in workers})


FLEET = fleet(
    worker("web", after=("api", "cache-1"), instances=2),
    worker("api", requires=("db",), network=Network(mode="worker:cache-0")),
    worker("cache", instances=2),
    worker("db"),
    worker("alone"),
)


def test_dependencies_are_required_named_and_joined_each_once() -> None:
    one = worker(
        "one",
        requires=("a", "b"),
        after=("b", "c"),
        namespaces=Namespaces(pid="worker:d", ipc="worker:d", uts="pid:7"),
        network=Network(mode="worker:a"),
    )
    assert dependencies(one) == ("a", "b", "c", "d")
    assert dependencies(worker("two", network=Network(mode="path:/run/netns/x"))) == ()


def test_levels_hold_instances_in_file_order() -> None:
    assert start_levels(FLEET) == (
        ("cache-0", "cache-1", "db", "alone"),
        ("api",),
        ("web-0", "web-1"),
    )


def test_a_workers_name_means_all_its_instances() -> None:
    assert resolve(FLEET, "cache") == ("cache-0", "cache-1")
    assert resolve(FLEET, "cache-1") == ("cache-1",)
    with pytest.raises(ValueError, match="'nobody'"):
        resolve(FLEET, "nobody")


def test_each_instance_knows_what_comes_before_it_and_what_it_falls_with() -> None:
    assert instance_dependencies(FLEET)["web-1"] == ("api", "cache-1")
    assert instance_dependencies(FLEET)["api"] == ("db", "cache-0")
    assert instance_requirements(FLEET)["api"] == ("db",)
    assert instance_requirements(FLEET)["web-0"] == ()
    assert list(instance_dependencies(FLEET)) == ["web-0", "web-1", "api", "cache-0", "cache-1", "db", "alone"]


def test_an_empty_fleet_has_no_levels() -> None:
    assert start_levels(Fleet()) == ()


def test_a_cycle_is_never_ordered() -> None:
    with pytest.raises(CycleError):
        start_levels(fleet(worker("a", after=("b",)), worker("b", network=Network(mode="worker:a"))))
