"""Which stage a worker takes next. The one place that decides it, on one machine or many."""

from __future__ import annotations

from collections.abc import Callable

from spool.layout import GEOMETRY, INBOX, TEXTURE


def order(stages: tuple[str, ...], waiting: Callable[[str], int], geometry_workers: int) -> tuple[str, ...]:
    """The folders to claim from, best first.

    Background removal is short and feeds geometry, so the worker that does it and texture takes it first
    whenever the geometry workers would otherwise run dry: fewer jobs wait for them than there are workers.
    Otherwise what is nearest to its end comes first, which gets results out soonest.
    """
    if stages == ("geometry",):
        return (GEOMETRY,)
    if "geometry" in stages:
        return (TEXTURE, GEOMETRY, INBOX)
    if waiting(GEOMETRY) < geometry_workers:
        return (INBOX, TEXTURE)
    return (TEXTURE, INBOX)
