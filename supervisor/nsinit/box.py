"""What the phases of one launch share."""

from supervisor.nsinit.channel import Channel


class Box:
    """The sandbox while it is built."""

    channel: Channel  # there is none while a step is done ahead of the launch

    def __init__(self, report_fd: int, keeper_pidfd: int, outside: tuple[int, int]) -> None:
        """report_fd: where PID 1 writes the workload's status; outside: uid and gid as seen before clone."""
        self.report_fd = report_fd
        self.keeper_pidfd = keeper_pidfd
        self.outside_uid, self.outside_gid = outside
        self.index = 0  # of the phase that runs
        self.owns_pid_namespace = True
        self.hidden = False  # others live in the sandbox already: this process is not dumpable until it executes
        self.released = False  # it outlives the keeper
        self.init_fd = -1  # of the workload's process: a byte there has PID 1 outlive the keeper, too
        self.filtered = False  # by a seccomp profile that may allow no more than write and execve
        self.static_init_fd = -1  # of the host's program that will be PID 1
        self.groups_denied = False
        self.root_fd = -1  # the new root's mount, from rootfs.prepare on
        self.proc_fd = -1  # the mount at its /proc, from mount.proc on
        self.proc_is_seen = False  # nothing of the user's lies over it
        self.secrets_fd = -1  # the mount at its /run/secrets, while it is filled
        self.clock_offset_ns = 0  # of the time namespace, for the first child in it

    @property
    def mounts(self) -> tuple[int, ...]:
        """Descriptors of mounts that are in use."""
        return tuple(fd for fd in (self.root_fd, self.proc_fd, self.secrets_fd) if fd >= 0)
