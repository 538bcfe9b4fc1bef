"""Mutants of the spool that change nothing anyone can see, and why."""

from __future__ import annotations

_NO_PROC = (
    "it matters only where /proc is not mounted, and then the service cannot find its memory or files either"
)
_NO_FOLDER = "the check is repeated by the look into the folder: one that is not there has no files"

EQUIVALENT: dict[str, str] = {
    "callbacks.owed: never `not (root / CALLBACKS).is_dir()`": _NO_FOLDER,
    "durable.move: always `source.parent != target.parent`": "one fsync more, of a folder that was just fsynced",
    "filesystem.under: raising in `except OSError`": _NO_PROC,
    "keys.listing: never `not (root / KEYS).is_dir()`": _NO_FOLDER,
    "trouble.boot: raising in `except OSError`": _NO_PROC,
}
"""The reason, by `Mutant.name`."""
