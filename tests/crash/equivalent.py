"""Mutants of the spool that change nothing anyone can see, and why."""

from __future__ import annotations

EQUIVALENT: dict[str, str] = {}
"""The reason, by the module and what `Mutant.what` says."""
