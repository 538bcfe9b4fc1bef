"""The spool directory: the queue, the record and the API between processes (see docs/spool.md).

Standard library only, and cheap to import: every process of the service starts here.
"""

from spool.errors import InvalidRequest, NoSuchJob, SpoolError, SpoolFull, SpoolUnusable, WrongState
from spool.job import Job, Request
from spool.layout import QUALITIES, STAGES, Stage
from spool.reader import Found
from spool.spool import Spool
from spool.status import Status

__all__ = [
    "QUALITIES",
    "STAGES",
    "Found",
    "InvalidRequest",
    "Job",
    "NoSuchJob",
    "Request",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "SpoolUnusable",
    "Stage",
    "Status",
    "WrongState",
]
