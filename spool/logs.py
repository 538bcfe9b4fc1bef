"""Log lines: to stderr, which a terminal shows and systemd's journal keeps."""

from __future__ import annotations

import logging
import os
import sys


class _Priority(logging.Formatter):
    """Under systemd each line starts with its syslog priority (sd-daemon(3)), and the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        level = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def to_stderr(level: str, name: str, *, log_format: str = "text") -> None:
    """Send this process's log lines to stderr, marked with `name`."""
    stream = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        from spool.json_lines import JsonLines  # only whoever asks for it pays for it

        stream.setFormatter(JsonLines(name))
    elif os.environ.get("JOURNAL_STREAM"):
        stream.setFormatter(_Priority(f"{name}: %(message)s"))
    else:
        stream.setFormatter(logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
    # Said once per file by libraries at INFO; ours is what people read.
    for chatty in ("PIL", "trimesh", "watchdog", "numba", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
