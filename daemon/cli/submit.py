"""`protoscale submit`: queue photos, wait, fetch the results."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from daemon.cli import exits
from daemon.cli.names import short
from daemon.cli.progress import Line
from spool import layout, lock, picture
from spool.errors import InvalidRequest, SpoolFull
from spool.job import Job, Request
from spool.settings import SpoolSettings, read, room_left
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look

POLL = 0.1


def run(options: argparse.Namespace) -> int:
    """Queue every file, then wait for all of them unless told not to."""
    settings = read(SpoolSettings)
    spool = Spool.open(settings.spool)
    if options.no_wait and options.out:
        raise InvalidRequest("--out needs the results, and --no-wait does not wait for them; leave one out")
    if not room_left(spool.root, settings.reserve):
        raise SpoolFull(f"less than PROTOSCALE_RESERVE is free under {spool.root}; delete jobs or free space")
    jobs = [queue(spool, file, options) for file in options.files]
    if options.no_wait:
        if options.json:
            print(json.dumps([look(spool, job.id) for job in jobs], indent=2))
        else:
            for job in jobs:
                print(job.id)
        return exits.OK
    if not lock.is_held(spool.root):
        names = " ".join(short(job.id) for job in jobs)
        print(f"queued and safe ({names}), but nobody works here: start `protoscale run`", file=sys.stderr)
        return exits.NO_SERVICE
    return _wait_for_all(spool, jobs, options)


def queue(spool: Spool, file: Path, options: argparse.Namespace) -> Job:
    """Copy `file` into a new job in the inbox. Raises InvalidRequest for what is no picture."""
    try:
        with file.open("rb") as source:
            suffix = picture.suffix_of(source.read(picture.HEAD))
            source.seek(0)
            if suffix is None:
                raise InvalidRequest(f"{file} is not a picture: its content is none of {picture.ACCEPTED}")
            request = Request.new(
                source="cli",
                name=file.name,
                suffix=suffix,
                quality=options.quality,
                seed=options.seed,
                remove_bg=not options.keep_background,
                allow_lower=options.allow_lower,
            )
            draft = spool.draft(request)
            try:
                with draft.input.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                return draft.publish(layout.INBOX)
            except BaseException:
                draft.discard()
                raise
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be queued: {error.strerror}") from None


def _wait_for_all(spool: Spool, jobs: list[Job], options: argparse.Namespace) -> int:
    told = []
    for job in jobs:
        end = wait(spool, job.id)
        told.append(end)
        if end["status"] == COMPLETED and options.out:
            fetch(spool, job.id, options.out / Path(end["name"]).stem)
        if not options.json:
            _say(spool, end, options.out)
    if options.json:
        print(json.dumps(told, indent=2))
    return exits.OK if all(end["status"] == COMPLETED for end in told) else exits.FAILED


def _say(spool: Spool, end: dict[str, Any], out: Path | None) -> None:
    if end["status"] == GIVEN_UP:
        print(f"{end['name']}: {end['error']}", file=sys.stderr)
        return
    for note in end["notes"]:
        print(f"{end['name']}: {note}", file=sys.stderr)
    folder = out / Path(end["name"]).stem if out else spool.find(end["job_id"]).job.path
    print(folder / layout.MODEL_GLB)


def wait(spool: Spool, job_id: str) -> dict[str, Any]:
    """Show a job's progress until it ends, and return its last status."""
    line = Line()
    while True:
        told = look(spool, job_id)
        waits = f"waiting, number {told['queue_position']}" if told["queue_position"] else told["message"]
        line.show(told["progress"], told["stage"], f"{told['name']}: {waits}")
        if told["status"] in (COMPLETED, GIVEN_UP):
            line.end()
            return told
        time.sleep(POLL)


def fetch(spool: Spool, job_id: str, folder: Path) -> list[Path]:
    """Copy a finished job's products into `folder` (made if needed); returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in layout.PRODUCTS:
        try:
            source = spool.open_file(job_id, name)
        except FileNotFoundError:
            continue
        with source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        copied.append(folder / name)
    return copied
