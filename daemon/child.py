"""The supervisor's children: one worker process per post, and the HTTP server."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import daemon
from daemon import process
from daemon.config import Config
from daemon.devices import Post
from daemon.pulse import Pulse
from daemon.service_record import ServiceRecord

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
LONGEST_WORDS = 4000
GOOD_LIFE = 30.0
"""Seconds a child must live for its next death to count as the first again."""


class Backoff:
    """When a child that keeps dying may start again: at once, then after pauses that double to a minute."""

    def __init__(self) -> None:
        self.deaths = 0
        self.due = 0.0
        self._born = 0.0

    def born(self) -> None:
        self._born = time.monotonic()

    def died(self) -> None:
        now = time.monotonic()
        self.deaths = 1 if now - self._born >= GOOD_LIFE else self.deaths + 1
        self.due = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.deaths - 1))


class Crew:
    """One post and the process that fills it now."""

    def __init__(self, config: Config, post: Post, geometry_workers: int, record: ServiceRecord) -> None:
        self.post = post
        self.record = record
        self.pulse = Pulse()
        self.backoff = Backoff()
        self.restarts = 0
        self.retired = False
        """Its device is not ours any more (a machine left the cluster, or is drained)."""
        self.since = time.monotonic()
        self._config = config
        self._geometry_workers = geometry_workers
        self._process: BaseProcess | None = None

    def start(self) -> None:
        """Fill the post with a fresh process, or try again later where the kernel has none to give."""
        self.pulse.reset()
        self.backoff.born()
        try:
            self._process = process.spawn(self._config, self.post, self.pulse, self._geometry_workers)
        except OSError as error:
            self.backoff.died()
            log.error("worker %s cannot be started now: %s", self.post.name, error)

    @property
    def due(self) -> float:
        """When (monotonic seconds) this post may be filled again."""
        if self.retired:
            return float("inf")
        return max(self.backoff.due, self.record.due)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def sentinel(self) -> int | None:
        """A descriptor that becomes readable when the process ends."""
        return self._process.sentinel if self._process else None

    def reap(self) -> int | None:
        """The exit code of a process that ended since the last look (negative: the signal), else None."""
        if self._process is None or self._process.is_alive():
            return None
        code = self._process.exitcode
        self._process.close()
        self._process = None
        self.backoff.died()
        self.restarts += 1
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None and self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, number)

    def busy_share(self) -> float:
        """Share of the time since the post was made that its processes spent in stages, 0 to 1."""
        now = time.monotonic()
        return min(1.0, self.pulse.busy_seconds(now) / max(now - self.since, 1e-9))


class WebServer:
    """The HTTP server as a child of `protoscale run`. It holds no state, so it is simply started again."""

    def __init__(self) -> None:
        self.backoff = Backoff()
        self.sentinel: int | None = None
        """A descriptor that becomes readable when the server ends."""
        self.last_words = ""
        """Why the last one that ended could not start, in its own words."""
        self.is_replaced = False
        """Whether it was told to end for a fresh one, so that its end is no news."""
        self._process: subprocess.Popen[bytes] | None = None
        self._words: int | None = None

    def start(self) -> None:
        """Start `python -m httpd`, or try again later where the kernel has no process to give."""
        self.backoff.born()
        self.is_replaced = False
        try:
            self._start()
        except OSError as error:
            self._hear()
            self.backoff.died()
            log.error("the HTTP server cannot be started now: %s", error)

    def _start(self) -> None:
        self._words = words = os.memfd_create("last words")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "httpd", "--parent", str(os.getpid()), "--last-words", str(words)],
            pass_fds=[words],
            # `-m` puts the working directory first on the path: let that be where our own packages lie, not a
            # folder in which a stranger's `httpd` waits.
            cwd=Path(daemon.__file__).parent.parent,
        )
        self.sentinel = os.pidfd_open(self._process.pid)

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def reap(self) -> int | None:
        """The exit code of a server that ended since the last look, else None."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None:
            self._process = None
            if self.sentinel is not None:
                os.close(self.sentinel)
                self.sentinel = None
            self._hear()
            self.backoff.died()
        return code

    def _hear(self) -> None:
        if self._words is not None:
            self.last_words = os.pread(self._words, LONGEST_WORDS, 0).decode(errors="replace")
            os.close(self._words)
            self._words = None

    def replace(self) -> None:
        """Have it answer what is open, and end; it is started again like any other."""
        self.is_replaced = True
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)
