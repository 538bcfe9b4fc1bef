"""The supervisor: it owns the spool, fills the posts, and touches no model.

It never imports torch, a mesh library or an image decoder: whatever a photo does to a worker, the supervisor
lives to tell. One turn of its loop is `step`.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from datetime import datetime, timezone
from types import FrameType

from daemon import joblog, retention
from daemon.child import Crew, WebServer
from daemon.config import Config
from daemon.devices import posts
from daemon.engines import choose
from daemon.errors import EngineUnavailable
from daemon.inbox import Inbox
from daemon.notify import Systemd
from daemon.process import EX_CONFIG
from daemon.status_board import board, status_line
from daemon.wake import Wake, watch
from spool import layout, lock
from spool.board import Board
from spool.draft import resume_adoptions
from spool.spool import Spool
from spool.tally import WORKER_DIED, Tally

log = logging.getLogger(__name__)

KILL_AFTER = 5.0
"""Seconds between SIGABRT, which dumps every thread's stack, and SIGKILL; and grace beyond the drain limit."""
TICK = 1.0
"""Seconds between two looks at running stages."""
SWEEP_EVERY = 600.0


class Supervisor:
    """Everything one `protoscale run` is. Signals set flags; `step` acts on them."""

    def __init__(self, config: Config, systemd: Systemd, *, with_http: bool = True) -> None:
        self.config = config
        self.spool = Spool.open(config.spool)
        self.wake = Wake()
        self.engine = choose.chosen(config)
        self.inbox = Inbox(self.spool, config.settle, config.quality)
        made = posts(config, choose.DEVICES[self.engine])
        geometry_workers = sum("geometry" in post.stages for post in made)
        self.crews = [Crew(config, post, geometry_workers) for post in made]
        self.web = WebServer() if with_http else None
        self.exit_code = 0
        self._systemd = systemd
        self._drain_asked = False
        self._draining_since: float | None = None
        self._reload_asked = False
        self._aborted: dict[str, float] = {}
        self._swept = 0.0
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._told: Board | None = None
        self._is_ready = False

    def run(self) -> int:
        """Take the lock, recover, and supervise until drained. Returns the process's exit code.

        Raises SpoolUnusable where another supervisor owns the spool.
        """
        held = lock.take(self.spool.root)
        self._hear_signals()
        self.recover()
        events = watch([self.spool.root / layout.INBOX], self._heard)
        try:
            while not self.finished:
                self.step()
        finally:
            self._systemd.tell("STOPPING=1")
            if events:
                events.stop()
            (self.spool.root / "supervisor.json").unlink(missing_ok=True)
            os.close(held)
        return self.exit_code

    def step(self) -> None:
        """One turn: look at every part once, act, then sleep until something happens."""
        self.begin_drain()
        self.begin_reload()
        self.reap()
        self.start_due()
        self.stop_hung()
        self.take_in()
        self.sweep()
        self.tell()
        self.rest()

    # --- signals ---------------------------------------------------------------------------------------

    def ask_drain(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """SIGTERM, SIGINT: stop taking work, let running stages finish within the drain limit, end."""
        self._drain_asked = True

    def ask_reload(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """SIGHUP: replace the workers and the server by fresh ones, each after its running stage."""
        self._reload_asked = True

    def _hear_signals(self) -> None:
        signal.signal(signal.SIGTERM, self.ask_drain)
        signal.signal(signal.SIGINT, self.ask_drain)
        signal.signal(signal.SIGHUP, self.ask_reload)
        # A process that opens a file in the instant we hold a lease on it (daemon.inbox) sets this off.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.wake.on_signals()

    def _heard(self, path: os.PathLike[str]) -> None:
        self.inbox.heard(self.spool.root / path)
        self.wake.ring()

    # --- the parts of a turn ---------------------------------------------------------------------------

    def recover(self) -> None:
        """Finish what an earlier supervisor left: half-taken drops, and jobs in dead workers' folders."""
        for job in resume_adoptions(self.spool.root):
            log.info("job %s: finished taking it in after a crash", job.id)
        for worker in self.spool.workers():
            self._put_back(worker, "the service was stopped while it ran")
        retention.sweep_tmp(self.spool, log)

    def begin_drain(self) -> None:
        """Pass the wish to stop on, once."""
        if self._drain_asked and self._draining_since is None:
            log.info("draining: running stages have %.0f s", self.config.drain_limit)
            self._draining_since = time.monotonic()
            self._systemd.tell("STOPPING=1")
            self._signal_all(signal.SIGTERM)

    def begin_reload(self) -> None:
        """Let every child end after its running stage; `start_due` fills the posts again."""
        if self._reload_asked:
            self._reload_asked = False
            log.info("reload: replacing workers and server")
            self._signal_all(signal.SIGTERM)

    def reap(self) -> None:
        """See which children ended, put their jobs back, and decide whether starting again makes sense."""
        for crew in self.crews:
            code = crew.reap()
            if code is None:
                continue
            self._aborted.pop(crew.post.name, None)
            self._put_back(crew.post.name, _how_it_ended(code))
            if code == EX_CONFIG:
                self._give_up(f"worker {crew.post.name} cannot start here; see its message above")
            elif code != 0:
                log.error("worker %s %s", crew.post.name, _how_it_ended(code))
        if self.web and (code := self.web.reap()) is not None:
            if code == EX_CONFIG:
                self._give_up("the HTTP server cannot start here; see its message above")
            elif not self.draining:
                log.error("the HTTP server %s", _how_it_ended(code))

    def start_due(self) -> None:
        """Fill empty posts whose pause is over."""
        if self.draining:
            return
        now = time.monotonic()
        for crew in self.crews:
            if crew.pid is None and now >= crew.backoff.due:
                crew.start()
        if self.web and not self.web.running and now >= self.web.backoff.due:
            self.web.start()

    def stop_hung(self) -> None:
        """Abort workers that got no further for too long, or outlive the drain; kill those that ignore it."""
        now = time.monotonic()
        for crew in self.crews:
            silent = crew.pulse.silence(now)
            if crew.pid is None or not (silent > self.config.step_limit or self._overdue(now)):
                continue
            aborted = self._aborted.setdefault(crew.post.name, now)
            if aborted == now:
                log.error("worker %s got no further for %.0f s: aborting it", crew.post.name, silent)
                crew.signal(signal.SIGABRT)
            elif now - aborted >= KILL_AFTER:
                crew.signal(signal.SIGKILL)
        if self.web and self._overdue(now):
            self.web.signal(signal.SIGKILL)

    def take_in(self) -> None:
        """Look through the inbox for dropped files."""
        if not self.draining:
            self.inbox.scan()

    def sweep(self) -> None:
        """Delete, now and then, what is older than the limits."""
        now = time.monotonic()
        if now - self._swept >= SWEEP_EVERY:
            self._swept = now
            retention.sweep(self.spool, self.config, log)

    def tell(self) -> None:
        """Write `supervisor.json` when something changed, and keep systemd informed."""
        current = board(self.spool, self.config, self.engine, self._started_at, self.crews, self.draining)
        if current != self._told:
            self._told = current
            current.write(self.spool.root)
        if not self._is_ready and all(crew.pulse.is_ready for crew in self.crews):
            self._is_ready = True
            log.info("ready: spool %s, engine %s, %d workers", self.spool.root, self.engine, len(self.crews))
            self._systemd.tell("READY=1", f"MAINPID={os.getpid()}")
        self._systemd.status(status_line(current, self.spool))
        self._systemd.alive()

    def rest(self) -> None:
        """Sleep until a child ends, a signal or a file event comes, or it is time to look again."""
        sentinels = [crew.sentinel for crew in self.crews if crew.sentinel is not None]
        self.wake.wait(self._patience(), sentinels)

    # --- what the parts are made of --------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        return self._draining_since is not None

    @property
    def finished(self) -> bool:
        """Whether a drain has come to its end."""
        nobody = all(crew.pid is None for crew in self.crews)
        return self.draining and nobody and not (self.web and self.web.running)

    def _patience(self) -> float:
        seconds = self.config.scan_every
        if self._systemd.watchdog_seconds:
            seconds = min(seconds, self._systemd.watchdog_seconds / 2)
        if self.inbox.settling:
            seconds = min(seconds, self.config.settle / 3)
        if self._aborted or any(crew.pulse.is_busy or not crew.pulse.is_ready for crew in self.crews):
            seconds = min(seconds, TICK)
        if (
            self.draining
            or (self.web and not self.web.running)
            or any(crew.pid is None for crew in self.crews)
        ):
            seconds = min(seconds, 0.1)
        return seconds

    def _overdue(self, now: float) -> bool:
        limit = self.config.drain_limit + KILL_AFTER
        return self._draining_since is not None and now - self._draining_since > limit

    def _put_back(self, worker: str, reason: str) -> None:
        refund = self.draining
        self.spool.enlist(worker)
        joblog.carry_stacks(self.spool, worker, reason)
        for job_id, folder in self.spool.recover(worker, self.config.attempts, reason, refund=refund):
            log.warning("job %s: worker %s %s; on to %s/", job_id, worker, reason, folder)
            if folder == layout.FAILED:
                Tally(self.spool.root, "supervisor").failure(WORKER_DIED)

    def _signal_all(self, number: signal.Signals) -> None:
        for crew in self.crews:
            crew.signal(number)
        if self.web:
            self.web.signal(number)

    def _give_up(self, reason: str) -> None:
        if not self.exit_code:
            log.error("%s; stopping, because starting it again would not help", reason)
        self.exit_code = EX_CONFIG
        self.ask_drain()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return "ended" if code == 0 else f"ended with exit code {code}"


def run(config: Config, *, with_http: bool) -> int:
    """`protoscale run`. Raises SpoolUnusable and EngineUnavailable with what to do."""
    if not choose.DEVICES.get(choose.chosen(config)):
        raise EngineUnavailable(f"engine {config.engine} is not part of this installation")
    return Supervisor(config, Systemd(os.environ), with_http=with_http).run()
