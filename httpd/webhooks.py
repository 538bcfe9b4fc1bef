"""Keeping what `spool.callbacks` promises: one thread of one process tells jobs' ends to their URLs.

That is one of the HTTP processes, or, where those have no network, `httpd.postman`, a process of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from httpd.config import HttpConfig
from httpd.delivery import NotDelivered, deliver
from httpd.newcomers import Newcomers
from spool import callbacks, command
from spool.callbacks import Promise
from spool.errors import NoSuchJob, SpoolError
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look

log = logging.getLogger(__name__)

ROUND = 1.0
"""Seconds between two looks at what is owed; nothing is read but the folder's time while nothing is."""
TURN = 5.0
"""Seconds after which a process asks again whether it is the one to deliver."""
PATIENCE = 30.0
"""Seconds for which what met an error is left alone."""


def unserved() -> str:
    """What to say where webhooks are on and nobody delivers them."""
    return (
        f"webhooks are on, and no process delivers them: run {command.started('webhooks')}; "
        "what is owed is kept until then"
    )


class Postman(threading.Thread):
    """Delivers until stopped. Only started where webhooks are on, so an idle server has no such thread."""

    def __init__(self, spool: Spool, config: HttpConfig) -> None:
        super().__init__(name="postman", daemon=True)
        self._spool = spool
        self._config = config
        self._over = threading.Event()
        self.asked = threading.Event()
        """Set once it knows whether it is the one to deliver."""
        self._newcomers = Newcomers(spool)
        self._rests: dict[str, float] = {}
        """What met an error lately, and until when (monotonic) it is left alone: not every second, nor in the way."""

    def stop(self) -> None:
        """End after the delivery that is under way; its promise is on the disk whatever becomes of it."""
        self._over.set()

    def run(self) -> None:
        while not self._over.is_set():
            self._attempt("webhooks", self._take_turn)
            self._over.wait(TURN)

    def _take_turn(self) -> None:
        with callbacks.postman(self._spool.root) as mine:
            self.asked.set()
            while mine and not self._over.is_set():
                self.round()
                self._over.wait(ROUND)

    def round(self) -> None:
        """Look once at every promise, and keep those that are due."""
        if self._config.callback_url:
            self._attempt("webhooks of new jobs", self.adopt)
        now = time.time()
        for promise in callbacks.owed(self._spool.root):
            if promise.due <= now and not self._over.is_set():
                self._attempt(f"webhook of job {promise.job_id}", partial(self.keep, promise))

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        """The one place where anything is caught: one webhook that cannot be dealt with must not end all others."""
        if self._rests.get(what, 0.0) > time.monotonic():
            return
        self._rests.pop(what, None)
        try:
            step()
        except Exception:
            log.exception("%s: trying again in %d s", what, PATIENCE)
            self._rests[what] = time.monotonic() + PATIENCE

    def adopt(self) -> None:
        """Promise the configured webhook to new jobs that did not come by HTTP, where it is promised with the job."""
        for job_id in self._newcomers.look():
            try:
                request = self._spool.find(job_id).job.request
            except SpoolError:
                self._newcomers.settle(job_id)  # gone, or damaged
                continue
            if request.source != "http":
                Promise(job_id, self._config.callback_url).write(self._spool.root)
            self._newcomers.settle(job_id)

    def keep(self, promise: Promise) -> None:
        """Deliver a job's state if it is one that was promised and not told; write down what became of it."""
        root = self._spool.root
        try:
            told = look(self._spool, promise.job_id)
        except NoSuchJob:
            # A promise is written before its job is; one whose job never came is of a crash, or of a deleted job.
            if time.time() - (root / callbacks.CALLBACKS / f"{promise.job_id}.json").stat().st_mtime > 60:
                promise.drop(root)
            return
        except (SpoolError, OSError) as error:
            log.warning("webhook of job %s: %s", promise.job_id, error)
            return
        state = f"{told['stage']}-{told['status']}"
        if told["status"] not in (COMPLETED, GIVEN_UP) or state == promise.told:
            return
        try:
            deliver(promise.url, told, state, self._config)
        except NotDelivered as error:
            self._postpone(promise, str(error))
            return
        log.info("webhook of job %s: %s delivered", promise.job_id, told["status"])
        if told["stage"] == "views":
            promise.delivered(state).write(root)  # the model may still be asked for
        else:
            promise.drop(root)

    def _postpone(self, promise: Promise, reason: str) -> None:
        later = promise.postponed()
        if later:
            log.warning("webhook of job %s: %s; trying again", promise.job_id, reason)
            later.write(self._spool.root)
        else:
            log.error(
                "webhook of job %s: %s; given up after %d tries", promise.job_id, reason, promise.tries + 1
            )
            promise.drop(self._spool.root)
