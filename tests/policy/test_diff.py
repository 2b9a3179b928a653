"""What a new configuration changes."""

import msgspec

from supervisor.policy.diff import CONTENT, Change, FleetDiff, KeyChange, diff
from supervisor.spec.model import Fleet, Limits, Mount, Restart, Security, Supervisor, Worker
from supervisor.spec.seccomp import Profile


def worker(name: str, **keys: object) -> Worker:
    return Worker(name, ("/bin/true",), **keys)  # type: ignore[arg-type]


def fleet(*workers: Worker, **keys: object) -> Fleet:
    return Fleet(workers={worker.name: worker for worker in workers}, **keys)  # type: ignore[arg-type]


def test_the_same_fleet_from_other_files_is_no_change() -> None:
    found = diff(fleet(worker("a"), files=("/x",)), fleet(worker("a"), files=("/x", "/y")))
    assert found == FleetDiff(unchanged=("a",))
    assert found.empty


def test_added_removed_changed_unchanged_in_file_order() -> None:
    old = fleet(worker("z"), worker("same"), worker("changed"), worker("b"))
    new = fleet(worker("y"), worker("changed", working_dir="/srv"), worker("same"), worker("a"))
    found = diff(old, new)
    assert found.added == ("y", "a")
    assert found.removed == ("z", "b")
    assert found.unchanged == ("same",)
    assert found.changed == (
        Change("changed", (KeyChange("working_dir", '"/"', '"/srv"'),), relaunch=True, effect="restart"),
    )
    assert not found.empty


def test_another_number_of_instances_leaves_the_others_alone() -> None:
    found = diff(fleet(worker("w", instances=2)), fleet(worker("w", instances=4)))
    assert found == FleetDiff(added=("w-2", "w-3"), unchanged=("w-0", "w-1"))


def test_one_instance_has_another_name_than_the_first_of_two() -> None:
    found = diff(fleet(worker("w")), fleet(worker("w", instances=2)))
    assert found == FleetDiff(added=("w-0", "w-1"), removed=("w",))


def test_keys_are_spelled_as_in_the_file() -> None:
    old = worker("w", limits=Limits(nofile=10), mounts=(Mount("tmpfs", "/tmp"),))
    new = worker("w", limits=Limits(nofile=20), restart=Restart(max_delay_s=30.0))
    (change,) = diff(fleet(old), fleet(new)).changed
    assert [(key.key, key.new) for key in change.keys] == [
        ("limits.nofile", "20"),
        ("mounts", "[]"),
        ("restart.max_delay", "30.0"),
    ]
    assert change.relaunch


def test_what_is_not_written_is_not_shown() -> None:
    old, new = worker("w"), worker("w", hostname="box", mounts=(Mount("tmpfs", "/tmp", size_bytes=0, options=("ro",)),))
    (change,) = diff(fleet(old), fleet(new)).changed
    assert change.keys == (
        KeyChange("hostname", None, '"box"'),
        KeyChange("mounts", "[]", '[{"type":"tmpfs","target":"/tmp","options":["ro"],"size":0}]'),
    )


def test_values_of_the_environment_are_not_shown() -> None:
    old, new = (
        worker("w", env={"KEEP": "1", "TOKEN": "old", "GONE": "x"}),
        worker("w", env={"KEEP": "1", "TOKEN": "new"}),
    )
    found = diff(fleet(old), fleet(new))
    assert [(key.key, key.old, key.new) for key in found.changed[0].keys] == [
        ("env.GONE", "(hidden)", None),
        ("env.TOKEN", "(hidden)", "(hidden)"),
    ]
    assert b"old" not in msgspec.json.encode(found).replace(b'"old":', b"")


def test_what_only_the_daemon_reads_needs_no_new_incarnation() -> None:
    (change,) = diff(
        fleet(worker("w")), fleet(worker("w", autostart=False, restart=Restart(policy="always"), after=("x",)))
    ).changed
    assert not change.relaunch
    (change,) = diff(fleet(worker("w")), fleet(worker("w", autostart=False, hostname="h"))).changed
    assert change.relaunch


def test_the_supervisors_own_keys() -> None:
    found = diff(fleet(), fleet(supervisor=Supervisor(start_concurrency=3)))
    assert found == FleetDiff(supervisor=(KeyChange("start_concurrency", "8", "3"),))
    assert not found.empty


def test_it_travels_as_json() -> None:
    found = diff(fleet(worker("a"), worker("b")), fleet(worker("a", hostname="h"), worker("c")))
    assert msgspec.json.decode(msgspec.json.encode(found), type=FleetDiff) == found


def test_a_profiles_content_is_not_shown() -> None:
    """It has hundreds of names; that it is another one launches the worker anew."""
    old, new = (
        worker("a", security=Security(seccomp="/p.json", seccomp_profile=Profile(action)))
        for action in ("SCMP_ACT_LOG", "SCMP_ACT_ALLOW")
    )
    (change,) = diff(fleet(old), fleet(new)).changed
    assert change.relaunch
    assert {(key.old, key.new) for key in change.keys} == {(CONTENT, CONTENT)}
