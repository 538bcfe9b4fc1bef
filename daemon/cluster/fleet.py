"""The supervisor's side of a cluster: the lookout, and one crew per device of other machines that come and go.

Nothing here knows Ray. What is true of local crews is true of these: their processes are envoys, which are started,
watched, judged and drained like workers; only their posts appear and disappear.
"""

from __future__ import annotations

import importlib.util
import logging
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from daemon import disk
from daemon.child import Backoff, Crew
from daemon.cluster import lookout, roster
from daemon.cluster.roster import Roster, Vitals
from daemon.config import Config
from daemon.devices import Post
from daemon.errors import EngineUnavailable
from daemon.extras import installed
from daemon.pulse import Pulse
from daemon.service_record import ServiceRecord
from spool.command import typed
from spool.spool import Spool

log = logging.getLogger(__name__)

SILENCE_LIMIT = 120.0
"""Seconds without a sign of life after which the lookout is replaced."""


def require() -> None:
    """Raises EngineUnavailable where `CLUSTER` is set and Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise EngineUnavailable(f"CLUSTER is set, and Ray is not installed; run {installed('cluster')}")


class Fleet:
    """Adds crews to the supervisor's list and takes them out again, once per turn of its loop."""

    def __init__(self, config: Config, spool: Spool, crews: list[Crew]) -> None:
        require()
        self._config = config
        self._spool = spool
        self._crews = crews
        self._pulse = Pulse()
        self._backoff = Backoff()
        self._lookout: BaseProcess | None = None

    def begin(self) -> None:
        """Forget who was there for an earlier supervisor. Only once the lock is held: the roster may be in use."""
        folder = self._spool.root / roster.CLUSTER
        folder.mkdir(exist_ok=True)
        (folder / roster.ROSTER).unlink(missing_ok=True)

    def look(self, is_open: Callable[[str], bool], draining: bool) -> None:
        """One turn. `is_open` says of a worker whether its jobs are still to be put back."""
        self._watch(draining)
        if draining:
            return
        out = roster.drained(self._spool.root)
        wanted = {
            post.name: post
            for machine in Roster.read(self._spool.root).machines
            if machine.name not in out
            for post in machine.posts()
        }
        for crew in [crew for crew in self._crews if crew.post.node]:
            self._reconsider(crew, wanted.pop(crew.post.name, None), is_open(crew.post.name))
        for post in wanted.values():
            with disk.unimportant(f"the folder of {post.name}"):
                self._spool.enlist(post.name)
                self._crews.append(self._crew(post))
                log.info("%s has a device for %s: %s", post.node, ", ".join(post.stages), post.name)

    @property
    def notes(self) -> list[str]:
        """Sentences for the operator."""
        root = self._spool.root
        said = [(crew.post, Vitals.read(root, crew.post.name)) for crew in self._crews if crew.post.node]
        trouble = Roster.read(root).trouble
        return [
            *([trouble] if trouble else []),
            *(
                f"the machine {node} is drained; {typed(f'cluster undrain {node}')}"
                for node in sorted(roster.drained(root))
            ),
            *(f"{post.name}: {vitals.trouble}" for post, vitals in said if vitals and vitals.trouble),
        ]

    @property
    def sentinels(self) -> list[int]:
        """Descriptors that become readable when the lookout ends."""
        return [self._lookout.sentinel] if self._lookout else []

    def _crew(self, post: Post) -> Crew:
        geometry = sum("geometry" in crew.post.stages for crew in self._crews)
        count = geometry + ("geometry" in post.stages)
        return Crew(self._config, post, count, ServiceRecord(f"{post.node} {post.device}"))

    def _reconsider(self, crew: Crew, post: Post | None, is_open: bool) -> None:
        """Retire a crew whose device is not ours any more; one whose machine came back begins anew there."""
        if post == crew.post:
            crew.retired = False
            return
        if not crew.retired:
            crew.retired = True
            crew.signal(signal.SIGTERM)
            log.info(
                "%s: no more work for it, because its machine %s",
                crew.post.name,
                "is back" if post else "left",
            )
        if crew.pid is None and not is_open:
            if post:
                crew.post, crew.retired = post, False
            else:
                self._crews.remove(crew)

    def _watch(self, draining: bool) -> None:
        """Keep the lookout running."""
        now = time.monotonic()
        if self._lookout is not None and not self._lookout.is_alive():
            if not draining:
                log.error("the lookout ended with exit code %s", self._lookout.exitcode)
            self._lookout.close()
            self._lookout = None
            self._backoff.died()
        if self._lookout is not None:
            if draining or self._pulse.silence(now) > SILENCE_LIMIT:
                self._lookout.kill()
        elif not draining and now >= self._backoff.due:
            self._pulse.reset()
            self._backoff.born()
            try:
                self._lookout = lookout.spawn(self._config, self._pulse)
            except OSError as error:
                self._backoff.died()
                log.error("the lookout cannot be started now: %s", error)

    @property
    def running(self) -> bool:
        """Whether the lookout runs."""
        return self._lookout is not None
