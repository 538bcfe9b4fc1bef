"""The supervisor: it owns the spool, fills the posts, and touches no model.

It never imports torch, a mesh library or an image decoder: whatever a photo does to a worker, the supervisor
lives to tell. One turn of its loop is `step`.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from daemon import retention
from daemon.barred import Barred
from daemon.bulletin import Bulletin
from daemon.child import Crew, WebServer
from daemon.children import Children
from daemon.cluster.fleet import Fleet
from daemon.config import Config
from daemon.devices import posts
from daemon.drain import Drain
from daemon.engines import choose
from daemon.errors import EngineUnavailable
from daemon.inbox import Inbox
from daemon.inquest import Ending, Inquest, put_back
from daemon.process import EX_CONFIG
from daemon.service_record import ServiceRecord
from daemon.stall import Stalls
from daemon.upkeep import Upkeep
from daemon.wake import Wake, watch
from spool import durable, filesystem, layout, lock, rights
from spool.draft import resume_adoptions
from spool.notify import Systemd
from spool.room import room_left
from spool.spool import Spool

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two looks at running stages."""
FROZEN = 10.0
"""A sleep that lasted this much longer than it should says that we ourselves were stopped."""
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
        self.children = Children(self.crews, self.web)
        self.exit_code = 0
        self._reasons: dict[str, str] = {}
        """Why it stops though nobody asked: the words of who cannot start, and who that was."""
        self.drain = Drain(config.drain_limit)
        self.upkeep = Upkeep(config)
        self.barred = Barred()
        self._bulletin = Bulletin(config, self.engine, systemd)
        self._systemd = systemd
        self._reload_asked = False

    def run(self) -> int:
        """Take the lock, recover, and supervise until drained. Returns the process's exit code.

        Raises SpoolUnusable where another supervisor owns the spool, or its folders belong to another user.
        """
        rights.check_folders(self.spool.root)
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
            self.inbox.close()
            self._bulletin.withdraw(self.spool)
            os.close(held)
            self._say_why()
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
        self.drain.ask()

    def ask_reload(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """SIGHUP: replace workers and server by fresh ones, each after its running stage, however long it takes."""
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
        if self.fleet:
            self.fleet.begin()

    def begin_drain(self) -> None:
        """Pass the wish to stop on, once."""
        if self.drain.begin():
            log.info("draining: running stages have %.0f s", self.drain.limit)
            self._systemd.stopping(self.drain.longest)
            self.children.signal(signal.SIGTERM)

    def begin_reload(self) -> None:
        """Let every child end after its running stage; `start_due` fills the posts again."""
        if self._reload_asked:
            self._reload_asked = False
            log.info("reload: replacing workers and server")
            self.children.replace()

    def reap(self) -> None:
        """See which children ended, put their jobs back, and decide whether starting again makes sense."""
        for crew in self.crews:
            code = crew.reap()
            if code is None:
                continue
            ending = Ending(code, self.stalls.reaped(crew.post.name), self.drain.is_on)
            if code == EX_CONFIG and not crew.post.node:
                self._give_up(f"worker {crew.post.name}", crew.pulse.last_words)
            elif code != 0:
                log.log(ending.gravity, "worker %s %s", crew.post.name, ending.how)
            self.inquest.hold(self.spool, crew, ending)
        self.inquest.settle(self.spool)
        if self.web and (code := self.web.reap()) is not None:
            if code == EX_CONFIG:
                self._give_up("the HTTP server", self.web.last_words)
            elif not (self.drain.is_on or self.web.is_replaced):
                log.error("the HTTP server %s", Ending(code).how)

    def muster(self) -> None:
        """See which devices of other machines came or went."""
        if self.fleet:
            self.fleet.look(self.inquest.is_open, self.drain.is_on)

    def start_due(self) -> None:
        """Fill empty posts whose pause is over, and whose last worker's jobs are put back."""
        if not self.drain.is_on:
            self.children.start_due(self.inquest.is_open)

    def stop_hung(self) -> None:
        """End workers that got no further for too long, or that outlive the drain."""
        overdue = self.drain.is_overdue
        self.stalls.end(self.crews, overdue=overdue)
        if self.web and overdue:
            self.web.signal(signal.SIGKILL)

    def take_in(self) -> None:
        """Look through the inbox for dropped files; on a full disk they stay there, as safe as anywhere."""
        if self.drain.is_on or not self.inbox.due or not room_left(self.spool.root, self.config.reserve):
            return
        if self.inbox.scan():
            self._bulletin.postpone()
        else:
            self.inbox.prepare()

    def sweep(self) -> None:
        """Now and then: delete what is beyond the limits, and have the ballast whole again."""
        self.upkeep.look(self.spool)

    def tell(self) -> None:
        """Write `supervisor.json` when something changed, and keep systemd informed."""
        self.barred.look(self.spool)
        notes = self.fleet.notes if self.fleet else ()
        self._bulletin.tell(self.spool, self.crews, self.drain.is_on, (*notes, *self.barred.notes))

    def rest(self) -> None:
        """Sleep until a child ends, a signal or a file event comes, or it is time to look again."""
        sentinels = [*self.children.sentinels, *(self.fleet.sentinels if self.fleet else ())]
        seconds, began = self._patience(), time.monotonic()
        self.wake.wait(seconds, sentinels)
        if time.monotonic() - began > seconds + FROZEN:
            self.stalls.forgive()

    # --- what the parts are made of --------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether a drain has come to its end."""
        return self.drain.is_on and not self.children.running and not (self.fleet and self.fleet.running)

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
        if not self._bulletin.is_ready:  # the last worker may have become ready since it was looked at
            seconds = min(seconds, TICK)
        if self.drain.is_on:
            return min(seconds, 0.1)
        now = time.monotonic()
        dues = (*self.children.dues, self._bulletin.due)
        return min([seconds, *(max(0.05, due - now) for due in dues)])

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

    def _give_up(self, who: str, why: str) -> None:
        if not self.exit_code:
            log.error("%s cannot start here; stopping, because starting it again would not help", who)
        self._reasons.setdefault(why or "see its message above", who)
        self.exit_code = EX_CONFIG
        self.ask_drain()

    def _say_why(self) -> None:
        """At the very end once more, where people look: what to change stood above what the others said."""
        lines = [f"stopped, since {who} cannot start: {why}" for why, who in self._reasons.items()]
        for line in lines:
            log.error("%s", line)
        if lines:
            self._systemd.status(" ".join(" ".join(lines).split()))


def run(config: Config, *, with_http: bool) -> int:
    """`protoscale run`. Raises SpoolUnusable and EngineUnavailable with what to do."""
    if not choose.DEVICES.get(choose.chosen(config)):
        raise EngineUnavailable(f"engine {config.engine} is not part of this installation")
    return Supervisor(config, Systemd(os.environ), with_http=with_http).run()
