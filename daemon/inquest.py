"""What a worker's death means: for the job in its hands, for the others it held, and for its device.

    service stopping, disk trouble, engine not loadable     nobody is charged
    a job was in its hands                                   that job is charged, and blamed for the worker
    ... and another one killed a worker of this device just before     the device is to blame; both jobs get it back
    it held other jobs too (finishing while the next ran)     they are given back
    it was an envoy, and its machine or the way there is gone     all are spared
    no job was in its hands                                  what it held stays counted: nobody can tell

What "charged" does to a job is the spool's business (`spool.recovery`).
"""

from __future__ import annotations

import logging
import signal
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

from daemon import disk, joblog
from daemon.child import Crew
from daemon.process import EX_CONFIG, EX_IOERR, EX_SOFTWARE
from daemon.service_record import Death
from spool import layout, policy, recovery
from spool.spool import Spool
from spool.tally import WORKER_DIED, Tally
from spool.trouble import Charge, Verdict

log = logging.getLogger(__name__)

AFTER_OUTAGE = 5.0
"""Seconds that jobs rest longer than the device they were taken from, so that others show first whether it works."""
BENCH = "supervisor"
"""The folder in running/ into which the supervisor claims a job whose record it mends."""


@dataclass(frozen=True)
class Ending:
    """How a worker process ended: its exit code (negative: the signal), and why we ended it, if we did."""

    code: int
    aborted: str | None = None
    stopping: bool = False

    @property
    def how(self) -> str:
        """For people."""
        if self.aborted:
            return f"was aborted: {self.aborted}"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return "ended" if self.code == 0 else f"ended with exit code {self.code}"

    @property
    def gravity(self) -> int:
        """The level of the log line that tells it: who is told to stop before it is ready does as it was told."""
        is_told = self.stopping and self.code == -signal.SIGTERM
        return logging.INFO if is_told else logging.ERROR

    @property
    def is_nobodys_fault(self) -> bool:
        """Whether no job is charged: we stopped it, the disk failed it, or its engine cannot load here.

        Exit code 0 is not among them: a worker ends by itself between jobs only, so with one in its hands
        something in that job ended it.
        """
        return (self.stopping and self.aborted is not None) or self.code in (EX_CONFIG, EX_IOERR)


class Inquest:
    """Judges each death and puts the jobs back; what the disk hinders is done later, the post empty till then."""

    def __init__(self, attempts: int, crews: Sequence[Crew]) -> None:
        self._attempts = attempts
        self._crews = crews
        self._open: dict[str, tuple[str, MutableMapping[str, Verdict]]] = {}

    def hold(self, spool: Spool, crew: Crew, ending: Ending) -> None:
        """A worker died: judge, and put its jobs back."""
        self._open[crew.post.name] = (ending.how, self._judge(spool, crew, ending))
        self.settle(spool)

    def settle(self, spool: Spool) -> None:
        """Put back what is still to be put back."""
        for worker, (how, verdicts) in list(self._open.items()):
            try:
                put_back(spool, worker, self._attempts, how, verdicts)
            except OSError as error:
                if not disk.is_trouble(error):
                    raise
                log.error("worker %s: its jobs are put back later: %s", worker, error)
            else:
                del self._open[worker]

    def is_open(self, worker: str) -> bool:
        """Whether jobs of a dead worker still lie in its folder: a new one must not start beside them."""
        return worker in self._open

    def _judge(self, spool: Spool, crew: Crew, ending: Ending) -> dict[str, Verdict]:
        held = spool.waiting(f"{layout.RUNNING}/{crew.post.name}")
        if ending.is_nobodys_fault:
            return dict.fromkeys(held, Verdict(Charge.REFUNDED))
        if crew.post.node and not (ending.aborted or ending.code == EX_SOFTWARE):
            # An envoy runs nothing of the job itself. It says so where the job took the worker over there down;
            # anything else is the other machine, the network, or Ray.
            return dict.fromkeys(held, Verdict(Charge.SPARED))
        suspect, stage = crew.pulse.job, crew.pulse.stage
        if suspect is None or stage is None or suspect not in held:
            return {}
        verdicts = dict.fromkeys(held, Verdict(Charge.SPARED))
        verdicts[suspect] = Verdict(Charge.KILLED, policy.rest_after(1))
        record = crew.record
        record.finished(sum(other.pulse.finished for other in self._crews if other.record is record))
        before = record.died(Death(suspect, stage))
        if before:
            log.error("%s", record.notice())
            rest = record.pause + AFTER_OUTAGE
            verdicts[suspect] = Verdict(Charge.SPARED, rest, otherwise=Charge.KILLED)
            with disk.unimportant(f"pardon of job {before.job_id}"):
                if recovery.pardon(spool, before.job_id, before.stage, BENCH, rest):
                    log.info(
                        "job %s: its attempt is given back, because %s failed", before.job_id, record.device
                    )
        return verdicts


def put_back(
    spool: Spool, worker: str, attempts: int, how: str, verdicts: MutableMapping[str, Verdict] | None = None
) -> None:
    """Move what a worker held to where it belongs now. Raises OSError; may be repeated."""
    spool.enlist(worker)
    joblog.carry_stacks(spool, worker, how)
    for job_id, folder in recovery.recover(spool, worker, attempts, how, verdicts=verdicts):
        log.warning("job %s: worker %s: %s; on to %s/", job_id, worker, how, folder)
        if folder == layout.FAILED:
            Tally(spool.root, "supervisor").failure(WORKER_DIED)
