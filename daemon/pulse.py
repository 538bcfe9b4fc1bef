"""What one worker shows its supervisor, in memory that both share: is it alive, what does it do, how far is it.

A worker beats from its loop and from its progress callback, not from a side thread: a thread goes on beating
while the work hangs. All times are CLOCK_MONOTONIC, which is one clock for all processes of the machine and
which nobody can set.
"""

from __future__ import annotations

import time
from multiprocessing.sharedctypes import RawArray

from spool.layout import STAGES

_READY, _SINCE, _BEAT, _RUNS, _FINISHED, _BUSY, _STAGE = range(7)
_NAMES = [stage.name for stage in STAGES]
_ID = 36
_WORDS = 2000


class Pulse:
    """Written by the worker, read by the supervisor. Each number is one aligned double, so reads are whole."""

    def __init__(self) -> None:
        self._numbers = RawArray("d", 7)
        self._job = RawArray("c", _ID)
        self._words = RawArray("c", _WORDS)
        self._numbers[_BEAT] = time.monotonic()

    def reset(self) -> None:
        """A new process takes over: it is not ready yet, and idle."""
        if self.is_busy:  # the one before died at its work
            self._numbers[_BUSY] += self._numbers[_BEAT] - self._numbers[_SINCE]
        self._numbers[_READY] = self._numbers[_SINCE] = 0.0
        self._words.value = b""
        self.beat()

    def ready(self) -> None:
        """The worker's engine passed its check."""
        self.beat()
        self._numbers[_READY] = 1.0

    def beat(self) -> None:
        """The worker got further: a step of a stage, or a turn of its loop."""
        self._numbers[_BEAT] = time.monotonic()

    step = beat

    def begin(self, job_id: str, stage: str) -> None:
        """A stage of that job starts now. The job comes first: once this worker is busy, it is to be believed."""
        self._job.raw = job_id.encode().ljust(_ID, b"\0")
        self._numbers[_STAGE] = _NAMES.index(stage)
        self.beat()
        self._numbers[_SINCE] = time.monotonic()

    def end(self) -> None:
        """The stage is over, however it ended."""
        self._numbers[_BUSY] += time.monotonic() - self._numbers[_SINCE]
        self._numbers[_RUNS] += 1
        self._numbers[_SINCE] = 0.0
        self.beat()

    def finish(self) -> None:
        """The stage gave its product: this device works."""
        self._numbers[_FINISHED] += 1

    def cannot_start(self, why: str) -> None:
        """The worker ends, and so would the next; `why` says to a person what to change."""
        self._words.value = why.encode()[: _WORDS - 1]

    @property
    def last_words(self) -> str:
        """Why the worker could not start; empty where it could, or did not say."""
        return str(self._words.value, "utf-8", "ignore")

    @property
    def is_ready(self) -> bool:
        return bool(self._numbers[_READY])

    @property
    def is_busy(self) -> bool:
        return bool(self._numbers[_SINCE] > 0)

    @property
    def job(self) -> str | None:
        """The job in this worker's hands, also after it died with it; None for an idle one."""
        return self._job.raw.rstrip(b"\0").decode("ascii", "replace") if self.is_busy else None

    @property
    def stage(self) -> str | None:
        """The stage that is running."""
        return _NAMES[int(self._numbers[_STAGE])] if self.is_busy else None

    @property
    def jobs(self) -> int:
        """How many stages were run at this post."""
        return int(self._numbers[_RUNS])

    @property
    def finished(self) -> int:
        """How many of them gave their product."""
        return int(self._numbers[_FINISHED])

    def silence(self, now: float) -> float:
        """Seconds since the worker last got further, whatever it does."""
        return max(0.0, now - float(self._numbers[_BEAT]))

    def busy_seconds(self, now: float) -> float:
        """Seconds spent in stages at this post, the running one included."""
        since = float(self._numbers[_SINCE])
        return float(self._numbers[_BUSY]) + (now - since if since > 0 else 0.0)
