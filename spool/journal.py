"""systemd's journal: lines with a priority, and lines about a job with the field JOB_ID.

So `journalctl -u protoscale -p warning` shows what matters, and `journalctl JOB_ID=...` tells one job's story.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys

from spool.ids import PATTERN

JOURNAL = "/run/systemd/journal/socket"
_ABOUT_A_JOB = re.compile(rf"\bjob ({PATTERN.strip('^$')})\b")


def has_stderr() -> bool:
    """Whether stderr is the stream that systemd connected to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or replaced by something that is no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def priority(level: int) -> int:
    """The syslog priority of one of `logging`'s levels."""
    if level >= logging.CRITICAL:
        return 2
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7


class Priority(logging.Formatter):
    """Each line starts with its syslog priority (sd-daemon(3)), and the journal adds the time."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        level = priority(record.levelno)
        return "\n".join(f"<{level}>{line}" for line in self._inner.format(record).splitlines())


class Journal(logging.StreamHandler):  # type: ignore[type-arg]  # it is generic in type stubs only
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
            "PRIORITY": str(priority(record.levelno)),
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
