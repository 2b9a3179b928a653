"""Phases that unshare a namespace or set what belongs to it."""

from supervisor.kernel import clone as flags
from supervisor.kernel.clocks import OFFSETS, monotonic_offset_ns
from supervisor.kernel.files import write_attribute
from supervisor.kernel.loopback import loopback_up
from supervisor.kernel.namespaces import setdomainname, sethostname, unshare
from supervisor.nsinit.box import Box


def mount(_box: Box) -> None:
    """ns.mount."""
    unshare(flags.CLONE_NEWNS)


def uts(_box: Box) -> None:
    """ns.uts."""
    unshare(flags.CLONE_NEWUTS)


def ipc(_box: Box) -> None:
    """ns.ipc."""
    unshare(flags.CLONE_NEWIPC)


def network(_box: Box) -> None:
    """ns.network."""
    unshare(flags.CLONE_NEWNET)


def cgroup(_box: Box) -> None:
    """ns.cgroup."""
    unshare(flags.CLONE_NEWCGROUP)


def time(_box: Box) -> None:
    """ns.time: for children, or from execve on."""
    unshare(flags.CLONE_NEWTIME)


def time_offsets(box: Box, monotonic_s: str, boottime_s: str) -> None:
    """time.offsets: before the first process lives in it, else EACCES."""
    inherited_ns = monotonic_offset_ns()
    write_attribute(OFFSETS, f"monotonic {monotonic_s} 0\nboottime {boottime_s} 0\n")
    box.clock_offset_ns = int(monotonic_s) * 1_000_000_000 - inherited_ns


def loopback(_box: Box) -> None:
    """net.loopback."""
    loopback_up()


def hostname(_box: Box, name: str) -> None:
    """uts.hostname."""
    sethostname(name)


def domainname(_box: Box, name: str) -> None:
    """uts.domainname."""
    setdomainname(name)
