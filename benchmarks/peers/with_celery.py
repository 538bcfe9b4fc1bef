"""Celery on Redis: acknowledged late, one message at a time, given back when a worker is lost."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from benchmarks.peers.redis_server import WithRedis, fresh
from benchmarks.peers.system import kill, tree, until
from benchmarks.peers.task import REDIS, work

VISIBILITY = 5
"""Seconds after which a message that nobody acknowledged is given out again; the default is an hour."""


def make(socket: str) -> Celery:
    """The application, for worker and client alike."""
    app = Celery("bench", broker=f"redis+socket://{socket}")
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,  # the result is a file
        worker_prefetch_multiplier=1,
        task_serializer="pickle",  # the photo as bytes: JSON would make it a third larger twice
        accept_content=["pickle"],
        broker_transport_options={"visibility_timeout": VISIBILITY},
        worker_hijack_root_logger=False,
    )
    app.task(name="work")(work)
    return app


app = make(os.environ[REDIS]) if REDIS in os.environ else None


class OnCelery(WithRedis):
    """`celery worker --concurrency 1` with the pool that is the default."""

    name = "Celery + Redis"
    pool = "prefork"
    setting = "acks_late, reject_on_worker_lost, prefetch 1, appendfsync always"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.app = make(str(self.socket))

    def begin(self) -> None:
        self._start_worker()
        until(lambda: self.app.control.ping(timeout=0.5), "the Celery worker did not start")

    def _start_worker(self) -> None:
        options = ["--pool", self.pool, "--concurrency", "1", "--loglevel", "WARNING"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.worker = self.python(
            "-m",
            "celery",
            "-A",
            "benchmarks.peers.with_celery:app",
            "worker",
            *options,
            C_FORCE_ROOT="1",
            **self.environ(),
        )

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        self.app.send_task("work", (fresh(), photo, seconds))

    def strike(self) -> None:
        kill(tree(self.worker))
        self._start_worker()


class OnCelerySolo(OnCelery):
    """The same without the pool's process: faster, and a job that takes its worker down takes everything down."""

    name = "Celery + Redis, solo pool"
    pool = "solo"
