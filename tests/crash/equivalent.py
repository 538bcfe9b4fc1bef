"""Mutants of the spool that change nothing anyone can see, and why."""

from __future__ import annotations

_NO_PROC = (
    "it matters only where /proc is not mounted, and then the service cannot find its memory or files either"
)
_NO_FOLDER = "the check is repeated by the look into the folder: one that is not there has no files"
_NOT_KEPT = "the folder is read again each time, which is slower and tells the same"

EQUIVALENT: dict[str, str] = {
    "callbacks.owed: never `not (root / CALLBACKS).is_dir()`": _NO_FOLDER,
    "durable.move: always `source.parent != target.parent`": "one fsync more, of a folder that was just fsynced",
    "filesystem.under: raising in `except OSError`": _NO_PROC,
    "priority.mark: never `wanted == now`": "a mark is renamed to its own name, or one that is not there is removed",
    "priority.marked: never `filesystem.is_past(stamp, now)`": _NOT_KEPT,
    "priority.marked: never `known and known[0] == stamp`": _NOT_KEPT,
    "priority.place: never `not ahead`": "a head start of nothing gives the id back",
    "trouble.boot: raising in `except OSError`": _NO_PROC,
    "writeback._sync_file_range: raising in `except AttributeError`": "the C libraries that there are have it",
}
"""The reason, by `Mutant.name`."""
