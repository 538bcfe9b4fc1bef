"""Which stage a worker takes next, and how soon a job is tried again. The one place that decides it.

The workers, the forecast that people are told (`spool.forecast`) and the simulation all use this page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spool.layout import GEOMETRY, INBOX, TEXTURE

FIRST_REST = 2.0
LONGEST_REST = 60.0

FINISHING = 4
"""Jobs of one worker that are finished beside its device at most, each holding a model in memory.

Where presets are mixed, quick steps of the device come in rows, and with two the device waited for its finisher: four
are worth 2 to 6 parts in a hundred of a queue (`benchmarks/simulate.py`).
"""


def rest_after(tried: int) -> float:
    """Seconds a job rests after its `tried`-th attempt failed: 2, 8, 32, then a minute.

    What made it fail (memory another process holds, a driver that recovers) needs time more than it needs tries,
    and meanwhile other jobs get their turn.
    """
    return float(min(LONGEST_REST, FIRST_REST * 4.0 ** (tried - 1)))


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


def leaves_to_faster(mine: float, others: Sequence[float], waiting: int) -> bool:
    """Whether a device that takes `mine` seconds for a stage leaves all `waiting` jobs to faster ones.

    `others` are the seconds that other devices take for it. It does where they will have finished every one of
    those jobs before it had finished the first. Each is taken to be at work, and to have just begun: what is known
    of them is seconds old, and one that is idle has the job before anybody can ask. That they may leave it in their
    turn is not reckoned with.
    """
    within = sum(max(0, int(mine / seconds) - 1) for seconds in others)
    return waiting > 0 and within >= waiting
