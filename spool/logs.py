"""Log lines: to stderr, which a terminal shows and systemd's journal keeps; for people, or as JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from spool.ids import PATTERN

REQUEST: ContextVar[str] = ContextVar("request")
"""The id of the HTTP request that is being answered, for every line that is written meanwhile."""
_FACTS = ("method", "path", "status", "seconds")
_JOB = re.compile(PATTERN.strip("^$"))


class _Priority(logging.Formatter):
    """Under systemd each line starts with its syslog priority (sd-daemon(3)), and the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        level = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


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


def to_stderr(level: str, name: str, log_format: str = "text") -> None:
    """Send this process's log lines to stderr, marked with `name`."""
    stream = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        stream.setFormatter(_Json(name))
    elif os.environ.get("JOURNAL_STREAM"):
        stream.setFormatter(_Priority(f"{name}: %(message)s"))
    else:
        stream.setFormatter(logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
    # Said once per file by libraries at INFO; ours is what people read.
    for chatty in ("PIL", "trimesh", "watchdog", "numba", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
