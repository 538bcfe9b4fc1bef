"""`protoscale`: each command, and the one place where errors become exit codes.

What a command needs is imported by the command itself, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from daemon.cli import exits
from daemon.cli.parser import parser
from daemon.errors import DaemonError
from spool import rights
from spool.errors import InvalidRequest, NoSuchJob, SpoolError, SpoolFull, SpoolUnusable, WrongState
from spool.logs import complain
from spool.settings import SpoolSettings, WrongSetting, read


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(argv)
    _print_any_name()
    spool = options.spool and options.spool.absolute()
    try:
        if options.service:
            from daemon.cli import stead

            stead.take(options.command)
        if spool:
            os.environ["PROTOSCALE_SPOOL"] = str(spool)
        from daemon.cli.package import check_ours

        check_ours()
        return _command(options)
    except KeyboardInterrupt:
        print("protoscale: interrupted; what was queued stays queued", file=sys.stderr)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except (SpoolError, DaemonError) as error:
        complain(str(error))
        return _code(error)
    except OSError as error:
        from daemon.cli.refusal import refusal

        # A service that an error ends is started again, which that code would forbid, and its log has the traceback.
        refused = None if options.command in ("run", "serve") else refusal(error)
        if refused is None:
            raise
        complain(refused[0])
        return refused[1]


def _print_any_name() -> None:
    """A photo may be called anything, also what the terminal's encoding has no letters for: that is no reason to end.

    A file name that is no text goes out as the bytes it is, so that a script finds the file.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        is_utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _code(error: SpoolError | DaemonError) -> int:
    from daemon.errors import BadJob, EngineError

    if isinstance(error, NoSuchJob):
        return exits.NO_SUCH_JOB
    if isinstance(error, WrongState):
        return exits.WRONG_STATE
    if isinstance(error, SpoolFull):
        return exits.TEMPORARY
    if isinstance(error, (WrongSetting, SpoolUnusable)):
        return exits.CONFIG
    if isinstance(error, InvalidRequest):
        return exits.USAGE
    if isinstance(error, (BadJob, EngineError, SpoolError)):
        return exits.FAILED
    return exits.CONFIG


def _command(options: argparse.Namespace) -> int:
    name: str = options.command
    if name in ("run", "serve", "webhooks"):
        from daemon.cli import service

        if options.log_format:
            os.environ["PROTOSCALE_LOG_FORMAT"] = options.log_format
        if name == "run":
            return service.run(options.no_http)
        service.serve(options.no_webhooks) if name == "serve" else service.webhooks()
    if name == "submit":
        from daemon.cli import submit

        return submit.run(options)
    if name == "make":
        from daemon.cli import make

        return make.run(options)
    if name == "export":
        from daemon.cli import export

        return export.run(options)
    if name == "models":
        from daemon.cli import models

        return models.run(options)
    if name == "install-systemd":
        from daemon.cli import systemd

        return systemd.run(options)
    if name == "mcp":
        from daemon.cli import mcp

        return mcp.run()
    if name == "doctor":
        from daemon.cli import doctor

        return doctor.run(options.json, options.gpu)
    work = _in_the_spool(name)
    # All of it is imported by now: the spool's owner need not be able to read this installation.
    with rights.of_owner(read(SpoolSettings).spool):
        return work(options)


def _in_the_spool(name: str) -> Callable[[argparse.Namespace], int]:
    """The command `name`, one of those that touch nothing outside the spool."""
    if name == "keys":
        from daemon.cli import keys

        return keys.run
    if name == "cluster":
        from daemon.cli import cluster

        return cluster.run
    if name in ("queue", "pause", "resume", "prioritise"):
        from daemon.cli import queue

        return queue.run
    from daemon.cli import jobs

    return jobs.run


if __name__ == "__main__":
    sys.exit(main())
