"""The inbox: files that people drop become jobs once they are complete.

People copy, move, rsync, and save from browsers; they drop folders, the same picture twice, and names of every
kind. One scan looks at everything there and decides; file events only say when to look.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.lease import being_written
from spool import layout, picture, rights
from spool.draft import adopt, resume_adoptions, spare
from spool.ids import is_job_id
from spool.job import Job, Request
from spool.line import PATIENCE
from spool.spool import Spool

log = logging.getLogger(__name__)

UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".swp", ".opdownload")
MAX_DEPTH = 8
_RIGHTS = (errno.EACCES, errno.EPERM)
OPEN_PATIENCE = 20
"""A file that somebody keeps open for writing is taken after standing still this many settle times."""


@dataclass(frozen=True)
class Sight:
    """How a file looked, and since when (monotonic seconds) it has looked so."""

    size: int
    changed: int
    since: float


class Inbox:
    """Looks at `inbox/` again and again. What it remembers between looks only tells growing from resting."""

    def __init__(self, spool: Spool, settle: float, quality: str = layout.DEFAULT_QUALITY) -> None:
        self._spool = spool
        self._settle = settle
        self._quality = quality
        self._root = spool.root / layout.INBOX
        self._sights: dict[Path, Sight] = {}
        self._closed: set[Path] = set()
        self._told: dict[Path, str] = {}
        self._folders: dict[Path, tuple[int, float]] = {}
        self._cut_off = False
        self._rested = 0.0
        self._in_use = False
        self._spare: Path | None = None

    def heard(self, path: Path) -> None:
        """A file event named `path` (called from the watching thread; adding to a set is atomic)."""
        self._closed.add(path)

    @property
    def due(self) -> bool:
        """Whether to look: at once where something was heard of or is settling.

        Else no sooner than 20 times as long as the last look took: among 100,000 jobs that takes a while.
        """
        return bool(self._closed or self._sights or self._cut_off) or time.monotonic() >= self._rested

    @property
    def settling(self) -> bool:
        """Whether something lies here that was not complete at the last look."""
        return bool(self._sights)

    def scan(self) -> list[Job]:
        """Look once; every complete file becomes a job, in `inbox/` or, where it is no picture, in `failed/`.

        A full disk, a sick one or wrong rights leave the file where it is, and the next look tries again.
        """
        jobs = self._resume()
        closed, self._closed = self._closed, set()
        now = time.monotonic()
        sights: dict[Path, Sight] = {}
        present = {self._root}
        for path in self._files(self._root, MAX_DEPTH):
            present.add(path)
            try:
                if path in self._told and rights.obstacle(path):
                    continue
                sight = self._look(path, now)
                if self._complete(path, sight, now, path in closed):
                    if lacking := rights.obstacle(path):
                        self._tell(path, lacking)
                        continue
                    jobs.append(self._take(path))
                    continue
                if path in closed:
                    self._closed.add(path)
                sights[path] = sight
            except FileNotFoundError:
                continue  # taken back, or renamed: the next look sees it
            except OSError as error:
                self._complain(path, error)
        self._sights = sights
        self._rested = now + (1 + PATIENCE) * (time.monotonic() - now)
        self._told = {path: why for path, why in self._told.items() if path in present or path.is_dir()}
        return jobs

    def prepare(self) -> None:
        """Where nothing was found: have a spare draft for the next drop, once there was a first."""
        if not self._in_use or self._spare:
            return
        try:
            self._spare = spare(self._spool.root)
        except OSError as error:
            log.debug("no spare draft: %s; the next drop makes its own", error)

    def close(self) -> None:
        """Take the spare draft away."""
        if self._spare:
            shutil.rmtree(self._spare, ignore_errors=True)

    def _resume(self) -> list[Job]:
        """Finish, or take back, what trouble with the disk cut off half-way. We alone take files in."""
        if not self._cut_off:
            return []
        self._spare = None  # as one that waits for a file, it is swept along
        try:
            jobs = resume_adoptions(self._spool.root)
        except OSError as error:
            log.debug("taking in goes on later: %s", error)
            return []
        self._cut_off = False
        for job in jobs:
            log.info("job %s: taken in, after trouble with the disk", job.id)
        return jobs

    def _files(self, folder: Path, depth: int) -> Iterator[Path]:
        """Regular files, by name; emptied folders that people dropped are removed on the way."""
        try:
            with os.scandir(folder) as found:
                inside = (entry for entry in found if not (folder == self._root and _is_job(entry)))
                entries = sorted(inside, key=lambda entry: entry.name)
        except FileNotFoundError:
            return  # a dropped folder that was taken back
        except OSError as error:
            self._complain(folder, error)
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith("~"):
                continue
            if entry.name.lower().endswith(UNFINISHED) or entry.is_symlink():
                continue
            path = Path(entry.path)
            if entry.is_file():
                yield path
            elif entry.is_dir() and depth:
                yield from self._files(path, depth - 1)
                self._tidy(path)

    def _tidy(self, folder: Path) -> None:
        """Remove a dropped folder once it is empty and nobody has been filling it for a while."""
        try:
            changed = folder.stat().st_mtime_ns
            before, since = self._folders.get(folder, (0, 0.0))
            if before != changed:
                self._folders[folder] = (changed, time.monotonic())
            elif time.monotonic() - since > self._settle:
                folder.rmdir()
                del self._folders[folder]
        except FileNotFoundError:
            self._folders.pop(folder, None)
        except OSError:
            return  # not empty, or not ours to remove: it does no harm

    def _look(self, path: Path, now: float) -> Sight:
        found = path.stat()
        before = self._sights.get(path)
        if before and (before.size, before.changed) == (found.st_size, found.st_mtime_ns):
            return before
        return Sight(found.st_size, found.st_mtime_ns, now)

    def _complete(self, path: Path, sight: Sight, now: float, closed: bool) -> bool:
        resting = now - sight.since
        written = being_written(path)
        if written:
            return resting >= OPEN_PATIENCE * self._settle
        if (closed or written is False) and picture.looks_whole(path):
            return True
        # No end mark to go by, or it ends too early: a copy in pieces opens and closes the file many times.
        return resting >= self._settle

    def _take(self, path: Path) -> Job:
        with path.open("rb", buffering=0) as file:
            head = file.read(picture.HEAD)
        suffix = picture.suffix_of(head)
        failure = None
        if not head:
            failure = f"{path.name} is empty (0 bytes); copy it again"
        elif suffix is None:
            failure = f"{path.name} is not a picture: its content is none of {picture.ACCEPTED}"
        suffix = suffix or _plain_suffix(path)
        request = Request.new(source="inbox", name=path.name, suffix=suffix, quality=self._quality)
        ready, self._spare, self._in_use = self._spare, None, True
        try:
            job = adopt(self._spool.root, path, request, failure, ready)
        except FileNotFoundError:
            raise
        except OSError:
            self._cut_off = True  # the file may be in its draft already
            raise
        log.info("job %s: took %s%s", job.id, path.name, f" ({failure})" if failure else "")
        return job

    def _complain(self, path: Path, error: OSError) -> None:
        advice = "it is tried again"
        if error.errno == errno.EXDEV:
            advice = f"copy it into {self._root} itself"
        elif error.errno in _RIGHTS and not os.access(path, os.R_OK, effective_ids=True):
            advice = "make it readable for this user"
        self._tell(path, f"{error.strerror}; {advice}")

    def _tell(self, path: Path, why: str) -> None:
        if self._told.get(path) != why:
            self._told[path] = why
            log.warning("%s stays as it is: %s", path, why)


def _is_job(entry: os.DirEntry[str]) -> bool:
    return is_job_id(entry.name) and entry.is_dir(follow_symlinks=False)


def _plain_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return suffix if suffix[1:].isalnum() and len(suffix) <= 8 and suffix.isascii() else ".bin"
