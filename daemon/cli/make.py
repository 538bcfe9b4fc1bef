"""`protoscale make`: one photo to one model, in this process, with no service running."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.cli import exits
from daemon.cli.progress import Line
from daemon.cli.results import fetch, folder_for, prepared
from daemon.cli.submit import queue
from daemon.cli.waiting import has_ended
from daemon.config import Config
from spool import layout
from spool.room import check_room
from spool.settings import read
from spool.spool import Spool
from spool.status import Status
from spool.view import GIVEN_UP, look

if TYPE_CHECKING:
    from daemon.worker import Worker


def run(options: argparse.Namespace) -> int:
    """Run the stages over a job in a spool of its own, which is gone once the results are out of it.

    The worker is the one of the service, so everything it does with a job happens here too.
    """
    from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post, present
    from daemon.engines.choose import DEVICES, build, chosen
    from daemon.process import see_only
    from daemon.pulse import Pulse
    from daemon.worker import Worker

    config = read(Config)
    usable = [device for device in present() if device.partition(":")[0] in DEVICES[chosen(config)]]
    post = Post("make", usable[0], (*TEXTURE_STAGES, *GEOMETRY_STAGES))
    see_only(post.device)
    engine = build(config, post)
    engine.check()
    line = Line()

    class Watched(Pulse):
        """A pulse that shows each step to the person who waits."""

        def step(self) -> None:
            super().step()
            held = spool.waiting(f"{layout.RUNNING}/{post.name}")
            status = Status.read(spool.root / layout.RUNNING / post.name / held[0]) if held else Status()
            line.show(status.progress, status.stage or "cutout", status.message)

    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="protoscale-")
        stack.callback(shutil.rmtree, folder)
        spool = Spool.open(Path(folder))
        spool.enlist(post.name)
        job = queue(spool, options.file, options)
        out = stack.enter_context(prepared(options.out or folder_for(options.file)))
        worker = Worker(spool, config, post, engine, Watched())
        try:
            told = _work_on(worker, job.id)
        finally:
            line.end()
        if told["status"] == GIVEN_UP:
            print(f"protoscale: {told['error']}", file=sys.stderr)
            return exits.FAILED
        try:
            paths = fetch(spool, job.id, out)
        except OSError as error:
            stack.pop_all()  # what was made stays where it is
            made = spool.find(job.id).job.path
            why = f"{error.filename or out} cannot be written: {error.strerror}"
            print(f"protoscale: {why}; the results lie in {made}", file=sys.stderr)
            return exits.FAILED
    return _told(told, paths, options.json)


def _work_on(worker: Worker, job_id: str) -> dict[str, Any]:
    """Until the job is done or given up; after an error it rests between two attempts. Raises SpoolFull."""
    while not has_ended(told := look(worker.spool, job_id)):
        check_room(worker.spool.root, worker.config.reserve)
        if not worker.step():
            worker.rest()
    return told


def _told(told: dict[str, Any], paths: list[Path], as_json: bool) -> int:
    if as_json:
        print(json.dumps({**told, "files": [str(path.absolute()) for path in paths]}, indent=2))
        return exits.OK
    for note in told["notes"]:
        print(f"note: {note}", file=sys.stderr)
    for path in paths:
        print(path)
    return exits.OK
