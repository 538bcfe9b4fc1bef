"""Jobs that nobody here may move, because another user, mostly root, laid them into the spool.

Workers pass over them (`Spool.rest_left`), so that those behind them do not wait. People are told what to do.
"""

from __future__ import annotations

import logging
import os
import pwd
import time
from contextlib import suppress
from pathlib import Path

from spool import layout
from spool.line import LONG, PATIENCE, first_in

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0


class Strangers:
    """Looks at the front of each line now and then: what is passed over comes to stand there."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        """What to do, a sentence for each folder with such jobs."""
        self._due = float("-inf")

    def look(self, root: Path) -> None:
        """Where it is time, see which jobs those are. Raises OSError."""
        began = time.monotonic()
        if began < self._due:
            return
        self._due = began + LOOK_EVERY  # also where it fails
        notes = tuple(note for stage in layout.STAGES if (note := _note(root / stage.folder)))
        for note in notes:
            if note not in self.notes:
                log.warning("%s", note)
        self.notes = notes
        now = time.monotonic()
        self._due = now + max(LOOK_EVERY, PATIENCE * (now - began))


def _note(folder: Path) -> str | None:
    found = [job for name in first_in(folder.parent, folder.name, LONG) if _is_stuck(job := folder / name)]
    if not found:
        return None
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"job {found[0].name} in {folder.name}/{others} may not be moved by this user ({_us()}) and is passed over: "
        f"`sudo chown -R {_us()}: {found[0] if not others else folder}`"
    )


def _is_stuck(job: Path) -> bool:
    return job.is_dir() and not os.access(job, os.W_OK, effective_ids=True)


def _us() -> str:
    with suppress(KeyError):  # a user id that nobody gave a name
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())
