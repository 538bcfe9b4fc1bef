"""Log lines for programs: one JSON object a line."""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from spool.ids import PATTERN

REQUEST: ContextVar[str] = ContextVar("request")
"""The id of the HTTP request that is being answered, for every line that is written meanwhile."""
_FACTS = ("method", "path", "status", "seconds")
_JOB = re.compile(PATTERN.strip("^$"))


class JsonLines(logging.Formatter):
    """Time, level, process, message, and the ids of the job and the request that a line is about."""

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
