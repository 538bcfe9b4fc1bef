"""The lookout: a child of the supervisor that watches which machines are in the cluster and writes the roster.

A process of its own, because whoever talks to Ray may be ended by Ray, and the supervisor must live to tell.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from multiprocessing.process import BaseProcess

from daemon.cluster.roster import Roster, machines
from daemon.config import Config
from daemon.devices import NONE
from daemon.pulse import Pulse
from spool.logs import to_stderr
from spool.parent import die_with

log = logging.getLogger(__name__)

NAME = "lookout"
EVERY = 2.0
"""Seconds between two looks at the cluster."""
AGAIN = 5.0
"""Seconds after which a cluster that could not be joined is tried again."""


def main(parent: int, config: Config, pulse: Pulse) -> None:
    """The target of the process: look until killed. It holds nothing that would need a gentle end."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    to_stderr(config.log_level, NAME, config.log_format)
    from daemon.cluster.connection import NoCluster, join

    told = Roster()
    while True:
        pulse.beat()
        try:
            own = join(config)
        except NoCluster as error:
            told = _tell(config, told, Roster(trouble=str(error)))
            time.sleep(AGAIN)
        else:
            break
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray has put its own in place
    pulse.ready()
    while True:
        pulse.beat()
        told = _tell(config, told, look(config, own))
        time.sleep(EVERY)


def look(config: Config, own: str) -> Roster:
    """Who is there. `own` is the id of this machine's node, whose cards are its own workers' unless it has none."""
    import ray

    from daemon.cluster.connection import NoCluster, guard

    ours = config.geometry_devices == config.texture_devices == NONE
    found = machines(ray.nodes(), without_gpus=[] if ours else [own])
    try:
        guard([machine.address for machine in found], config.cluster_public)
    except NoCluster as error:
        return Roster(trouble=str(error))
    return Roster(found)


def _tell(config: Config, before: Roster, now: Roster) -> Roster:
    """Write the roster where it changed."""
    if now.trouble and now.trouble != before.trouble:
        log.error("%s", now.trouble)
    names = {machine.name for machine in now.machines}, {machine.name for machine in before.machines}
    for name in sorted(names[0] - names[1]):
        log.info("the machine %s joined the cluster", name)
    for name in sorted(names[1] - names[0]):
        log.warning("the machine %s left the cluster", name)
    if now != before:
        now.write(config.spool)
    return now


def spawn(config: Config, pulse: Pulse) -> BaseProcess:
    """Start the lookout. From the main thread only (see `spool.parent.die_with`)."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    process = context.Process(target=main, args=(os.getpid(), config, pulse), name=NAME)
    process.start()
    return process
