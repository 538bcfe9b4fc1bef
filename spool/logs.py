"""Log lines: to stderr, which a terminal shows and systemd's journal keeps; for people, or as JSON for programs."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from spool import journal
from spool.escape import escaped
from spool.ids import PATTERN

REQUEST: ContextVar[str] = ContextVar("request")
"""The id of the HTTP request that is being answered, for every line that is written meanwhile."""
_FACTS = ("method", "path", "status", "seconds")
_JOB = re.compile(PATTERN.strip("^$"))


class _Json(logging.Formatter):
    """One object a line: time, level, process, message, and the ids of the job and the request it is about."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "message": message,
        }
        # Every line about a job names it in its text, for people; here it is a field of its own.
        if job := _JOB.search(message):
            line["job"] = job[0]
        if request := REQUEST.get(None):
            line["request"] = request
        line.update({name: getattr(record, name) for name in _FACTS if hasattr(record, name)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    """A line for people. Messages tell names that strangers gave: none may look like a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = escaped(record.message)
        return super().formatMessage(record)


def to_stderr(level: str, name: str, log_format: str = "text", identifier: str = "protoscale") -> None:
    """Send this process's log lines to stderr, marked with `name`. `identifier` is the journal's name for it."""
    lines: logging.Formatter = _Json(name) if log_format == "json" else _Text(f"{name}: %(message)s")
    if journal.has_stderr():
        handler: logging.Handler = journal.Journal(identifier)
        handler.setFormatter(journal.Priority(lines))
        sys.excepthook = _log_uncaught
    else:
        handler = logging.StreamHandler(sys.stderr)
        timed = _Text(f"%(asctime)s {name}: %(message)s", "%H:%M:%S")
        handler.setFormatter(lines if log_format == "json" else timed)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Said once per file by libraries at INFO; ours is what people read.
    for chatty in ("PIL", "trimesh", "watchdog", "numba", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def complain(text: str) -> None:
    """An error's text for the person who started this process; in the journal it has the priority of one."""
    print(f"<3>protoscale: {text}" if journal.has_stderr() else f"protoscale: {text}", file=sys.stderr)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python prints the traceback of a crash without a priority, and `-p warning` would not show it."""
    logging.getLogger(__name__).critical("a bug: this process ends", exc_info=(kind, error, trace))
