"""`status`, `ls`, `cancel`, `retry`, `rm`: looking at jobs and changing them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from daemon.cli import exits
from daemon.cli.names import resolve, short
from daemon.cli.queue import in_words, span
from spool import command, layout
from spool.board import Board
from spool.escape import escaped
from spool.pause import paused
from spool.priority import NORMAL
from spool.reader import Found
from spool.settings import SpoolSettings, read
from spool.spool import Spool
from spool.view import look, summary


def run(options: argparse.Namespace) -> int:
    """Dispatch one of the five."""
    spool = Spool.open(read(SpoolSettings).spool)
    if options.command == "ls":
        return _ls(spool, options.limit, options.tag, options.json)
    if options.command == "status":
        return _job(spool, options.job, options.json) if options.job else _service(spool, options.json)
    return _change(spool, options.command, options.jobs)


def _change(spool: Spool, command: str, names: list[str]) -> int:
    for name in names:
        job_id = resolve(spool, name)
        if command == "rm":
            spool.remove(job_id)
            print(f"{short(job_id)} deleted")
            continue
        found = spool.cancel(job_id) if command == "cancel" else spool.retry(job_id)
        if command == "retry":
            print(f"{short(job_id)} queued again")
        else:
            running = found.folder == layout.RUNNING
            print(f"{short(job_id)} " + ("stops at its next step" if running else "cancelled"))
    return exits.OK


def _ls(spool: Spool, limit: int, tag: str | None, as_json: bool) -> int:
    rows = [summary(found) for found in (tagged(spool, tag, limit) if tag else spool.newest(limit))]
    if as_json:
        print(json.dumps(rows, indent=2))
        return exits.OK
    if not rows:
        what = f"no jobs with the tag {tag!r}" if tag else "no jobs"
        print(f"{what} in {spool.root}; copy an image into {spool.root / layout.INBOX}")
        return exits.OK
    print(f"{'JOB':<9} {'STATUS':<10} {'STAGE':<9} {'DONE':>5}  {'QUALITY':<8} {'AGE':>5}  NAME")
    for row in rows:
        print(
            f"{short(row['job_id']):<9} {row['status']:<10} {row['stage']:<9} {row['progress']:>4.0f}%"
            f"  {row['quality']:<8} {_age(row['created_at']):>5}  {escaped(row['name'])}"
        )
    return exits.OK


def tagged(spool: Spool, tag: str, limit: int) -> list[Found]:
    """Up to `limit` jobs with a tag, newest first, however far back they are."""
    found: list[Found] = []
    before: str | None = None
    while True:
        page, before = spool.tagged(tag, limit - len(found), before)
        found += page
        if before is None or len(found) == limit:
            return found


def _job(spool: Spool, name: str, as_json: bool) -> int:
    told = look(spool, resolve(spool, name))
    if as_json:
        print(json.dumps(told, indent=2))
        return exits.OK
    for line in job_lines(spool, told):
        print(line)
    return exits.OK


def job_lines(spool: Spool, told: dict[str, Any]) -> list[str]:
    """A status object in words, each line one line whatever the names and errors in it hold."""
    lines = [
        f"{told['name']} ({told['job_id']})",
        f"  {told['status']}, {told['stage']}, {told['progress']:.0f} %: {told['error'] or told['message']}",
        f"  quality {told['quality']}, seed {told['seed']}, from {told['source']}, {_age(told['created_at'])} ago"
        + (f", engine {told['engine']}" if told["engine"] else ""),
    ]
    if told["queue_position"]:
        priority = f", priority {told['priority']}" if told["priority"] != NORMAL else ""
        lines.append(f"  number {told['queue_position']} of those that wait for {told['stage']}{priority}")
        if held := paused(spool.root):
            lines.append(f"  {in_words(held)}")
    if told["estimate"]:
        starts, ready = span(told["estimate"]["start"]), span(told["estimate"]["finish"])
        lines.append(f"  {f'starts in {starts}, ' if told['queue_position'] else ''}ready in {ready}")
    if told["tags"]:
        lines.append(f"  tags: {', '.join(told['tags'])}")
    if told["timings"]:
        lines.append(
            "  " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in told["timings"].items())
        )
    lines += [f"  note: {note}" for note in told["notes"]]
    lines.append(f"  in {spool.find(told['job_id']).job.path}")
    return [escaped(line) for line in lines]


def _service(spool: Spool, as_json: bool) -> int:
    board = Board.read(spool.root)
    folders = (layout.HELD, layout.INBOX, layout.GEOMETRY, layout.TEXTURE, layout.DONE, layout.FAILED)
    counts = {folder: len(spool.waiting(folder)) for folder in folders}
    counts[layout.RUNNING] = sum(len(spool.waiting(f"{layout.RUNNING}/{name}")) for name in spool.workers())
    held = paused(spool.root)
    if as_json:
        told = {
            "supervisor": asdict(board) if board else None,
            "jobs": counts,
            "paused": asdict(held) if held else None,
        }
        print(json.dumps(told, indent=2))
    else:
        print(f"spool {spool.root}")
        if held:
            print(f"  {in_words(held)}")
        print("  " + ", ".join(f"{folder} {count}" for folder, count in counts.items()))
        for slot in board.workers if board else ():
            doing = f", {slot.stage} of {short(slot.job)}" if slot.job else ""
            where = f"{slot.device} of {slot.node}" if slot.node else slot.device
            print(f"  {slot.name} ({where}): {slot.state}{doing}, busy {slot.busy_share:.0%}")
        for note in board.notes if board else ():
            print(f"  note: {note}")
    if board is None:
        print(f"no supervisor runs on this spool; start {command.started()}", file=sys.stderr)
        return exits.NO_SERVICE
    return exits.OK


def _age(created: str) -> str:
    seconds = max(0.0, (datetime.now(timezone.utc) - datetime.fromisoformat(created)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
