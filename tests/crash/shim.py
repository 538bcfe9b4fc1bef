"""The calls by which Python changes a directory tree, caught in the process that makes them.

Only calls below one folder are seen. A `Watcher` is told before and after each; before a call it may raise (an
injected error), end the process (a kill), or shorten a write.
"""

from __future__ import annotations

import builtins
import io
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

CHANGES = ("creat", "open-rw", "write", "fsync", "rename", "mkdir", "unlink", "rmdir", "truncate", "link")


@dataclass
class Call:
    """One call: what it is, on which paths, and the bytes of a write (at `offset`)."""

    name: str
    path: str
    target: str = ""
    content: bytes = b""
    offset: int = 0


class Watcher(Protocol):
    """What is told of the calls."""

    def before(self, call: Call) -> int | None:
        """About to happen. A number shortens a write to that many bytes."""

    def after(self, call: Call) -> None:
        """It happened, without an error."""


class _Raw(io.FileIO):
    """A file opened for writing whose every write(2) is told."""

    def __init__(self, watcher: Watcher, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self._watcher = watcher
        self._at = os.fstat(self.fileno()).st_size if "a" in mode else 0

    def write(self, content: Any, /) -> int:
        told = Call("write", _path_of(self.fileno()), content=bytes(content), offset=self._at)
        length = self._watcher.before(told)
        if length is not None:
            told.content = told.content[:length]
        written = super().write(told.content)
        assert written == len(told.content)
        self._at += written
        self._watcher.after(told)
        return written


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _text(path: Any, dir_fd: int | None = None) -> str:
    text = os.fsdecode(path)
    return os.path.join(_path_of(dir_fd), text) if dir_fd is not None else os.path.abspath(text)  # noqa: PTH118, PTH100


class Shim:
    """Stands in for the calls in `os` and `io` while it is installed. Threads of the process are seen too."""

    def __init__(self, base: Path, watcher: Watcher) -> None:
        self._base = f"{base}/"
        self._root = str(base)
        self._watcher = watcher
        self._busy = threading.local()
        self._real: dict[str, Callable[..., Any]] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch until the block ends."""
        places = self._places()
        for owner, name, _ in places:
            self._real.setdefault(name, getattr(owner, name))
        saved = [(owner, name, owner.__dict__[name]) for owner, name, _ in places]
        for owner, name, replacement in places:
            setattr(owner, name, replacement)
        try:
            yield
        finally:
            for owner, name, before in saved:
                setattr(owner, name, before)

    def _places(self) -> list[tuple[Any, str, Any]]:
        mine: dict[str, Any] = {
            name: getattr(self, f"_{name}")
            for name in (
                "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "fsync", "fdatasync", "listdir", "scandir",
                "link", "truncate", "write", "pwrite",
            )
        }  # fmt: skip
        places: list[tuple[Any, str, Any]] = [(os, name, function) for name, function in mine.items()]
        places += [
            (os, "open", self._os_open),
            (io, "open", self._io_open),
            (builtins, "open", self._io_open),
        ]
        accessor = getattr(pathlib, "_NormalAccessor", None)  # Python 3.10 keeps its own references
        if accessor is not None:
            for name, function in {**mine, "open": self._io_open}.items():
                if name in accessor.__dict__:
                    places.append((accessor, name, staticmethod(function)))
        return places

    def _ours(self, *paths: str) -> bool:
        return any(path.startswith(self._base) or path == self._root for path in paths)

    def _do(self, call: Call, real: Callable[[], Any]) -> Any:
        """Make the call, told before and after; calls that a watcher makes itself are not told."""
        if getattr(self._busy, "now", False) or not self._ours(call.path, call.target):
            return real()
        self._busy.now = True
        try:
            self._watcher.before(call)
        finally:
            self._busy.now = False
        value = real()
        self._busy.now = True
        try:
            self._watcher.after(call)
        finally:
            self._busy.now = False
        return value

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._do(Call("mkdir", _text(path, dir_fd)), lambda: self._real["mkdir"](path, mode, dir_fd=dir_fd))

    def _rename(self, source: Any, target: Any, **options: Any) -> None:
        call = Call("rename", _text(source), _text(target))
        self._do(call, lambda: self._real["rename"](source, target, **options))

    _replace = _rename

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        call = Call("link", _text(source), _text(target))
        self._do(call, lambda: self._real["link"](source, target, **options))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._do(Call("unlink", _text(path, dir_fd)), lambda: self._real["unlink"](path, dir_fd=dir_fd))

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._do(Call("rmdir", _text(path, dir_fd)), lambda: self._real["rmdir"](path, dir_fd=dir_fd))

    def _truncate(self, path: Any, length: int) -> None:
        text = _path_of(path) if isinstance(path, int) else _text(path)
        self._do(Call("truncate", text, offset=length), lambda: self._real["truncate"](path, length))

    def _fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        self._do(Call("fsync", _path_of(number)), lambda: self._real["fsync"](number))

    def _fdatasync(self, descriptor: int) -> None:
        self._do(Call("fsync", _path_of(descriptor)), lambda: self._real["fdatasync"](descriptor))

    def _write(self, descriptor: int, content: Any) -> int:
        path = "" if getattr(self._busy, "now", False) else _path_of(descriptor)
        if not path.startswith(self._base):
            return int(self._real["write"](descriptor, content))
        call = Call("write", path, content=bytes(content), offset=os.lseek(descriptor, 0, os.SEEK_CUR))
        length = self._watcher.before(call)
        call.content = call.content[:length]
        written = int(self._real["write"](descriptor, call.content))
        self._watcher.after(call)
        return written

    def _pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        call = Call("write", _path_of(descriptor), content=content, offset=offset)
        return int(self._do(call, lambda: self._real["pwrite"](descriptor, content, offset)))

    def _listdir(self, path: Any = ".") -> Any:
        text = _path_of(path) if isinstance(path, int) else _text(path)
        return self._do(Call("listdir", text), lambda: self._real["listdir"](path))

    def _scandir(self, path: Any = ".") -> Any:
        text = _path_of(path) if isinstance(path, int) else _text(path)
        return self._do(Call("scandir", text), lambda: self._real["scandir"](path))

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
        text = _text(path, dir_fd)
        name = "creat" if flags & os.O_CREAT else "open-rw" if flags & (os.O_RDWR | os.O_WRONLY) else "open"
        call = Call(name, text)
        # `posix.open` takes its keywords by position too; so does whoever calls us.
        return self._do(call, lambda: _REAL_OS_OPEN(path, flags, mode, dir_fd=dir_fd))

    def _io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        def plain() -> Any:
            return _REAL_IO_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)

        if isinstance(file, int) or opener is not None or getattr(self._busy, "now", False):
            return plain()
        text = _text(file)
        if not self._ours(text):
            return plain()
        if not set(mode) & set("wax+"):
            return self._do(Call("open", text), plain)
        if "+" in mode or buffering not in (-1, 0, 1):
            raise NotImplementedError(f"the shim does not know open(mode={mode!r}, buffering={buffering})")
        raw = self._do(
            Call("creat", text, content=b"a" if "a" in mode else b""),
            lambda: _Raw(self._watcher, text, mode.replace("t", "").replace("b", "") + "b"),
        )
        if buffering == 0:
            return raw
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)


_REAL_OS_OPEN = os.open
_REAL_IO_OPEN = io.open
