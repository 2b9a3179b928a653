"""`nsvisor run`: one sandbox in the foreground, without a daemon."""

import os
import sys

import click

OURS, NOT_EXECUTABLE, NOT_FOUND, BY_SIGNAL = 125, 126, 127, 128


@click.command("run", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("--hostname", metavar="NAME", help="The host name inside. Default: run.")
@click.option("--domainname", metavar="NAME", help="The NIS domain name inside.")
@click.option("--rootfs", metavar="DIR", help="A directory as the root. Default: a read-only view of the host.")
@click.option("--root", metavar="KEY=VALUE,…", help="Any root: kind=overlay,lower=A:B,upper=C or kind=tmpfs,writable.")
@click.option("--writable", is_flag=True, help="Let the sandbox write to --rootfs.")
@click.option("--bind", nargs=2, multiple=True, metavar="SOURCE TARGET", help="Bind a file or directory.")
@click.option("--ro-bind", nargs=2, multiple=True, metavar="SOURCE TARGET", help="The same, read-only.")
@click.option("--tmpfs", multiple=True, metavar="TARGET", help="Mount a tmpfs.")
@click.option(
    "--mount", multiple=True, metavar="KEY=VALUE,…", help="Any mount: type=proc,target=/p,ro,hidepid=invisible."
)
@click.option("--secret", multiple=True, metavar="KEY=VALUE,…", help="A secret: id=db,source=FILE or id=db,env=NAME.")
@click.option("--sysctl", multiple=True, metavar="NAME=VALUE", help="A kernel setting of the new namespaces.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set a variable; none is passed on.")
@click.option("--workdir", metavar="DIR", default="/", help="The working directory inside.")
@click.option("--uid", metavar="USER", default="root", show_default=True, help="root, self, a number or a name inside.")
@click.option("--gid", metavar="GROUP", help="The group: a number or a name inside. Default: that of --uid.")
@click.option("--group", multiple=True, metavar="GROUP", help="A supplementary group: a number or a name inside.")
@click.option("--auto-id", is_flag=True, help="Map ids of its own out of those of /etc/subuid: none is the caller's.")
@click.option("--uid-map", multiple=True, metavar="INSIDE:OUTSIDE:COUNT", help="Map user ids; needs --gid-map, too.")
@click.option("--gid-map", multiple=True, metavar="INSIDE:OUTSIDE:COUNT", help="Map group ids.")
@click.option("--keep-id", is_flag=True, help="Map the subordinate ids of /etc/subuid too, by newuidmap.")
@click.option("--net", metavar="MODE", help="none (loopback only, the default), host, pasta, pid:N or path:FILE.")
@click.option("--publish", multiple=True, metavar="PORT", help="With --net pasta: [HOST_IP:]HOST_PORT[:PORT][/udp].")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="With --net pasta: a name server. Default: the host's.")
@click.option("--join", multiple=True, metavar="NS=TARGET", help="Join a namespace: network=pid:N, uts=path:FILE, …")
@click.option("--keep-ns", multiple=True, metavar="NS", help="Keep the caller's namespace of this kind; no new one.")
@click.option("--cap", multiple=True, metavar="CAP", help="Keep a capability. Default: none.")
@click.option("--seccomp", metavar="PROFILE", help="default, off, or a file in OCI format.")
@click.option("--limit", multiple=True, metavar="NAME=VALUE", help="A resource limit: nofile=1024, core=0, …")
@click.option("--no-init", is_flag=True, help="Make the command PID 1 itself; nothing forwards signals or reaps.")
@click.option("--log-phases", is_flag=True, help="Print each phase of the set-up to standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print the phases as JSON lines.")
@click.argument("command_line", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    *,
    hostname: str | None,
    domainname: str | None,
    rootfs: str | None,
    root: str | None,
    writable: bool,
    bind: tuple[tuple[str, str], ...],
    ro_bind: tuple[tuple[str, str], ...],
    tmpfs: tuple[str, ...],
    mount: tuple[str, ...],
    secret: tuple[str, ...],
    sysctl: tuple[str, ...],
    env: tuple[str, ...],
    workdir: str,
    uid: str,
    gid: str | None,
    group: tuple[str, ...],
    auto_id: bool,
    uid_map: tuple[str, ...],
    gid_map: tuple[str, ...],
    keep_id: bool,
    net: str | None,
    publish: tuple[str, ...],
    dns: tuple[str, ...],
    join: tuple[str, ...],
    keep_ns: tuple[str, ...],
    cap: tuple[str, ...],
    seccomp: str | None,
    limit: tuple[str, ...],
    no_init: bool,
    log_phases: bool,
    as_json: bool,
    command_line: tuple[str, ...],
) -> int:
    """Run a command in a sandbox, in the foreground.

    Exit status: the command's own, 128+n where signal n ended it, 125 where the sandbox failed, 126 where the command
    cannot be executed, 127 where it is not there.
    """
    from supervisor.cli import run_options as options  # noqa: PLC0415  (a lazy verb, as all are)

    try:
        spaces, network = options.namespaces(join, keep_ns, net)
        mounts: list[dict[str, object]] = []
        mounts += [{"type": "bind", "source": source, "target": target} for source, target in bind]
        mounts += [
            {"type": "bind", "source": source, "target": target, "options": ["ro"]} for source, target in ro_bind
        ]
        mounts += [{"type": "tmpfs", "target": target} for target in tmpfs]
        mounts += [options.table(words, "--mount") for words in mount]
        root_table = options.root(root, rootfs, writable=writable)
        limits = {
            key: int(value) if value.isdigit() else value for key, value in options.pairs(limit, "--limit").items()
        }
        worker = options.worker(
            {
                "command": command_line,
                "hostname": hostname,
                "domainname": domainname,
                "working_dir": workdir,
                "user": int(uid) if uid.isdigit() else uid,
                "group": int(gid) if gid is not None and gid.isdigit() else gid,
                "groups": [int(word) if word.isdigit() else word for word in group] or None,
                "id_map": "auto" if auto_id else "keep-id" if keep_id else None,
                "uid_map": uid_map or None,
                "gid_map": gid_map or None,
                "env": options.pairs(env, "--env"),
                "rootfs": root_table,
                "namespaces": spaces,
                "network": {"mode": network, "publish": publish, "dns": dns},
                "mounts": mounts,
                "secrets": [options.table(words, "--secret") for words in secret],
                "sysctls": options.pairs(sysctl, "--sysctl"),
                "security": {"capabilities": cap, **({"seccomp": seccomp} if seccomp else {})},
                "limits": limits,
                "init": not no_init,
            },
            os.environ,
        )
    except options.OptionError as error:
        print(error, file=sys.stderr)
        return OURS
    from supervisor.cli.run_foreground import run  # noqa: PLC0415

    return run(worker, log_phases=log_phases, as_json=as_json)
