"""What can go wrong with a spool, in the caller's terms."""

from __future__ import annotations

from spool.command import typed


class SpoolError(Exception):
    """Base of every error the spool raises on purpose; its text is fit to show to a person."""


class InvalidRequest(SpoolError):
    """A request names something the service does not do; the text names the field and what is accepted."""


class NoSuchJob(SpoolError):
    """No folder of the spool holds a job of that id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r} in this spool; {typed('ls')} lists what there is")
        self.job_id = job_id


class WrongState(SpoolError):
    """The job exists, but where it lies now the asked change is not a legal one."""


class SpoolUnusable(SpoolError):
    """The spool directory cannot be used as it is (permissions, file systems, another supervisor)."""


class SpoolFull(SpoolError):
    """The disk is below the reserve: nothing new is accepted until space is freed."""
