"""`make demo`: start the service, drop one photo into its inbox as a user would, show what comes out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageOps

from daemon.cli.progress import Line
from daemon.contact_sheet import contact_sheet
from spool import layout
from spool.board import Board
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
LOG = FOLDER / "service.log"
PATIENCE = 300.0
T = TypeVar("T")


def main(photo: Path) -> int:
    """Run the demo. Returns 0 when a model was made."""
    if not photo.is_file():
        print(f"there is no file {photo}; try: make demo IMAGE=photo.jpg", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    spool = Spool.open(FOLDER / "spool")
    began = time.monotonic()
    with service(spool) as process:
        wait_for(lambda: ready(spool), "the service to start", process)
        known = {found.job.id for found in spool.newest(10_000)}
        print(f"the service runs; dropping {photo} into {spool.root / layout.INBOX}", flush=True)
        dropped = time.monotonic()
        shutil.copyfile(photo, spool.root / layout.INBOX / photo.name)
        job_id = wait_for(lambda: fresh(spool, known), "the photo to be taken", process)
        told = follow(spool, job_id)
        seconds = time.monotonic() - dropped
    if told["status"] == GIVEN_UP:
        print(f"no model: {told['error']}", file=sys.stderr)
        return 1
    show(spool.root / layout.DONE / job_id, told, seconds, dropped - began)
    return 0


@contextmanager
def service(spool: Spool) -> Iterator[subprocess.Popen[bytes]]:
    """`protoscale run` on the demo's own spool; drained at the end, killed if that takes too long."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "PROTOSCALE_SPOOL": str(spool.root), "PROTOSCALE_PORT": str(port)}
    with LOG.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli", "run"], env=environ, cwd=ROOT, stderr=file
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()  # its children die with it
            process.wait()


def wait_for(what: Callable[[], T], words: str, process: subprocess.Popen[bytes]) -> T:
    """Poll until `what` gives something; tell the end of the log when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit(f"waited in vain for {words}; the service said:\n{LOG.read_text()[-3000:]}")
        time.sleep(0.05)
    return found


def ready(spool: Spool) -> bool:
    """Whether every worker has passed its check."""
    board = Board.read(spool.root)
    return board is not None and all(slot.state in ("idle", "busy") for slot in board.workers)


def fresh(spool: Spool, known: set[str]) -> str:
    """The id of the job that was not there before."""
    return next((found.job.id for found in spool.newest(10) if found.job.id not in known), "")


def follow(spool: Spool, job_id: str) -> dict[str, Any]:
    """Show the progress of one job until it ends."""
    line = Line(sys.stdout)
    while True:
        told = look(spool, job_id)
        line.show(told["progress"], told["stage"], told["message"])
        if told["status"] in (COMPLETED, GIVEN_UP):
            line.end()
            return told
        time.sleep(0.05)


def show(done: Path, told: dict[str, Any], seconds: float, start: float) -> None:
    """Draw the contact sheet and print where everything is."""
    facts = json.loads((done / layout.ANALYSIS).read_text())
    size = " x ".join(f"{side:.2f}" for side in facts["dimensions_m"])
    caption = (
        f"{told['name']}: engine {facts['engine']}, quality {facts['quality']}, {facts['faces']:,} faces, "
        f"{'watertight' if facts['watertight'] else 'not watertight'}, {size} m, {seconds:.1f} s"
    )
    with Image.open(next(done.glob("input.*"))) as photo, Image.open(done / layout.CUTOUT_PNG) as cutout:
        views = [Image.open(done / name) for name in layout.VIEWS]
        sheet = contact_sheet(ImageOps.exif_transpose(photo), cutout, views, caption)
    sheet.save(done / "contact_sheet.png")
    for note in told["notes"]:
        print(f"note: {note}")
    print(f"{caption} (and {start:.1f} s to start the service)")
    for name in (layout.MODEL_GLB, *layout.VIEWS, "contact_sheet.png"):
        print(done / name)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "examples" / "coffee.png"))
