"""Writing so that what was acknowledged survives power loss.

Three kernel facts shape this file. A rename is atomic, but neither the name nor the bytes behind it are on
the disk before an fsync of the directory and of the file. A failed fsync may have dropped the dirty pages,
so trying it again and seeing success proves nothing: the error goes up, nothing is acknowledged. And a
file system may persist a rename before the bytes of the renamed file: bytes first, always.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from spool import ballast


def fsync(path: Path, *, bytes_only: bool = False) -> None:
    """Put a file or a directory on the disk. Raises OSError, and is then not to be tried again.

    With `bytes_only`, when a file was renamed may get there when it likes.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if bytes_only:
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a directory, and those above it that are missing, each on the disk when this returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync(path.parent)


_passing: ContextVar[bool] = ContextVar("passing", default=False)


@contextmanager
def passing() -> Iterator[None]:
    """What this thread writes in here may be lost with the machine: the record of it is elsewhere."""
    token = _passing.set(True)
    try:
        yield
    finally:
        _passing.reset(token)


def aside_of(path: Path) -> Path:
    """Where this thread writes what will be at `path`. By thread: one HTTP server answers two about a job at once."""
    return Path(_aside_of(path))


def _aside_of(path: Path) -> str:
    # Text, not paths, here and below: a job is some twenty writes, and pathlib took as long as the kernel did.
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.{os.getpid()}-{threading.get_native_id()}.aside"


def replace(path: Path, content: bytes, *, durable: bool = True, named: bool = True) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, never a torn one.

    With `durable`, it is also on the disk when this returns; without `named`, its bytes are, and its name once its
    folder is fsynced next: after a power cut the file is there whole, or not at all. Two writers of the same path do
    not disturb each other: the later rename wins.
    """
    aside = _aside_of(path)
    durable = durable and not _passing.get()
    try:
        make(aside, content, durable=durable)
        os.rename(aside, path)  # noqa: PTH104
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    if durable and named:
        fsync(path.parent)


def make(path: str, content: bytes, *, durable: bool = False) -> None:
    """Write a small file where nobody reads yet. With `durable`, its bytes are on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def amend(path: Path, before: bytes, content: bytes) -> None:
    """Make a small file that holds `before` hold `content`, on the disk when this returns.

    Where one byte differs, it is written over the old one: a reader, and a power cut, find one or the other. That
    takes a fifth of what `replace` does, which makes a file, and waits for its name too.
    """
    changed = [at for at, (old, new) in enumerate(zip(before, content, strict=False)) if old != new]
    try:
        if len(before) == len(content) and len(changed) == 1:
            _overwrite(path, changed[0], content[changed[0] : changed[0] + 1])
        else:
            replace(path, content)
    except PermissionError:
        replace(path, content)  # a file that another user made in a folder of ours: now it is ours too
    except OSError as error:
        _with_room(path, content, error)


def _overwrite(path: Path, at: int, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, content, at)
        if not _passing.get():
            os.fdatasync(descriptor)  # the time of the change may get to the disk when it likes
    finally:
        os.close(descriptor)
    os.utime(path.parent)  # as a rename does it: readers go by the folder's times


def clear_asides(folder: Path) -> None:
    """Remove the half-written files that processes left in `folder` when they were killed during a `replace`.

    Only for a folder whose writers are dead. One that lives all the same finds its file gone and is told so by
    FileNotFoundError, as if the folder had moved.
    """
    for aside in folder.glob(".*.aside"):
        aside.unlink(missing_ok=True)


def replace_json(
    path: Path, value: Any, *, durable: bool = True, named: bool = True, has_ballast: bool = True
) -> None:
    """`replace` with a JSON value, a line for each of its keys, because people read these files too.

    On a full disk it has the ballast, which is not for news that can be told again: they go without.
    """
    content = lines(value)
    try:
        replace(path, content, durable=durable, named=named)
    except OSError as error:
        if not has_ballast:
            raise
        _with_room(path, content, error)


def _with_room(path: Path, content: bytes, error: OSError) -> None:
    """After `error`: not a failed fsync tried again, but a new file, written from memory, with room made for it."""
    if not ballast.spend(path, error):
        raise error
    replace(path, content)


_json = json.JSONEncoder().encode


def lines(value: Any) -> bytes:
    """JSON with a line for each key of an object, keys that are plain words.

    `indent` would take the encoder in Python, ten times as long.
    """
    if not isinstance(value, dict):
        return f"{_json(value)}\n".encode()
    told = ",\n".join(f'  "{key}": {_json(one)}' for key, one in value.items())
    return f"{{\n{told}\n}}\n".encode()


def move(source: Path, target: Path) -> None:
    """Rename `source` to `target` and put both directories on the disk.

    The target's parent comes first: between the two a crash may show the job in both places or in the new
    one, never in none. Raises FileNotFoundError where somebody else was faster.
    """
    try:
        source.rename(target)
    except OSError as error:
        # A folder may need one more block for the new name.
        if not ballast.spend(target, error):
            raise
        source.rename(target)
    fsync(target.parent)
    if source.parent != target.parent:
        fsync(source.parent)
