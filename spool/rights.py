"""What this user may do in a spool, and to whom what lies there belongs.

A spool is written by more users than one: the service, people who drop photos, and an administrator. What one of
them made without thinking of the others is told here, with the command that mends it; nothing is changed.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from spool.errors import SpoolUnusable
from spool.layout import FOLDERS, RUNNING

_FULL = os.R_OK | os.W_OK | os.X_OK
_switching = threading.RLock()


def may_move(job: str | Path) -> bool:
    """Whether this user may move the directory `job` to another folder, as far as the directory itself goes.

    The kernel wants it writable, because its `..` changes, and its owner where it lies in a sticky folder.
    """
    return os.access(job, _FULL, effective_ids=True) and not _sticks(str(job))


def obstacle(path: Path) -> str:
    """What keeps this user from moving `path` out of its folder, and what to do; empty where nothing does."""
    folder = path.parent
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return f"{user_name(os.geteuid())} may not move anything out of {folder}; `{_open_to_us(folder)}`"
    if _sticks(str(path)):
        whose, bare = owner(path), shlex.quote(str(folder))
        return f"{folder} has the sticky bit, so only {whose} may move it out of there; `chmod -t {bare}`"
    if path.is_dir() and not os.access(path, _FULL, effective_ids=True):
        if path.stat().st_uid == os.geteuid():
            return f"its owner may not write it; `chmod -R u+rwX {shlex.quote(str(path))}`"
        return f"it belongs to {owner(path)}; `{give_to_us(path)}`"
    return ""


def owner(path: Path) -> str:
    """Whose it is: the user's name, or number where nobody has it."""
    return user_name(path.stat().st_uid)


def give_to_us(path: Path) -> str:
    """The command that gives `path`, and all below it, to this user."""
    return f"chown -R {user_name(os.geteuid())}:{group_name(os.getegid())} {shlex.quote(str(path))}"


def check_folders(root: Path) -> None:
    """Raises SpoolUnusable where this user may not move jobs into and out of every folder of the spool."""
    for folder in (*(root / name for name in FOLDERS), *(root / RUNNING).iterdir()):
        if folder.is_dir() and not os.access(folder, _FULL, effective_ids=True):
            raise SpoolUnusable(
                f"jobs cannot be moved into or out of {folder}, which belongs to {owner(folder)}; "
                f"`{give_to_us(root)}`, or run the service as the user who owns the spool"
            )


@contextlib.contextmanager
def of_owner(path: Path) -> Iterator[None]:
    """What root makes in here belongs to the owner and group of the directory `path`: it is done with their rights.

    They are no more than the owner has anyway, so nothing that the owner laid there (a link, say) leads root astray.
    Who is not root, or may not change, keeps the rights it has; so does root where the owner cannot get to `path`.
    """
    with _switching:  # the rights are the process's, and one thread must not end them under another
        before = _become_owner(path)
        try:
            yield
        finally:
            if before:
                _be_root_again(*before)


def _become_owner(path: Path) -> tuple[int, list[int]] | None:
    """The group and groups there were; None where nothing changed."""
    if os.geteuid() != 0:
        return None
    before = os.getegid(), os.getgroups()
    try:
        whose = path.stat()
        if whose.st_uid == 0:
            return None
        os.setgroups([whose.st_gid])
    except OSError:
        return None  # not there yet; or a root that may do less than root does
    with contextlib.suppress(OSError):
        os.setegid(whose.st_gid)
        os.seteuid(whose.st_uid)
        if os.access(path, _FULL, effective_ids=True):
            return before
    _be_root_again(*before)
    return None


def _be_root_again(group: int, groups: list[int]) -> None:
    os.seteuid(0)
    os.setegid(group)
    os.setgroups(groups)


def _sticks(path: str) -> bool:
    """Whether a sticky bit keeps what others own where it is."""
    try:
        folder = os.stat(os.path.dirname(path))  # noqa: PTH116, PTH120 (each claim asks)
        if not folder.st_mode & stat.S_ISVTX:
            return False
        return os.geteuid() not in (0, folder.st_uid, os.lstat(path).st_uid)
    except FileNotFoundError:
        return False  # it moved this instant


def _open_to_us(folder: Path) -> str:
    """The command that lets this user move things out of `folder`: by its group, where that is one of ours."""
    name, group = shlex.quote(str(folder)), folder.stat().st_gid
    opens = f"chmod g+rwx {name}"
    return (
        opens
        if group in (os.getegid(), *os.getgroups())
        else f"chgrp {group_name(os.getegid())} {name} && {opens}"
    )


def user_name(number: int) -> str:
    """The name of a user, or the number where nobody has it."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """The name of a group, or the number where none has it."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def for_sudo(user: str) -> str:
    """A user as `sudo -u` takes it from a shell: a number is marked as one."""
    return f"'#{user}'" if user.isdigit() else user
