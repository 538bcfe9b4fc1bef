"""`queue`, `pause`, `resume`, `prioritise`: the queue as a whole, and who goes first in it."""

from __future__ import annotations

import argparse
import getpass
from contextlib import suppress

from daemon.cli import exits
from daemon.cli.names import resolve, short
from spool import pause
from spool.pause import Pause
from spool.settings import SpoolSettings, read
from spool.spool import Spool


def run(options: argparse.Namespace) -> int:
    """Dispatch one of the four."""
    spool = Spool.open(read(SpoolSettings).spool)
    if options.command == "pause":
        return _pause(spool, options.reason)
    if options.command == "resume":
        return _resume(spool)
    return _prioritise(spool, options.priority, options.jobs)


def _pause(spool: Spool, reason: str) -> int:
    before = pause.paused(spool.root)
    held = pause.pause(spool.root, _who(), reason)
    print(f"{'already ' if before else ''}{in_words(held)}; uploads are taken, `protoscale resume` goes on")
    return exits.OK


def _resume(spool: Spool) -> int:
    was = pause.paused(spool.root)
    pause.resume(spool.root)
    print("the queue goes on" if was else "the queue was not paused")
    return exits.OK


def _prioritise(spool: Spool, wanted: str, names: list[str]) -> int:
    for name in names:
        job_id = resolve(spool, name)
        spool.prioritise(job_id, wanted)
        print(f"{short(job_id)} has priority {wanted}")
    return exits.OK


def in_words(held: Pause) -> str:
    """A pause in a sentence without an end."""
    since = f" since {held.since}" if held.since else ""
    by = f" by {held.by}" if held.by else ""
    return f"the queue is paused{since}{by}" + (f": {held.reason}" if held.reason else "")


def _who() -> str:
    with suppress(OSError, KeyError):  # a user id that nobody gave a name
        return f"cli:{getpass.getuser()}"
    return "cli"
