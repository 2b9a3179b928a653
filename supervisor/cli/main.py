"""The command `nsvisor`."""

from __future__ import annotations

import errno
import io
import os
import sys

from supervisor import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OK, FAILED, USAGE, UNKNOWN_NAME, NO_DAEMON = range(5)
INTERRUPTED = 130
OWN_STATUS = 125  # of `run` and `exec`, whose lower ones are the command's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status.

    0 done, 1 failed, 2 wrong usage, 3 no such worker, 4 no daemon (`run` and `exec` have their own, see their help).
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if words == ["--version"]:
        print(f"nsvisor {__version__}")
        return OK
    if "_NSVISOR_COMPLETE" in os.environ:
        from supervisor.cli import completing  # noqa: PLC0415

        if (offered := completing.answer()) is not None:
            sys.stdout.write(offered)
            return OK
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the locale cannot write is escaped
            stream.reconfigure(errors="backslashreplace")
    import click  # noqa: PLC0415 30 ms that --version need not pay

    from supervisor.cli.group import cli  # noqa: PLC0415

    try:
        outcome = cli.main(words, prog_name="nsvisor", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "nsvisor"
        print(f"cannot run `{command}`: {error.format_message()} (see `{command} --help`)", file=sys.stderr)
        return OWN_STATUS if error.ctx is not None and error.ctx.command.name in ("run", "exec") else USAGE
    except click.ClickException as error:
        print(error.format_message(), file=sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # the reader has gone (`| head`)
        _discard_output()
        return FAILED
    except Exception as error:
        status = _expected(error)
        if status is None and isinstance(error, OSError) and _is_of_output(error):
            _discard_output()
            print(f"cannot write to standard output: {error.strerror}", file=sys.stderr)
            return FAILED
        if status is None:
            raise
        print(error, file=sys.stderr)
        return status
    return outcome if isinstance(outcome, int) else OK


def _is_of_output(error: OSError) -> bool:
    """Whether a `print` of ours ran into a full disk, or a device that is gone."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    module = at.tb_frame.f_globals.get("__name__", "") if at is not None else ""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    return error.errno in full and error.filename is None and module.startswith(("supervisor.cli.", "click.", "rich."))


def _discard_output() -> None:
    """Python would complain once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


def _expected(error: Exception) -> int | None:
    """The exit status of a failure that its own words explain; None for a fault of ours."""
    from supervisor.control.failures import ControlError, NoDaemon, Refused  # noqa: PLC0415
    from supervisor.spec.names import UnknownName  # noqa: PLC0415

    if isinstance(error, NoDaemon):
        return NO_DAEMON
    if isinstance(error, UnknownName) or (isinstance(error, Refused) and error.view.code == "unknown_name"):
        return UNKNOWN_NAME
    if isinstance(error, ControlError):
        return FAILED
    from supervisor.spec.errors import ConfigError  # noqa: PLC0415

    return FAILED if isinstance(error, ConfigError) else None
