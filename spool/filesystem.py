"""What the file system under a spool can be trusted with."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from spool import layout
from spool.errors import SpoolUnusable

_TICK = 50_000_000
_RENAMES = "the service keeps every job by atomic renames, and a crash here may lose or double one"
_EVENTS = "file events from other machines do not arrive, so dropped files are noticed by scanning"
_UNJOURNALED = "ext4 without a journal"
_CONCERNS = {
    "nfs": f"renames and locks over NFS depend on the server, and {_EVENTS}",
    "nfs4": f"renames and locks over NFS depend on the server, and {_EVENTS}",
    "cifs": f"a Windows share has no atomic rename of open folders: {_RENAMES}; {_EVENTS}",
    "smb3": f"a Windows share has no atomic rename of open folders: {_RENAMES}; {_EVENTS}",
    "9p": f"a folder shared with a virtual machine: renames depend on the host, and {_EVENTS}",
    "virtiofs": f"a folder shared with a virtual machine: {_EVENTS}",
    "vfat": f"FAT has no journal: {_RENAMES}",
    "msdos": f"FAT has no journal: {_RENAMES}",
    "exfat": f"exFAT has no journal: {_RENAMES}",
    "ntfs": f"NTFS as Linux writes it does not keep its promises after a power failure: {_RENAMES}",
    "ntfs3": f"NTFS as Linux writes it does not keep its promises after a power failure: {_RENAMES}",
    "ext2": f"ext2 has no journal: {_RENAMES}",
    _UNJOURNALED: f"{_RENAMES}; `tune2fs -O has_journal` gives it a journal while it is not mounted",
    "fuseblk": f"this file system does not keep its promises after a power failure: {_RENAMES}",
    "tmpfs": "everything in it is gone after a restart",
    "ramfs": "everything in it is gone after a restart",
    "overlay": "a container's own layer is gone with the container; mount a volume",
}


def concern(kind: str) -> str:
    """Why a spool should not lie on a file system of that type (proc(5)'s names); empty where it may."""
    why = _CONCERNS.get(kind, "")
    if not why and kind.startswith("fuse"):
        why = f"file systems in user space vary: some have no atomic rename, and on some {_EVENTS}"
    return why


def mounted(path: Path, mountinfo: str) -> tuple[str, str]:
    """Type and mount point of the file system that holds `path`, from the text of proc(5)'s mountinfo."""
    best = ("unknown", "/")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        if path.is_relative_to(mount) and len(mount) >= len(best[1]):
            best = (after.split()[0], mount)
    return best


def under(path: Path) -> tuple[str, str]:
    """Type and mount point of the file system that holds `path`; `unknown` where the kernel does not say.

    An ext4 that was made without a journal is told apart: some machines' images are, to write less.
    """
    try:
        kind, mount = mounted(path.resolve(), Path("/proc/self/mountinfo").read_text())
    except OSError:
        return "unknown", "/"
    return (_UNJOURNALED if kind == "ext4" and not _has_journal(mount) else kind), mount


def _has_journal(mount: str) -> bool:
    """Whether the kernel keeps a journal for the ext4 mounted there; where it does not say, yes."""
    try:
        device = os.stat(mount).st_dev  # noqa: PTH116
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        journals = os.listdir("/proc/fs/jbd2")
    except OSError:
        return True
    # Called `<device>-<inode>`; one that lies on a device of its own has that one's name, and may be anybody's.
    return any(journal.startswith(f"{name}-") or "-" not in journal for journal in journals)


def check_renames(root: Path) -> None:
    """Raise SpoolUnusable where a job could not be renamed from any folder of the spool to any other.

    Each rename is tried with a name that is not there: the kernel compares the mounts before it looks for the
    name (EXDEV comes before ENOENT), so this leaves nothing behind. It also finds what the device numbers do
    not show: the same file system mounted twice. A subvolume it does not find, but that has a number of its own.
    """
    devices = {(root / folder).stat().st_dev for folder in layout.FOLDERS}
    if len(devices) > 1 or any(_is_apart(root / layout.TMP, root / folder) for folder in layout.FOLDERS):
        raise SpoolUnusable(
            f"the folders of the spool {root} lie on different file systems or mounts, where moving a job is "
            "not atomic; put the whole spool on one file system"
        )


def is_past(changed_at: int, now: int) -> bool:
    """Whether a folder's time (nanoseconds since 1970) cannot be that of a change after `now`.

    The kernel's times are as coarse as its clock tick, so two changes may share one: what was read of a folder may
    be kept as "the folder at that time" only where that time was over before the reading: `now` is when it began.
    """
    return now - changed_at > _TICK


def _is_apart(source: Path, target: Path) -> bool:
    try:
        os.rename(source / ".no-such-file", target / ".no-such-file")  # noqa: PTH104
    except OSError as error:
        return error.errno == errno.EXDEV
    return False
