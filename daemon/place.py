"""The place where the spool lies, as `protoscale doctor` sees it: may it be used, and is there room."""

from __future__ import annotations

import shutil
from pathlib import Path

from daemon.config import Config
from daemon.finding import BROKEN, OK, WARN, Finding
from spool import filesystem, ownership
from spool.errors import SpoolError
from spool.room import room_left
from spool.spool import Spool


def examine(config: Config) -> list[Finding]:
    """Every check of it. Where the spool cannot be used, what looks at its folders would only say so again."""
    found = spool_folder(config)
    if found.verdict == BROKEN:
        return [found, file_events()]
    return [found, file_system(config), disk(config), file_events()]


def spool_folder(config: Config) -> Finding:
    """Whether the spool can be made and written, each folder of it."""
    try:
        spool = Spool.open(config.spool)
    except SpoolError as error:
        return Finding("spool", BROKEN, str(error), "see the message")
    if whose := ownership.not_writable(spool.root):
        words = f"this user may look into {spool.root}, but not submit or change jobs: {whose}"
        return Finding(
            "spool", BROKEN, words, "use `sudo -u` with that user; to drop photos, inbox/ is enough"
        )
    return Finding("spool", OK, str(spool.root))


def file_system(config: Config) -> Finding:
    """What the spool lies on."""
    kind, mount = filesystem.under(config.spool.absolute())
    words, why = f"{kind} (mounted at {mount})", filesystem.concern(kind)
    if why:
        return Finding("file system", WARN, f"{words}: {why}", "put PROTOSCALE_SPOOL on a local disk")
    return Finding("file system", OK, words)


def disk(config: Config) -> Finding:
    """Free space against the reserve."""
    free = shutil.disk_usage(config.spool).free
    words = f"{free / 2**30:.1f} GiB free, reserve {config.reserve / 2**30:.1f} GiB"
    if not room_left(config.spool, config.reserve):
        return Finding(
            "disk", BROKEN, f"{words}: uploads are refused", "free space, or lower PROTOSCALE_RESERVE"
        )
    return Finding("disk", OK, words)


def file_events() -> Finding:
    """Whether the kernel has inotify instances to give; each process of the service takes one."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if not limit.exists():
        return Finding("file events", WARN, "no inotify here: folders are scanned instead", "")
    count = int(limit.read_text())
    if count < 32:
        return Finding(
            "file events", WARN, f"only {count} inotify instances", "sysctl fs.inotify.max_user_instances=128"
        )
    return Finding("file events", OK, f"inotify, {count} instances for this user")
