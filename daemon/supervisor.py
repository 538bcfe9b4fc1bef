"""The supervisor: it owns the spool, fills the posts, and touches no model.

It never imports torch, a mesh library or an image decoder: whatever a photo does to a worker, the supervisor
lives to tell. One turn of its loop is `step`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from types import FrameType

from daemon import disk, retention
from daemon.almanac import Almanac
from daemon.child import Crew, WebServer
from daemon.cluster.fleet import Fleet
from daemon.config import Config
from daemon.devices import posts
from daemon.engines import choose
from daemon.errors import EngineUnavailable
from daemon.inbox import Inbox
from daemon.inquest import Ending, Inquest, put_back
from daemon.process import EX_CONFIG
from daemon.service_record import ServiceRecord
from daemon.stall import KILL_AFTER, Stalls
from daemon.status_board import board, status_line
from daemon.wake import Wake, watch
from spool import ballast, durable, filesystem, layout, lock
from spool.board import Board
from spool.draft import resume_adoptions
from spool.notify import Systemd
from spool.settings import room_left
from spool.spool import Spool

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two looks at running stages."""
FROZEN = 10.0
"""A sleep that lasted this much longer than it should says that we ourselves were stopped."""
SWEEP_EVERY = 600.0
FLEET_EVERY = 2.0
"""Seconds between two looks at which machines a cluster has."""


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
        records = {post.device: ServiceRecord(post.device) for post in made}
        self.crews = [Crew(config, post, geometry_workers, records[post.device]) for post in made]
        self.inquest = Inquest(config.attempts, self.crews)
        self.stalls = Stalls(config)
        self.fleet = Fleet(config, self.spool, self.crews) if config.cluster else None
        self.web = WebServer() if with_http else None
        self.exit_code = 0
        self._systemd = systemd
        self._drain_asked = False
        self._draining_since: float | None = None
        self._reload_asked = False
        self._almanac = Almanac()
        self._swept = float("-inf")
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._told: Board | None = None
        self._is_ready = False

    def run(self) -> int:
        """Take the lock, recover, and supervise until drained. Returns the process's exit code.

        Raises SpoolUnusable where another supervisor owns the spool.
        """
        held = lock.take(self.spool.root)
        self._hear_signals()
        self._warn_of_the_disk()
        self.recover()
        events = watch([self.spool.root / layout.INBOX], self._heard)
        try:
            while not self.finished:
                self.step()
        finally:
            self._systemd.tell("STOPPING=1")
            if events:
                events.stop()
            with contextlib.suppress(OSError):  # nobody believes it once the lock is given back
                (self.spool.root / "supervisor.json").unlink(missing_ok=True)
            os.close(held)
        return self.exit_code

    def step(self) -> None:
        """One turn: look at every part once, act, then sleep until something happens."""
        self.begin_drain()
        self.begin_reload()
        self.reap()
        self.muster()
        self.start_due()
        self.stop_hung()
        for part in (self.take_in, self.sweep, self.tell):
            self._despite_the_disk(part)
        self._systemd.alive()  # we are, whatever the disk did
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
        durable.clear_asides(self.spool.root)
        for crew in self.crews:  # a worker may die before it made its folder itself
            self.spool.enlist(crew.post.name)
        for worker in self.spool.workers():
            put_back(self.spool, worker, self.config.attempts, "the service was stopped while it ran")
        retention.sweep_tmp(self.spool, log)

    def begin_drain(self) -> None:
        """Pass the wish to stop on, once."""
        if self._drain_asked and self._draining_since is None:
            log.info("draining: running stages have %.0f s", self.config.drain_limit)
            self._draining_since = time.monotonic()
            self._systemd.stopping(self.config.drain_limit + 2 * KILL_AFTER)
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
            ending = Ending(code, self.stalls.reaped(crew.post.name), self.draining)
            if code == EX_CONFIG and not crew.post.node:
                self._give_up(f"worker {crew.post.name} cannot start here; see its message above")
            elif code != 0:
                log.error("worker %s %s", crew.post.name, ending.how)
            self.inquest.hold(self.spool, crew, ending)
        self.inquest.settle(self.spool)
        if self.web and (code := self.web.reap()) is not None:
            if code == EX_CONFIG:
                self._give_up("the HTTP server cannot start here; see its message above")
            elif not self.draining:
                log.error("the HTTP server %s", Ending(code).how)

    def muster(self) -> None:
        """See which devices of other machines came or went."""
        if self.fleet:
            self.fleet.look(self.inquest.is_open, self.draining)

    def start_due(self) -> None:
        """Fill empty posts whose pause is over, and whose last worker's jobs are put back."""
        if self.draining:
            return
        now = time.monotonic()
        # First, since it imports least: people may upload while the workers import.
        if self.web and not self.web.running and now >= self.web.backoff.due:
            self.web.start()
        for crew in self.crews:
            if crew.pid is None and now >= crew.due and not self.inquest.is_open(crew.post.name):
                crew.start()

    def stop_hung(self) -> None:
        """End workers that got no further for too long, or that outlive the drain."""
        overdue = self._overdue(time.monotonic())
        self.stalls.end(self.crews, overdue=overdue)
        if self.web and overdue:
            self.web.signal(signal.SIGKILL)

    def take_in(self) -> None:
        """Look through the inbox for dropped files; on a full disk they stay there, as safe as anywhere."""
        if not self.draining and self.inbox.due and room_left(self.spool.root, self.config.reserve):
            self.inbox.scan()

    def sweep(self) -> None:
        """Now and then: delete what is beyond the limits, and have the ballast whole again."""
        now = time.monotonic()
        if now - self._swept >= SWEEP_EVERY:
            self._swept = now
            retention.sweep(self.spool, self.config, log, self._almanac)
        root = self.spool.root
        if ballast.left(root) < ballast.SIZE and room_left(root, self.config.reserve + ballast.SIZE):
            with disk.unimportant("ballast"):
                ballast.keep(root)

    def tell(self) -> None:
        """Write `supervisor.json` when something changed, and keep systemd informed."""
        current = board(self.spool, self.config, self.engine, self._started_at, self.crews, self.draining)
        if self.fleet:
            current = replace(current, notes=(*current.notes, *self.fleet.notes))
        if current != self._told:
            with disk.unimportant("supervisor.json"):
                current.write(self.spool.root)
                self._told = current
        if not self._is_ready and all(crew.pulse.is_ready or crew.record.is_out for crew in self.crews):
            self._is_ready = True
            log.info("ready: spool %s, engine %s, %d workers", self.spool.root, self.engine, len(self.crews))
            self._systemd.tell("READY=1", f"MAINPID={os.getpid()}")
        self._systemd.status(status_line(current, self.spool))

    def rest(self) -> None:
        """Sleep until a child ends, a signal or a file event comes, or it is time to look again."""
        sentinels = [crew.sentinel for crew in self.crews] + ([self.web.sentinel] if self.web else [])
        sentinels += self.fleet.sentinels if self.fleet else []
        seconds, began = self._patience(), time.monotonic()
        self.wake.wait(seconds, [sentinel for sentinel in sentinels if sentinel is not None])
        if time.monotonic() - began > seconds + FROZEN:
            self.stalls.forgive()

    # --- what the parts are made of --------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        return self._draining_since is not None

    @property
    def finished(self) -> bool:
        """Whether a drain has come to its end."""
        nobody = all(crew.pid is None for crew in self.crews)
        return (
            self.draining
            and nobody
            and not (self.web and self.web.running)
            and not (self.fleet and self.fleet.running)
        )

    def _patience(self) -> float:
        seconds = self.config.scan_every
        if self._systemd.watchdog_seconds:
            seconds = min(seconds, self._systemd.watchdog_seconds / 2)
        if self.inbox.settling:
            seconds = min(seconds, self.config.settle / 3)
        if self.fleet:
            seconds = min(seconds, FLEET_EVERY)
        if self.stalls.any or any(crew.pulse.is_busy or not crew.pulse.is_ready for crew in self.crews):
            seconds = min(seconds, TICK)
        if self.draining:
            return min(seconds, 0.1)
        now = time.monotonic()
        dues = [crew.due for crew in self.crews if crew.pid is None]
        dues += [self.web.backoff.due] if self.web and not self.web.running else []
        return min([seconds, *(max(0.05, due - now) for due in dues)])

    def _overdue(self, now: float) -> bool:
        limit = self.config.drain_limit + KILL_AFTER
        return self._draining_since is not None and now - self._draining_since > limit

    def _warn_of_the_disk(self) -> None:
        kind, mount = filesystem.under(self.spool.root)
        if why := filesystem.concern(kind):
            log.warning("the spool lies on %s (mounted at %s): %s", kind, mount, why)

    def _despite_the_disk(self, part: Callable[[], None]) -> None:
        """Do one part of a turn. A full or sick disk, or a lack of memory or descriptors, is told and passes; to
        die of it would take the running jobs along."""
        try:
            part()
        except OSError as error:
            log.error("%s; trying again", error)

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


def run(config: Config, *, with_http: bool) -> int:
    """`protoscale run`. Raises SpoolUnusable and EngineUnavailable with what to do."""
    if not choose.DEVICES.get(choose.chosen(config)):
        raise EngineUnavailable(f"engine {config.engine} is not part of this installation")
    return Supervisor(config, Systemd(os.environ), with_http=with_http).run()
