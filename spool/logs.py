"""Log lines: to stderr, which a terminal shows and systemd's journal keeps.

In the journal a line has its priority, so that `journalctl -u protoscale -p warning` shows what matters, and a line
about a job has the field JOB_ID, so that `journalctl JOB_ID=...` tells one job's story.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys
from types import TracebackType

JOURNAL = "/run/systemd/journal/socket"
_ABOUT_A_JOB = re.compile(r"\bjob ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


def to_stderr(level: str, name: str, identifier: str = "protoscale") -> None:
    """Send this process's log lines to stderr, marked with `name`. `identifier` is the journal's name for it."""
    if _stderr_is_the_journal():
        handler: logging.Handler = _Journal(identifier)
        handler.setFormatter(_Priority(f"{name}: %(message)s"))
        sys.excepthook = _log_uncaught
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Said once per file by libraries at INFO; ours is what people read.
    for chatty in ("PIL", "trimesh", "watchdog", "numba", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def complain(text: str) -> None:
    """An error's text for the person who started this process; in the journal it has the priority of one."""
    print(f"<3>protoscale: {text}" if _stderr_is_the_journal() else f"protoscale: {text}", file=sys.stderr)


def _stderr_is_the_journal() -> bool:
    """Whether stderr is the stream that systemd connected to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or replaced by something that is no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def _priority(level: int) -> int:
    if level >= logging.CRITICAL:
        return 2
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7


class _Priority(logging.Formatter):
    """Each line starts with its syslog priority (sd-daemon(3)), and the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        level = _priority(record.levelno)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


class _Journal(logging.StreamHandler):  # type: ignore[type-arg]  # it is generic in type stubs only
    """Lines about a job by the journal's own protocol, which has fields; everything else by the stream.

    Not everything by the protocol: there the journal finds out by the sender's id which unit it belongs to, and the
    last words of a process that ends at once would belong to none, and miss from `journalctl -u`.
    """

    def __init__(self, identifier: str) -> None:
        super().__init__(sys.stderr)
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        about = _ABOUT_A_JOB.search(record.getMessage())
        if about is None or not self._sent(record, about[1]):
            super().emit(record)

    def _sent(self, record: logging.LogRecord, job_id: str) -> bool:
        text = "\n".join(line.partition(">")[2] for line in self.format(record).split("\n"))
        fields = {
            "MESSAGE": text,
            "PRIORITY": str(_priority(record.levelno)),
            "SYSLOG_IDENTIFIER": self._identifier,
            "JOB_ID": job_id,
        }
        try:
            self._socket.sendto(b"".join(entry(*field) for field in fields.items()), JOURNAL)
        except OSError:  # journald is being restarted, or the text is too long for a datagram
            return False
        return True


def entry(name: str, value: str) -> bytes:
    """One field in the journal's native protocol: length and bytes, so that a value may hold line breaks."""
    raw = value.encode("utf-8", "replace")
    return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python prints the traceback of a crash without a priority, and `-p warning` would not show it."""
    logging.getLogger(__name__).critical("a bug: this process ends", exc_info=(kind, error, trace))
