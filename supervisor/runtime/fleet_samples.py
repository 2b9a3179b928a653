"""What a scrape shows of the fleet."""

from collections.abc import Iterable

from supervisor.runtime.instance import Instance
from supervisor.telemetry.metrics import InstanceSample


def samples(instances: Iterable[Instance]) -> list[InstanceSample]:
    """One of each instance."""
    return [
        InstanceSample(
            worker=one.worker.name,
            instance=one.name,
            state=one.status.state,
            restarts=one.status.restarts,
            log_bytes=one.output.read_bytes,
            lost_bytes=one.output.lost_bytes,
            lost_lines=one.output.lost_lines,
            uptime_s=one.uptime_s,
            cgroup=one.cgroup_path,
            pid=one.pid,
            standby=one.next_sandbox == "ready" if one.worker.restart.standby else None,
            healthy=one.health.state == "healthy" if one.health and one.health.state != "starting" else None,
        )
        for one in instances
    ]
