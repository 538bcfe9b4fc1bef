"""`queue`, `pause`, `resume`, `prioritise`: the queue as a whole, and who goes first in it."""

from __future__ import annotations

import argparse
import getpass
import json
from contextlib import suppress

from daemon.cli import exits
from daemon.cli.names import resolve, short
from spool import pause, queue
from spool.command import typed
from spool.escape import escaped
from spool.pause import Pause
from spool.settings import SpoolSettings, read
from spool.spool import Spool


def run(options: argparse.Namespace) -> int:
    """Dispatch one of the four."""
    spool = Spool.open(read(SpoolSettings).spool)
    if options.command == "queue":
        return _queue(spool, options.first, options.json)
    if options.command == "pause":
        return _pause(spool, options.reason)
    if options.command == "resume":
        return _resume(spool)
    return _prioritise(spool, options.priority, options.jobs)


def _queue(spool: Spool, first: int, as_json: bool) -> int:
    seen = queue.told(spool, first)
    if as_json:
        print(json.dumps(seen, indent=2))
        return exits.OK
    if held := pause.paused(spool.root):
        print(in_words(held))
    counts = seen["counts"]
    print(", ".join(f"{name} {count}" for name, count in counts.items()) + _until(seen["all_done"]))
    rows = [(f"on {row['worker']}", row) for row in seen["running"]]
    rows += [(f"number {row['position']}", row) for row in seen["waiting"]]
    if rows:
        print(f"{'JOB':<9} {'STAGE':<9} {'WHERE':<18} {'PRIORITY':<8} {'STARTS IN':>9} {'READY IN':>9}  NAME")
    for where, row in rows:
        times = row["estimate"] or {"start": None, "finish": None}
        print(
            f"{short(row['job_id']):<9} {row['stage']:<9} {where:<18} {row['priority']:<8} "
            f"{span(times['start']):>9} {span(times['finish']):>9}  {escaped(row['name'])}"
        )
    return exits.OK


def _until(seconds: float | None) -> str:
    return f"; all ready in {span(seconds)}" if seconds is not None else ""


def span(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _pause(spool: Spool, reason: str) -> int:
    before = pause.paused(spool.root)
    held = pause.pause(spool.root, _who(), reason)
    print(f"{'already ' if before else ''}{in_words(held)}; uploads are taken, {typed('resume')} goes on")
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
