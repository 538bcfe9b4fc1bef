"""The envoy: the worker process of a device that another machine has.

It is a worker like any other, with its own folder in `running/`, its pulse and its place in the supervisor's rounds:
it claims, counts, judges and publishes. Only what a stage does is done by the outpost (`daemon.cluster.outpost`), the
actor that it holds on that device for as long as it lives. When it ends, however it ends, Ray ends the actor.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from daemon import joblog
from daemon.cluster import connection, parcel
from daemon.cluster.finishing import FarFinisher
from daemon.cluster.outpost import End, News, Outpost
from daemon.cluster.parcel import Parcel
from daemon.cluster.roster import Vitals
from daemon.config import Config
from daemon.devices import Berth, Post
from daemon.engines import choose
from daemon.errors import Cancelled, DaemonError, EngineUnavailable
from daemon.process import EX_CONFIG, EX_SOFTWARE, EX_UNAVAILABLE
from daemon.pulse import Pulse
from daemon.reporter import Drained, Reporter
from daemon.worker import Worker
from spool.job import Job
from spool.spool import Spool

log = logging.getLogger(__name__)

OUTPOST: type[Outpost] = Outpost
ANSWER_LIMIT = 30.0
"""Seconds an outpost may take to answer a look; it answers after one. The network is cut, or its machine hangs."""
VERDICT_LIMIT = 60.0
"""Seconds to wait until Ray knows whether an actor that does not answer is gone, and its machine with it."""
VITALS_EVERY = 5.0


class NodeLost(DaemonError):
    """The other machine is gone, or the way to it: no job's fault."""


class OutpostDied(DaemonError):
    """The actor died at its work while its machine lives: as if a worker of ours had died."""


class Line:
    """Calls to one outpost, and what it means when they fail."""

    def __init__(self, actor: Any, berth: Berth, pulse: Pulse) -> None:
        self._actor = actor
        self._berth = berth
        self._pulse = pulse

    def call(self, method: str, *args: Any, limit: float | None = ANSWER_LIMIT) -> Any:
        """Ask the outpost. Raises NodeLost and OutpostDied."""
        try:
            return ray.get(getattr(self._actor, method).remote(*args), timeout=limit)
        except GetTimeoutError:
            raise NodeLost(f"{self._berth.node} does not answer for {limit} s") from None
        except (ActorDiedError, ActorUnavailableError) as error:
            raise self._judged(error) from None
        except RayError as error:
            if isinstance(error, DaemonError):
                raise
            raise NodeLost(f"{self._berth.node}: {error}") from None

    def _judged(self, error: RayError) -> DaemonError:
        """Whether the actor died or its machine: Ray knows the latter only after some seconds."""
        deadline = time.monotonic() + VERDICT_LIMIT
        why = _reason(error)
        while time.monotonic() < deadline:
            if not _lives(self._berth.node_id):
                return NodeLost(f"the machine {self._berth.node} is gone: {why}")
            if isinstance(error, ActorDiedError):
                return OutpostDied(f"the worker on {self._berth.node} died: {why}")
            self._pulse.beat()
            time.sleep(0.5)
            try:
                ray.get(self._actor.ping.remote(), timeout=5.0)
            except GetTimeoutError:
                continue
            except (ActorDiedError, ActorUnavailableError) as again:
                error, why = again, _reason(again)
            else:
                # It is there again, but what it was asked is lost; whatever it does now, we do not hear of it.
                return NodeLost(f"the connection to {self._berth.node} was cut")
        return NodeLost(f"{self._berth.node} does not answer: {why}")


class FarEngine:
    """What the worker's loop needs of an engine that is elsewhere."""

    def __init__(self, name: str, line: Line) -> None:
        self.name = name
        self._line = line

    def unload(self) -> bool:
        """Give the memory of idle models there back."""
        return bool(self._line.call("unload"))


class Envoy(Worker):
    """A worker whose stages are done by an outpost."""

    def __init__(
        self,
        spool: Spool,
        config: Config,
        post: Post,
        pulse: Pulse,
        geometry_workers: int,
        line: Line,
        vitals: Vitals,
    ) -> None:
        engine: Any = FarEngine(vitals.engine or "", line)
        finisher: Any = FarFinisher(line.call)
        super().__init__(spool, config, post, engine, pulse, geometry_workers, finisher)
        self._line = line
        self._asked = float("-inf")
        self._note(vitals)

    def step(self) -> bool:
        """Make sure that somebody is there before a job is claimed for it."""
        if time.monotonic() - self._asked >= VITALS_EVERY:
            self._note(self._line.call("vitals"))
        else:
            self._line.call("ping")
        return super().step()

    def perform(self, stage: str, job: Job, report: Reporter) -> Any:
        """Have the stage done there and publish what comes back. What is left of it stays there."""
        order = Parcel.pack(job, stage, report.status)
        self._line.call("begin", order, limit=self.config.step_limit.of(stage))
        try:
            end = self._followed(report)
        except (Cancelled, Drained):
            self._recall()
            raise
        except OutpostDied as error:
            joblog.append(job.path, str(error))
            raise
        joblog.carry(job.path, end.log)
        self._note(end.vitals)
        if end.bug:
            joblog.append(job.path, end.bug)
            raise OutpostDied(f"a bug in {stage} on {self.post.node}; see job.log")
        parcel.publish(job, order.attempt, end.products)
        if end.error:
            raise end.error
        return order.attempt if end.is_left else None

    def resident(self) -> int:
        """Bytes of memory that the process there keeps."""
        return self._vitals.memory_bytes or 0

    def _followed(self, report: Reporter) -> End:
        """Pass on what the outpost tells until it is done. Raises Cancelled and Drained as a local stage does."""
        steps = 0
        while True:
            news: News = self._line.call("look")
            if news.steps > steps:
                steps = news.steps
                self.pulse.step()
            report.relay(news.status)
            if news.end:
                return news.end

    def _recall(self) -> None:
        """Have the outpost stop at its next step. What it does until then is nobody's any more; should it never
        stop, the supervisor finds this worker without progress."""
        while (news := self._line.call("look", True)).end is None:
            log.debug("waiting for %s to stop at step %d", self.post.node, news.steps)

    def _note(self, vitals: Vitals) -> None:
        self._asked = time.monotonic()
        self._vitals = vitals
        vitals.write(self.spool.root, self.post.name)


def work(
    spool: Spool,
    config: Config,
    post: Post,
    pulse: Pulse,
    geometry_workers: int,
    ready: Callable[[Worker], None],
) -> None:
    """What a worker process with a berth does: join, place the outpost, and work until drained.

    Ends the process with EX_UNAVAILABLE where the other machine is gone, EX_CONFIG where its engine cannot load, and
    EX_SOFTWARE where a job took the outpost down. `ready` is told of the worker when it is.
    """
    assert post.berth
    try:
        connection.join(config)
        # Whose engine: the head's, on every device, or half of a model would be made by another one than the rest.
        config = replace(config, engine=choose.chosen(config))
        line = Line(_placed(config, post, post.berth), post.berth, pulse)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray has put its own in place; nothing is held yet
        vitals = _opened(line, post)
        if vitals.trouble:
            raise EngineUnavailable(vitals.trouble)
        envoy = Envoy(spool, config, post, pulse, geometry_workers, line, vitals)
        ready(envoy)
        envoy.run()
    except EngineUnavailable as error:
        log.error("%s: %s", post.node, error)
        Vitals(post.device, trouble=str(error)).write(spool.root, post.name)
        sys.exit(EX_CONFIG)
    except (NodeLost, connection.NoCluster) as error:
        log.error("%s", error)
        sys.exit(EX_UNAVAILABLE)
    except OutpostDied as error:
        log.error("%s", error)
        sys.exit(EX_SOFTWARE)


def _opened(line: Line, post: Post) -> Vitals:
    """What the outpost says when it is asked to get ready."""
    try:
        vitals: Vitals = line.call("open", limit=None)
        return vitals
    except OutpostDied as error:  # before it could say so: our code is not there, or another one
        return Vitals(
            post.device, trouble=f"{error}; is the same ProtoScale installed there, with its engine?"
        )


def _placed(config: Config, post: Post, berth: Berth) -> Any:
    """The actor, on that machine and no other; Ray starts it as soon as what it takes is free there."""
    return (
        ray.remote(OUTPOST)
        .options(
            num_cpus=0,
            num_gpus=berth.gpus,
            resources={berth.resource: 1} if berth.resource else None,
            scheduling_strategy=NodeAffinitySchedulingStrategy(berth.node_id, soft=False),
            max_restarts=0,
            max_task_retries=0,
        )
        .remote(config, post, version("protoscale"))
    )


def _lives(node_id: str) -> bool:
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())


def _reason(error: RayError) -> str:
    """The line of Ray's message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if line.startswith("The actor")), lines[-1] if lines else ""
    )[:400]
