"""The default profile: a list of the calls that programs need and that a sandbox can bear; the kernel's rest is closed.

A call that is not listed gets ENOSYS, as from an older kernel, so that programs and the C library take their older way.
What is known and forbidden gets EPERM. Nothing is killed: no program dies of having asked.
"""

from supervisor.spec.seccomp import Comparison, Condition, Profile, Rule

# linux/sched.h. CLONE_NEWTIME lies in the byte where clone(2) has the exit signal; unshare(2) takes it.
_NEW_NAMESPACES = 0x7E020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWTIME = 0x80
_WORD = 0xFFFFFFFF

_ENOSYS, _EPROTONOSUPPORT, _EAFNOSUPPORT = 38, 93, 97
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_UNIX, _INET, _INET6, _NETLINK, _PACKET = 1, 2, 10, 16, 17
_NETLINK_AUDIT = 9
# PER_LINUX, PER_LINUX32, both with UNAME26, and without address randomisation, which weakens nobody but the caller.
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0x40000, 0x40008, _WORD)

_FILES = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr file_getattr file_setattr
    flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64
    getxattr getxattrat lchown lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr
    lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64
    pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2
    rmdir sendfile setxattr setxattrat splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee
    truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev
"""
_EVENTS = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 fanotify_mark
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch pipe pipe2 poll ppoll pselect6 select signalfd
    signalfd4 io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit
"""
_MEMORY = """
    brk cachestat get_mempolicy madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
    mlockall mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    process_madvise process_mrelease remap_file_pages
"""
_PROCESSES = """
    arch_prctl capget capset execve execveat exit exit_group fork getcpu getegid geteuid getgid getgroups getpgid
    getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid get_robust_list
    get_thread_area ioprio_get ioprio_set kcmp pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv
    process_vm_writev ptrace rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups
    setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sysinfo times uname uprobe
    uretprobe vfork wait4 waitid
"""
_SIGNALS = """
    alarm futex futex_requeue futex_wait futex_waitv futex_wake getitimer kill pause restart_syscall rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer
    sigaltstack tgkill tkill
"""
_SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown
"""
_TIME = """
    adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep getrandom gettimeofday nanosleep time
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime
"""
_IPC = """
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
    semop semtimedop shmat shmctl shmdt shmget
"""
_LOCKS = """
    landlock_add_rule landlock_create_ruleset landlock_restrict_self listmount lsm_get_self_attr lsm_list_modules
    lsm_set_self_attr seccomp statmount
"""
_ALLOWED = f"{_FILES} {_EVENTS} {_MEMORY} {_PROCESSES} {_SIGNALS} {_SOCKETS} {_TIME} {_IPC} {_LOCKS}"

# Forbidden whatever the sandbox keeps.
_NEVER = """
    add_key keyctl kexec_file_load kexec_load modify_ldt nfsservctl request_key swapoff swapon sysfs userfaultfd uselib
    ustat
"""
# What needs a capability is closed without it, too: the kernel's own check stands behind much code.
_MOUNTING = """
    fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount umount2
"""
_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": "bpf fanotify_init lookup_dcookie perf_event_open quotactl quotactl_fd setdomainname sethostname",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "pidfd_getfd",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime settimeofday",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}


def default_profile(*, nested: bool = False) -> Profile:
    """Write the profile; nested: user namespaces may be made inside, and what they are made for is open, too."""
    return Profile(
        default_action="SCMP_ACT_ERRNO",
        default_errno=_ENOSYS,
        rules=(_allow(_ALLOWED), _refuse(_NEVER), *_capabilities(), *_namespaces(nested=nested), *_by_argument()),
    )


def _allow(names: str, *args: Comparison, cap: str = "") -> Rule:
    return Rule(tuple(names.split()), "SCMP_ACT_ALLOW", args=args, includes=Condition(caps=(cap,) if cap else ()))


def _refuse(names: str, *args: Comparison, errno: int = 1) -> Rule:
    return Rule(tuple(names.split()), "SCMP_ACT_ERRNO", errno, args)


def _bits(index: int, value: int, mask: int = _WORD) -> Comparison:
    """An argument of type int or unsigned int: the kernel drops the upper half, and so must the comparison."""
    return Comparison(index, "SCMP_CMP_MASKED_EQ", mask, value)


def _capabilities() -> list[Rule]:
    rules = [_allow(names, cap=cap) for cap, names in _BY_CAPABILITY.items()]
    return [*rules, _refuse(" ".join(_BY_CAPABILITY.values()))]


def _namespaces(*, nested: bool) -> list[Rule]:
    """clone3's flags lie in memory, where no filter can look: with ENOSYS the C library calls clone instead."""
    if nested:
        return [_allow(f"clone clone3 setns unshare chroot sethostname setdomainname {_MOUNTING}")]
    return [
        _allow("clone unshare", _bits(0, 0, _CLONE_NEWUSER), cap="CAP_SYS_ADMIN"),
        _allow(f"setns {_MOUNTING}", cap="CAP_SYS_ADMIN"),
        _allow("clone", _bits(0, 0, _NEW_NAMESPACES)),
        _allow("unshare", _bits(0, 0, _NEW_NAMESPACES | _CLONE_NEWTIME)),
        _refuse(f"clone unshare setns {_MOUNTING}"),
        _refuse("clone3", errno=_ENOSYS),
    ]


def _by_argument() -> list[Rule]:
    return [
        _refuse("ioctl", _bits(1, _TIOCSTI)),
        _refuse("ioctl", _bits(1, _TIOCLINUX)),
        _allow("ioctl"),
        *(_allow("personality", _bits(0, value)) for value in _PERSONALITIES),
        _refuse("personality"),
        _allow("socket", _bits(0, _NETLINK), _bits(2, _NETLINK_AUDIT), cap="CAP_AUDIT_WRITE"),
        _refuse("socket", _bits(0, _NETLINK), _bits(2, _NETLINK_AUDIT), errno=_EPROTONOSUPPORT),
        *(_allow("socket socketpair", _bits(0, family)) for family in (_UNIX, _INET, _INET6, _NETLINK)),
        _allow("socket socketpair", _bits(0, _PACKET), cap="CAP_NET_RAW"),
        _refuse("socket socketpair", errno=_EAFNOSUPPORT),
    ]
