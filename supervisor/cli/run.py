"""`nsvisor run`: one sandbox in the foreground, without a daemon."""

import os
from typing import Any

import click

from supervisor.cli.group import Settings

OURS, NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT, BY_SIGNAL = 125, 126, 127, 124, 128


@click.command("run", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("--worker", metavar="NAME", help="Run this worker of the configuration; options change it.")
@click.option("--bundle", metavar="DIR", help="Run what an OCI bundle says; options change it.")
@click.option("--set", "set_", multiple=True, metavar="KEY=VALUE", help="Any key of a worker: limits.memory=64MiB.")
@click.option("--hostname", metavar="NAME", help="The host name inside. Default: run.")
@click.option("--domainname", metavar="NAME", help="The NIS domain name inside.")
@click.option("--rootfs", metavar="DIR", help="A directory as the root. Default: a read-only view of the host.")
@click.option("--root", metavar="KEY=VALUE,…", help="Any root: kind=overlay,lower=A:B,upper=C or kind=tmpfs,writable.")
@click.option("--writable", is_flag=True, help="Let the sandbox write to --rootfs.")
@click.option("--bind", nargs=2, multiple=True, metavar="SOURCE TARGET", help="Bind a file or directory.")
@click.option("--ro-bind", nargs=2, multiple=True, metavar="SOURCE TARGET", help="The same, read-only.")
@click.option("--tmpfs", multiple=True, metavar="TARGET", help="Mount a tmpfs.")
@click.option("--mount", multiple=True, metavar="KEY=VALUE,…", help="Any mount: type=proc,target=/p,ro.")
@click.option("--secret", multiple=True, metavar="KEY=VALUE,…", help="A secret: id=db,source=FILE or id=db,env=NAME.")
@click.option("--sysctl", multiple=True, metavar="NAME=VALUE", help="A kernel setting of the new namespaces.")
@click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable, or pass the caller's on.")
@click.option("--keep-env", is_flag=True, help="Pass all variables on. Default: none.")
@click.option("--workdir", metavar="DIR", help="The working directory inside. Default: /.")
@click.option("--uid", metavar="USER", help="root (the default), self, a number or a name inside.")
@click.option("--gid", metavar="GROUP", help="The group: a number or a name inside. Default: that of --uid.")
@click.option("--group", multiple=True, metavar="GROUP", help="A supplementary group: a number or a name inside.")
@click.option("--auto-id", is_flag=True, help="Map ids of its own out of those of /etc/subuid: none is the caller's.")
@click.option("--uid-map", multiple=True, metavar="INSIDE:OUTSIDE:COUNT", help="Map user ids; needs --gid-map, too.")
@click.option("--gid-map", multiple=True, metavar="INSIDE:OUTSIDE:COUNT", help="Map group ids.")
@click.option("--keep-id", is_flag=True, help="Map the subordinate ids of /etc/subuid too, by newuidmap.")
@click.option("--net", metavar="MODE", help="none (loopback, the default), host, pasta, bridge, pid:N or path:FILE.")
@click.option("--publish", multiple=True, metavar="PORT", help="With --net pasta: [HOST_IP:]HOST_PORT[:PORT][/udp].")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="A name server of pasta or bridge. Default: the host's.")
@click.option("--join", multiple=True, metavar="NS=TARGET", help="Join a namespace: network=pid:N, uts=path:FILE, …")
@click.option("--keep-ns", multiple=True, metavar="NS", help="Keep the caller's namespace of this kind; no new one.")
@click.option("--cap", multiple=True, metavar="CAP", help="Keep a capability. Default: none.")
@click.option("--seccomp", metavar="PROFILE", help="default, off, or a file in OCI format.")
@click.option("--limit", multiple=True, metavar="NAME=VALUE", help="A limit: nofile=1024, memory=64MiB, nice=5, …")
@click.option("--no-init", is_flag=True, help="Make the command PID 1 itself; nothing forwards signals or reaps.")
@click.option("--pass-fd", multiple=True, type=int, metavar="N", help="Hand on a descriptor under its number.")
@click.option("--time-limit", metavar="TIME", help="End it after this time, such as 10s, with exit status 124.")
@click.option("--die-with-parent", is_flag=True, help="End with the process that started this one.")
@click.option("--status-fd", type=int, metavar="N", help="Write the first process's pid and the exit there, as JSON.")
@click.option("--log-phases", is_flag=True, help="Print each phase of the set-up to standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print the phases as JSON lines.")
@click.argument("command_line", metavar="[COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Run a command in a sandbox, in the foreground.

    With --worker and --bundle the command may be left out. What --set says comes before all other options.

    Exit status: the command's own, 128+n where signal n ended it, 124 where --time-limit did, 125 where the sandbox
    failed, 126 where the command cannot be executed, 127 where it is not there.
    """
    if not given["command_line"] and not given["worker"] and not given["bundle"]:
        raise click.UsageError("Missing argument 'COMMAND...'.", ctx)
    if given["worker"] and given["bundle"]:
        raise click.UsageError("--worker and --bundle exclude each other.", ctx)
    from supervisor.cli.run_extras import extras  # noqa: PLC0415  (a lazy verb, as all are)
    from supervisor.cli.run_options import worker_options  # noqa: PLC0415
    from supervisor.spec.errors import ConfigError  # noqa: PLC0415
    from supervisor.spec.load import find_config, load_options  # noqa: PLC0415
    from supervisor.spec.names import UnknownName  # noqa: PLC0415

    settings: Settings = ctx.obj
    try:
        more = extras(given)
        config = find_config(settings.config, os.environ, os.getuid()) if given["worker"] else None
        worker = load_options(worker_options(given, os.environ), config, os.environ)
    except (ConfigError, UnknownName) as error:
        click.echo(str(error), err=True)
        return OURS
    from supervisor.cli.run_foreground import run  # noqa: PLC0415

    return run(worker, more, log_phases=given["log_phases"], as_json=given["as_json"])
