"""The real supervisor, envoys and outposts, with stages that sleep and write a few bytes.

The one seam is what an outpost does in a stage: see `tests.cluster.sleepy`.
"""

from __future__ import annotations

from functools import partial

from daemon import child, process, service_record
from daemon.config import Config
from daemon.devices import Post
from daemon.pulse import Pulse
from spool.logs import to_stderr
from spool.notify import Systemd
from spool.settings import read


def main() -> int:
    """What `protoscale run --no-http` does, with shorter pauses."""
    from daemon.supervisor import Supervisor

    config = read(Config)
    to_stderr(config.log_level, "supervisor")
    process.spawn = partial(process.spawn, target=_work)
    service_record.FIRST_PAUSE = 0.5
    child.LONGEST_PAUSE = 2.0
    return Supervisor(config, Systemd({}), with_http=False).run()


def _work(parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    from daemon.cluster import envoy
    from spool import policy
    from tests.cluster.sleepy import SleepyOutpost

    policy.FIRST_REST = 0.5
    envoy.OUTPOST = SleepyOutpost
    process.main(parent, config, post, pulse, geometry_workers)


if __name__ == "__main__":
    raise SystemExit(main())
