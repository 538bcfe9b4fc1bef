"""Mutants of the spool that change nothing anyone can see, and why."""

from __future__ import annotations

_NO_PROC = (
    "it matters only where /proc is not mounted, and then the service cannot find its memory or files either"
)

EQUIVALENT: dict[str, str] = {
    "durable.move: always `source.parent != target.parent`": "one fsync more, of a folder that was just fsynced",
    "filesystem.under: raising in `except OSError`": _NO_PROC,
    "trouble.boot: raising in `except OSError`": _NO_PROC,
}
"""The reason, by `Mutant.name`."""
