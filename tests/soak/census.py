"""What became of every job that was accepted, looked at again and again while it happens."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from spool import layout
from spool.spool import Spool
from tests.support import left_in_tmp

AGAIN = 5.0
PUBLISHED = re.compile(r"job (\S+): \w+ took .* on to done/")


@dataclass
class Census:
    """`changed` names results that moved, vanished or were written again after they were published."""

    spool: Spool
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    due: float = 0.0

    def look(self) -> int:
        """Note what is in done/ now, and now and then look at all of it again; how many jobs have come to rest."""
        done = self.spool.waiting(layout.DONE)
        again = time.monotonic() >= self.due
        if again:
            self.due = time.monotonic() + AGAIN
        for job_id in done:
            if not again and job_id in self.seen:
                continue
            file = self.spool.root / layout.DONE / job_id / layout.MODEL_GLB
            found = file.stat()
            if self.seen.setdefault(job_id, (found.st_ino, found.st_mtime_ns)) != (
                found.st_ino,
                found.st_mtime_ns,
            ):
                self.changed.add(job_id)
        self.changed |= set(self.seen) - set(done)
        return len(done) + len(self.spool.waiting(layout.FAILED))

    def twice(self, log: Path) -> set[str]:
        """Jobs published more than once: by what was seen, and by what the workers said."""
        told = Counter(PUBLISHED.findall(log.read_text(errors="replace")))
        return self.changed | {job_id for job_id, count in told.items() if count > 1}

    def names(self) -> Counter[str]:
        """How often each name (each was given once) is in done/ or failed/."""
        return Counter(
            self.spool.find(job_id).job.request.name
            for folder in (layout.DONE, layout.FAILED)
            for job_id in self.spool.waiting(folder)
        )

    def reasons(self) -> Counter[str]:
        """Why jobs failed, in a word; '' for one that says nothing."""
        return Counter(
            (self.spool.find(job_id).status.error or "").partition(" ")[0].rstrip(":")
            for job_id in self.spool.waiting(layout.FAILED)
        )

    def left_over(self) -> list[str]:
        """What still lies where nothing should, once everything is at rest."""
        root = self.spool.root
        waiting = [root / folder for folder in (layout.INBOX, layout.GEOMETRY, layout.TEXTURE)]
        running = [root / layout.RUNNING / worker for worker in self.spool.workers()]
        held = [path for folder in (*waiting, *running) for path in folder.iterdir() if path.name != "stacks"]
        return [str(path) for path in (*held, *left_in_tmp(root))]

    def litter(self) -> list[str]:
        """Half-written files inside finished jobs."""
        return [str(path) for path in (self.spool.root / layout.DONE).glob("*/.*")]
