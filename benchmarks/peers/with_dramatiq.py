"""Dramatiq on Redis: a message is acknowledged when its job is done, and requeued when its worker goes silent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.redis_server import WithRedis, fresh
from benchmarks.peers.system import kill, tree
from benchmarks.peers.task import REDIS, work

SILENCE = 5_000
"""Milliseconds until a worker counts as dead; the default is a minute."""


def make(socket: str) -> Any:
    """The actor on its broker, for worker and client alike."""
    broker = RedisBroker(
        url=f"unix://{socket}", middleware=[], heartbeat_timeout=SILENCE, maintenance_chance=50_000
    )
    dramatiq.set_broker(broker)
    dramatiq.set_encoder(dramatiq.PickleEncoder())
    return dramatiq.actor(work, broker=broker, queue_name="bench")


if REDIS in os.environ:
    actor = make(os.environ[REDIS])


class OnDramatiq(WithRedis):
    """`dramatiq --processes 1 --threads 1`."""

    name = "Dramatiq + Redis"
    setting = "dead workers' messages requeued after 5 s, appendfsync always"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.actor = make(str(self.socket))

    def begin(self) -> None:
        self._start_worker()

    def _start_worker(self) -> None:
        options = ["--processes", "1", "--threads", "1", "--skip-logging", "--use-spawn"]
        self.worker = self.python(
            "-m", "dramatiq", "benchmarks.peers.with_dramatiq", *options, **self.environ()
        )

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        self.actor.send(fresh(), photo, seconds)

    def strike(self) -> None:
        kill(tree(self.worker))
        self._start_worker()
