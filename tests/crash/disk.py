"""What a disk may hold after power was cut, given the calls that were made before.

The model, which is stricter than ext4, xfs or btrfs in their usual modes:

* Bytes written to a file and not fsynced since may be there, be gone, be there in part, or read as zeros. Where they
  were written over others, in a file that was never cut off, the old ones may be there instead.
* A change to a directory (creat, mkdir, rename, unlink, rmdir) is on the disk once one of the directories it
  touches is fsynced. Until then it may be there or not, whatever became of other changes, with one rule:
  changes to the same name persist in their order.
* A rename is one change, also between two directories: a journal writes both sides in one transaction.
* An fsync of a file says nothing about its name, an fsync of a directory nothing about its own name.

`Disk` keeps inodes apart from names, so a directory whose own mkdir is lost takes what lies in it along.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from tests.crash.shim import Call

Tree = dict[str, Union[bytes, "Tree"]]
Key = tuple[int, str]
"""A name in a directory: (inode of the directory, name)."""


@dataclass(frozen=True)
class Change:
    """One change to directories: the names whose inode it sets (None: removes)."""

    at: int
    what: str
    sets: tuple[tuple[Key, int | None], ...]

    @property
    def folders(self) -> set[int]:
        return {folder for (folder, _), _ in self.sets}


@dataclass
class Content:
    """A file's bytes: what the last fsync made sure of, and every state since."""

    sure: bytes = b""
    since: list[bytes] = field(default_factory=list)

    @property
    def now(self) -> bytes:
        return self.since[-1] if self.since else self.sure

    def possible(self, way: str) -> bytes:
        """What a crash leaves: `all`, `none`, `torn` (half of what is new) or `zeros`."""
        if not self.since or way == "none":
            return self.sure
        now = self.since[-1]
        if way == "all":
            return now
        known = next(
            (at for at, (a, b) in enumerate(zip(self.sure, now, strict=False)) if a != b),
            min(len(self.sure), len(now)),
        )
        # A file that was cut off in between has given its blocks back, and nothing is left of them.
        old = self.sure if all(len(state) >= len(self.sure) for state in self.since) else b""
        if way == "torn":
            half = known + (len(now) - known) // 2
            return now[:half] + old[half:]
        return now[:known] + old[known:].ljust(len(now) - known, b"\0")


WAYS = ("none", "all", "torn", "zeros")


class Disk:
    """Follows the calls of one process tree below `base` and says what a crash now could leave."""

    def __init__(self, base: Path) -> None:
        self._base = str(base)
        self._inodes = 1
        self.now: dict[int, dict[str, int]] = {0: {}}
        """Directories as the kernel shows them: inode to names."""
        self.sure: dict[int, dict[str, int]] = {0: {}}
        """The same, with only what is certainly on the disk."""
        self.files: dict[int, Content] = {}
        self.open_changes: list[Change] = []
        self.calls = 0
        self.published: dict[tuple[str, str], set[int]] = {}
        """Inodes that ever had a given name in a folder of a given name: which bytes count as whole."""

    def before(self, call: Call) -> int | None:
        return None

    def after(self, call: Call) -> None:
        """Take one call in."""
        self.calls += 1
        step = getattr(self, f"_{call.name}".replace("-", "_"), None)
        if step:
            step(call)

    # --- the calls -------------------------------------------------------------------------------------

    def _key(self, path: str) -> Key:
        folder, _, name = path.rpartition("/")
        return self._folder(folder), name

    def _folder(self, path: str) -> int:
        at = 0
        for name in path[len(self._base) :].strip("/").split("/"):
            if name:
                at = self.now[at][name]
        return at

    def _new(self) -> int:
        self._inodes += 1
        return self._inodes

    def _change(self, what: str, *sets: tuple[Key, int | None]) -> None:
        for (folder, name), inode in sets:
            if inode is None:
                del self.now[folder][name]
            else:
                self.now[folder][name] = inode
        self.open_changes.append(Change(self.calls, what, sets))

    def _mkdir(self, call: Call) -> None:
        inode = self._new()
        self.now[inode], self.sure[inode] = {}, {}
        self._change(f"mkdir {call.path}", (self._key(call.path), inode))

    def _creat(self, call: Call) -> None:
        key = self._key(call.path)
        inode = self.now[key[0]].get(key[1])
        if inode is None:
            inode = self._new()
            self.files[inode] = Content()
            self._change(f"creat {call.path}", (key, inode))
            self._named(call.path, inode)
        elif call.content != b"a":
            self.files[inode].since.append(b"")

    def _write(self, call: Call) -> None:
        folder, name = self._key(call.path)
        content = self.files[self.now[folder][name]]
        now = content.now.ljust(call.offset, b"\0")
        content.since.append(now[: call.offset] + call.content + now[call.offset + len(call.content) :])

    def _truncate(self, call: Call) -> None:
        folder, name = self._key(call.path)
        content = self.files[self.now[folder][name]]
        content.since.append(content.now[: call.offset])

    def _rename(self, call: Call) -> None:
        source, target = self._key(call.path), self._key(call.target)
        inode = self.now[source[0]][source[1]]
        self._change(f"rename {call.path} {call.target}", (source, None), (target, inode))
        self._named(call.target, inode)

    def _unlink(self, call: Call) -> None:
        self._change(f"unlink {call.path}", (self._key(call.path), None))

    _rmdir = _unlink

    def _fsync(self, call: Call) -> None:
        folder, name = self._key(call.path)
        inode = 0 if call.path == self._base else self.now[folder][name]
        if inode in self.files:
            self.files[inode] = Content(self.files[inode].now)
        else:
            self._settle(inode)

    def _settle(self, folder: int) -> None:
        """An fsync of a directory: its changes, and what they rest on, are on the disk."""
        wanted: set[Key] = set()
        kept = []
        for change in reversed(self.open_changes):
            keys = {key for key, _ in change.sets}
            if folder in change.folders or keys & wanted:
                wanted |= keys
                kept.append(change)
        for change in reversed(kept):
            _apply(self.sure, change)
        gone = set(map(id, kept))
        self.open_changes = [change for change in self.open_changes if id(change) not in gone]

    def _named(self, path: str, inode: int) -> None:
        folder, _, name = path.rpartition("/")
        job = folder.rpartition("/")[2].removeprefix("adopt-")
        self.published.setdefault((job, name), set()).add(inode)

    def whole(self, job: str, name: str) -> set[bytes]:
        """Every complete content that `name` in the directory of `job` ever had."""
        return {self.files[inode].now for inode in self.published.get((job, name), ()) if inode in self.files}

    # --- crashes ---------------------------------------------------------------------------------------

    def crashes(self, chance: random.Random, samples: int) -> Iterator[Tree]:
        """Trees that a crash now could leave: all the orderly ones, single losses and survivals, and `samples`
        random ones. The same tree may come several times."""
        changes = self.open_changes
        count = len(changes)
        dirty = [inode for inode, content in self.files.items() if content.since]
        ways = WAYS if dirty else ("all",)
        choices: list[frozenset[int]] = [frozenset(range(kept)) for kept in range(count + 1)]
        choices += [self._closed(set(range(count)) - {lost}) for lost in range(count)]
        choices += [self._needed({only}) for only in range(count)]
        for kept in dict.fromkeys(choices):
            for way in ways:
                yield self._tree(kept, dict.fromkeys(dirty, way))
        for _ in range(samples if count > 1 or dirty else 0):
            some = {at for at in range(count) if chance.random() < 0.5}
            grown = self._closed(some) if chance.random() < 0.5 else self._needed(some)
            yield self._tree(grown, {inode: chance.choice(WAYS) for inode in dirty})

    def _closed(self, kept: set[int]) -> frozenset[int]:
        """Without the changes that rest on one that is not kept."""
        lost: set[Key] = set()
        left = set()
        for at, change in enumerate(self.open_changes):
            keys = {key for key, _ in change.sets}
            if at in kept and not keys & lost:
                left.add(at)
            else:
                lost |= keys
        return frozenset(left)

    def _needed(self, kept: set[int]) -> frozenset[int]:
        """With the changes that a kept one rests on."""
        wanted: set[Key] = set()
        grown = set()
        for at in range(len(self.open_changes) - 1, -1, -1):
            keys = {key for key, _ in self.open_changes[at].sets}
            if at in kept or keys & wanted:
                wanted |= keys
                grown.add(at)
        return frozenset(grown)

    def _tree(self, kept: frozenset[int], ways: Mapping[int, str]) -> Tree:
        folders = {inode: dict(names) for inode, names in self.sure.items()}
        for at in sorted(kept):
            _apply(folders, self.open_changes[at])

        def grow(inode: int) -> Tree:
            return {
                name: grow(child) if child in folders else self.files[child].possible(ways.get(child, "all"))
                for name, child in sorted(folders[inode].items())
            }

        return grow(0)


def _apply(folders: dict[int, dict[str, int]], change: Change) -> None:
    for (folder, name), inode in change.sets:
        if inode is None:
            folders[folder].pop(name, None)
        else:
            folders[folder][name] = inode


def digest(tree: Tree) -> bytes:
    """A short name for a tree: equal for equal trees."""
    sha = hashlib.blake2b(digest_size=12)

    def add(part: Tree) -> None:
        for name, child in part.items():
            sha.update(name.encode("utf-8", "surrogateescape") + b"\0")
            if isinstance(child, dict):
                sha.update(b"{")
                add(child)
                sha.update(b"}")
            else:
                sha.update(hashlib.blake2b(child, digest_size=12).digest())

    add(tree)
    return sha.digest()


def lay(tree: Tree, folder: str) -> None:
    """Write the tree out below `folder`, which is made."""
    os.mkdir(folder)  # noqa: PTH102
    for name, child in tree.items():
        path = f"{folder}/{name}"
        if isinstance(child, dict):
            lay(child, path)
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(descriptor, child)
            os.close(descriptor)


def read(folder: str) -> Tree:
    """The tree below `folder` as it lies there."""
    tree: Tree = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                tree[entry.name] = read(entry.path)
            else:
                tree[entry.name] = Path(entry.path).read_bytes()
    return tree
