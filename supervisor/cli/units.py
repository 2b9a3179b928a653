"""The text of the systemd units. The files in systemd/ are this text with the usual paths."""

_UNIT = """\
# Written by `nsvisor install-unit`. Change it by a drop-in: systemctl {scope}edit nsvisor

[Unit]
Description=nsvisor container supervisor
{ordering}# Five failed starts within a minute and systemd gives up. (These two belong here, not in [Service].)
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
# The daemon says READY=1 once its control socket answers and its workers are on their way.
Type=notify
NotifyAccess=main
ExecStart={program} daemon
# Waits for the verdict: a configuration with an error fails the reload and changes nothing.
ExecReload={program} reload
# Workers outlive a daemon that is killed, and a keeper; of both at once nobody knows them any more. Ends those now, and
# not when a daemon comes again.
ExecStopPost=-{program} daemon --sweep

# A crash only: the next daemon adopts the workers of the last one. The keeper and the workers live in a
# delegated scope of their own, which is why this service neither delegates nor kills them.
Restart=on-failure
# Told to leave, it left; a worker that would not die stays behind, and is named in the log.
RestartPreventExitStatus=5
RestartSec=1
# The daemon reports twice as often. An event loop that hangs is ended and started again.
WatchdogSec=30

# SIGTERM for the daemon alone: it stops each worker by that worker's own rules, then the keeper.
KillMode=mixed
# The daemon asks for more while its workers' own graces last (EXTEND_TIMEOUT_USEC=): this ends one that hangs.
TimeoutStopSec=60
# A worker takes about five descriptors. The usual soft limit of 1024 ends at some 160 workers.
LimitNOFILE=65536:524288
# journald drops what exceeds 10,000 entries in 30 s: fewer than 500 workers' set-ups. In a user's manager it is
# user@.service that has to say this.
LogRateLimitIntervalSec=0

# No hardening directives: sandboxes are built by namespaces, mounts and newuidmap, which NoNewPrivileges=,
# RestrictNamespaces=, ProtectProc= and their like take away. The sandboxes are the workers' hardening.

[Install]
WantedBy={target}
"""

USER_PROGRAM = "%h/.local/bin/nsvisor"  # where pipx and uv put it
SYSTEM_PROGRAM = "/usr/local/bin/nsvisor"


def quote(word: str) -> str:
    """One word of an Exec line, whatever it holds (systemd.service(5), "Command lines")."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if word.split() != [word] or set(word) & set("\"\\'; ") else word


def user_unit(program: str = USER_PROGRAM) -> str:
    """The unit for `systemctl --user`. `program` is the start of a command line, quoted."""
    return _UNIT.format(scope="--user ", ordering="", program=program, target="default.target")


def system_unit(program: str = SYSTEM_PROGRAM) -> str:
    """The unit for the system manager: the daemon runs as root on /etc/nsvisor."""
    return _UNIT.format(scope="", ordering="After=network.target\n", program=program, target="multi-user.target")
