"""RQ: a worker that forks for each job, with jobs tried again when they were abandoned.

python -m benchmarks.peers.with_rq     the worker
"""

from __future__ import annotations

import os
from pathlib import Path

from rq import Queue, Retry, Worker

from benchmarks.peers.redis_server import WithRedis, fresh
from benchmarks.peers.system import kill, tree, until
from benchmarks.peers.task import REDIS, work

QUEUE = "bench"


class OnRq(WithRedis):
    """The default worker."""

    name = "RQ"
    setting = "Retry(max=3), abandoned jobs looked for every 5 s, appendfsync always"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.queue = Queue(QUEUE, connection=self.client())

    def begin(self) -> None:
        self._start_worker()
        until(lambda: Worker.count(connection=self.client()), "the RQ worker did not start")

    def _start_worker(self) -> None:
        self.worker = self.python("-m", "benchmarks.peers.with_rq", **self.environ())

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        self.queue.enqueue(work, fresh(), photo, seconds, retry=Retry(max=3), result_ttl=0)

    def strike(self) -> None:
        kill(tree(self.worker))
        self._start_worker()


def main() -> None:
    """Work until stopped."""
    import redis

    connection = redis.Redis(unix_socket_path=os.environ[REDIS])
    worker = Worker([QUEUE], connection=connection, job_monitoring_interval=2, maintenance_interval=5)
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    main()
