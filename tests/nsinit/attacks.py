"""What a process of a sandbox can try on another one there, run inside: `python3 -c ATTACK`, pids on standard input.

For each line with a pid it answers with one JSON object: what was tried, and what came of it ("" where it worked).
"""

ATTACK = r"""
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result

def seize(pid):
    checked(libc.ptrace(0x4206, ctypes.c_long(pid), None, None))
    checked(libc.ptrace(0x4207, ctypes.c_long(pid), None, None))  # and let go, for its parent is to reap it
    os.waitpid(pid, 0x40000000)
    libc.ptrace(17, ctypes.c_long(pid), None, None)

def steal(pid):
    pidfd = os.pidfd_open(pid)
    try:
        os.close(checked(libc.syscall(ctypes.c_long(438), pidfd, 2, 0)))
    finally:
        os.close(pidfd)

def peek(pid):
    here = ctypes.create_string_buffer(8)
    ours, theirs = Iovec(ctypes.addressof(here), 8), Iovec(id(0), 8)
    if libc.process_vm_readv(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "")

def opens(name, flags):
    return lambda pid: os.close(os.open(f"/proc/{pid}/{name}", flags))

TRIED = {
    "exe": lambda pid: os.readlink(f"/proc/{pid}/exe"),
    "exe again": opens("exe", os.O_RDONLY),
    "exe to write": opens("exe", os.O_PATH),
    "mem": opens("mem", os.O_RDONLY),
    "maps": opens("maps", os.O_RDONLY),
    "environ": opens("environ", os.O_RDONLY),
    "descriptor": lambda pid: os.readlink(f"/proc/{pid}/fd/2"),
    "descriptor again": opens("fd/2", os.O_PATH),
    "cwd": opens("cwd", os.O_PATH),
    "root": opens("root", os.O_PATH),
    "namespace": opens("ns/mnt", os.O_RDONLY),
    "ptrace": seize,
    "pidfd_getfd": steal,
    "process_vm_readv": peek,
}

def attack(pid):
    results = {}
    for name, function in TRIED.items():
        try:
            function(pid)
            results[name] = ""
        except OSError as error:
            results[name] = os.strerror(error.errno)
    return results
"""

ONE_BY_ONE = (
    ATTACK
    + "\nprint('ready', flush=True)\nfor line in sys.stdin:\n    print(json.dumps(attack(int(line))), flush=True)\n"
)
