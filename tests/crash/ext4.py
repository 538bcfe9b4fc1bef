"""The explorer's question put to a real ext4: what does the disk hold if power fails after this call?

A spool lives on a loop-mounted image whose journal commits only when it is told to (`commit=3000`). After every call
the image is read as the disk would be found then; each such cut is mounted, which replays its journal, and recovered.
`python -m tests.crash.ext4 [--full]` (as root) prints its figures in the last line; exit code 77 where it cannot run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.crash import quick_work
from tests.crash.ledger import Event, expectations
from tests.crash.life import Life
from tests.crash.lives import LIVES, life_of_a_drop
from tests.crash.random_life import random_life
from tests.crash.recovery import Recovery, fast_folder, judged, ready
from tests.crash.shim import CHANGES, Call, Shim

SIZE = 12 << 20
BLOCK = 4096
CANNOT = 77
"""The exit code of tests that are skipped (automake's)."""
RANDOM_LIVES = 6
QUICK_CUTS = 8


@dataclass
class Cut:
    """The disk after one call: the blocks that differ from the cut before, and how much was promised by then."""

    call: str
    blocks: dict[int, bytes]
    promises: int


class Camera:
    """A watcher that reads the image after every call that changes something."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self.first = self._last = image.read_bytes()
        self.cuts: list[Cut] = []
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._take(" ".join(event))

    def before(self, call: Call) -> None:
        pass

    def after(self, call: Call) -> None:
        if call.name in CHANGES:
            self._take(f"{call.name} {call.path} {call.target}")

    def _take(self, what: str) -> None:
        now, before = self._image.read_bytes(), self._last
        changed = {}
        if now != before:
            for at in range(0, len(now), BLOCK):
                if now[at : at + BLOCK] != before[at : at + BLOCK]:
                    changed[at] = now[at : at + BLOCK]
        self.cuts.append(Cut(what, changed, len(self.events)))
        self._last = now


@contextmanager
def mounted(image: Path, folder: Path, options: str = "") -> Iterator[Path]:
    """The image's file system at `folder`, which is made."""
    folder.mkdir(exist_ok=True)
    _run("mount", "-o", f"loop,commit=3000,noatime{options}", str(image), str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def made(folder: Path) -> Path:
    """A fresh ext4 in a file."""
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE)
    _run(
        "mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)
    )
    return image


def cuts_of(live: Callable[[Life], None], recovery: Recovery, chosen: int = 0) -> tuple[int, int, list[str]]:
    """Record a life and judge its cuts, `chosen` of them or all. Returns how many there were, how many differed (and
    were recovered), and what was wrong."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
        scratch = Path(name)
        image = made(scratch)
        camera = Camera(image)
        with mounted(image, scratch / "disk.d") as disk:
            _run("sync", "-f", str(disk))
            camera.first = camera._last = image.read_bytes()
            with Shim(disk, camera).installed():
                live(Life(disk / "spool", camera.tell, recovery))
        return _judge(camera, scratch, recovery, chosen)


def _judge(camera: Camera, scratch: Path, recovery: Recovery, chosen: int) -> tuple[int, int, list[str]]:
    distinct = [at for at, cut in enumerate(camera.cuts) if cut.blocks or _promised(camera.cuts, at)]
    picked = set(random.Random(0).sample(distinct, min(chosen, len(distinct))) if chosen else distinct)
    content = bytearray(camera.first)
    wrong = []
    for at, cut in enumerate(camera.cuts):
        for where, block in cut.blocks.items():
            content[where : where + BLOCK] = block
        if at in picked:
            copy = scratch / "cut"
            copy.write_bytes(content)
            with mounted(copy, scratch / "cut.d") as disk:
                try:
                    expected = expectations(camera.events[: cut.promises])
                    found = judged(recovery, disk / "spool", expected, quick_work.whole)
                except Exception as error:  # noqa: BLE001 - told with the cut that led to it
                    found = [f"{type(error).__name__}: {error}"]
            wrong += [f"cut after {cut.call}: {text}" for text in found]
    return len(camera.cuts), len(picked), wrong


def _promised(cuts: list[Cut], at: int) -> bool:
    return at > 0 and cuts[at].promises != cuts[at - 1].promises


def possible() -> str:
    """Why it cannot run here; empty where it can."""
    if os.geteuid():
        return "mounting takes root"
    missing = [name for name in ("mkfs.ext4", "mount", "umount", "unshare") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed"
    try:
        with tempfile.TemporaryDirectory() as name, mounted(made(Path(name)), Path(name) / "trial"):
            return ""
    except subprocess.CalledProcessError as error:
        return f"no loop mount: {error.stderr.decode().strip()}"


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="every life, every cut")
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if not given.inside and not os.geteuid() and shutil.which("unshare"):
        # In a mount namespace of its own, so that nothing stays mounted however this ends.
        again = ["unshare", "--mount", sys.executable, "-m", "tests.crash.ext4", *sys.argv[1:], "--inside"]
        os.execvp(again[0], again)
    if why := possible():
        print(f"crash-ext4: skipped: {why}")
        return CANNOT
    lives: list[Callable[[Life], None]] = [life_of_a_drop]
    if given.full:
        lives = [*LIVES, *(partial(random_life, seed=1000 + at) for at in range(RANDOM_LIVES))]
    taken = recovered = 0
    wrong: list[str] = []
    with ready() as recovery:
        for live in lives:
            all_of_them, some, bad = cuts_of(live, recovery, 0 if given.full else QUICK_CUTS)
            taken += all_of_them
            recovered += some
            wrong += bad
    for text in wrong:
        print(text)
    print(
        f"crash-ext4: {len(lives)} lives, {taken} cuts, {recovered} of them distinct, mounted and recovered, "
        f"{len(wrong)} violations"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
