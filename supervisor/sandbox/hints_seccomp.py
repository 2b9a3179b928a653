"""Hints for lock.seccomp. SIGSYS: the process died between the filter and the command."""

TABLE: dict[str, dict[str, tuple[str, str | None]]] = {
    "lock.seccomp": {
        "EACCES": (
            "The kernel takes a filter only after no_new_privs, or from who has CAP_SYS_ADMIN.",
            "nsvisor plan {instance}",
        ),
        "EINVAL": (
            "The kernel has no seccomp filters (CONFIG_SECCOMP_FILTER), or does not know one of the profile's flags.",
            "cat /proc/sys/kernel/seccomp/actions_avail",
        ),
        "EPERM": ("The profile forbids what starting a command takes: it must allow write and execve.", None),
        "ENOSYS": ("The kernel has no seccomp, or a container's own seccomp profile hides it.", "nsvisor doctor"),
        "ENOTSUP": (
            'No table of system calls for this machine: set security.seccomp = "off" until there is one.',
            "uname -m",
        ),
        "E2BIG": ("The profile has too many rules with arguments: the kernel takes 4096 instructions.", None),
        "ENOMEM": ("The filters of this process together are too long, or the kernel has no memory left.", "free -h"),
        "SIGSYS": (
            "The profile kills what starting the command takes: write and execve, at least.",
            "sudo journalctl -k --grep type=1326",
        ),
        "SIGSEGV": ("The profile refuses what starting the command takes: write, execve and exit_group.", None),
    },
}
DIED = (
    "SIGSYS is what a seccomp filter kills with, that of security.seccomp or one of its own, if nobody sent it. "
    "Try: sudo journalctl -k --grep type=1326 (syscall=NUMBER)"
)
