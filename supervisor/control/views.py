"""From the fleet's objects to what the API shows of them."""

from supervisor.control.fleet_surface import InstanceSurface
from supervisor.control.id_maps import id_map
from supervisor.control.models import FailureView, InstanceDetail, InstanceView, UsageView
from supervisor.policy.restart import State
from supervisor.spec.records import LaunchRecord


def instance_view(instance: InstanceSurface, now: float, usage: UsageView | None = None) -> InstanceView:
    """One instance; `now` is CLOCK_MONOTONIC."""
    status = instance.status
    launches = instance.launches
    exits = instance.exits
    deadline_in_s = None if status.deadline is None else max(0.0, status.deadline - now)
    health, said = instance.health, instance.said
    return InstanceView(
        name=instance.name,
        worker=instance.worker.name,
        state=str(status.state),
        ready=status.state is State.READY,
        wanted=status.wanted,
        stopped_by=status.stopped_by,
        pid=instance.pid,
        incarnation=status.incarnation,
        started_at=instance.started_at,
        uptime_s=instance.uptime_s,
        in_state_s=max(0.0, now - status.since),
        restarts=status.restarts,
        failures=status.failures,
        crash_loop=status.crash_loop,
        next_start_in_s=deadline_in_s if status.state is State.BACKOFF else None,
        deadline_in_s=deadline_in_s,
        last_exit=exits[-1] if exits else None,
        last_failure=last_failure(launches[-1]) if launches else None,
        cpu_percent=usage.cpu_percent if usage else None,
        cpu_s=usage.cpu_s if usage else None,
        rss_bytes=usage.rss_bytes if usage else None,
        processes=usage.processes if usage else None,
        log_path=instance.log_path,
        paused=instance.paused,
        health=health.state if health is not None else None,
        health_seen=health.seen if health is not None else instance.probe_seen,
        status_text=said.status,
        notified=said.state,
        main_pid=said.main_pid,
        standby=(instance.next_sandbox or "no") if instance.worker.restart.standby else None,
    )


def instance_detail(instance: InstanceSurface, now: float, usage: UsageView | None = None) -> InstanceDetail:
    """One instance with its spec, launches and exits."""
    return InstanceDetail(
        instance=instance_view(instance, now, usage),
        spec=instance.worker,
        launches=tuple(instance.launches),
        exits=tuple(instance.exits),
        usual=instance.usual,
        uid_map=id_map(instance.pid, "uid"),
        gid_map=id_map(instance.pid, "gid"),
    )


def last_failure(launch: LaunchRecord) -> FailureView | None:
    """The phase in which a launch failed; None when it did not."""
    if launch.outcome == "ok":
        return None
    for phase in reversed(launch.phases):
        if phase.outcome in ("failed", "pending"):
            return FailureView(
                incarnation=launch.incarnation,
                phase=phase.phase,
                detail=phase.detail,
                errno=phase.errno,
                syscall=phase.syscall,
                message=phase.message,
                hint=phase.hint,
            )
    return None
