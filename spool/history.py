"""How long stages take on this machine, from what it finished last: the jobs in `done/` are the record.

Medians, so that a job that waited for a model to load, or a slow disk, does not count for more than one.
"""

from __future__ import annotations

import heapq
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spool import layout
from spool.forecast import Span
from spool.ids import only
from spool.line import PATIENCE
from spool.tally import median

NEWEST = 100
"""Finished jobs that are looked at."""
COUNTED = 20
"""Of those, how many of the same stage, quality and engine count: the newest, because machines change."""
GOOD_FOR = 2.0
"""Seconds between two looks at what is done, at least."""

RELATIVE = {"draft": 1.0, "balanced": 2.0, "high": 3.0, "ultra": 5.0}
"""Roughly how much longer geometry and texture take at one quality than at another; only for qualities that this
machine has not finished lately."""


@dataclass(frozen=True)
class Sample:
    """One finished job: with what, and how long each stage took."""

    engine: str
    quality: str
    spans: Mapping[str, Span]
    seconds: Mapping[str, float]
    """From begin to end, waiting for the finisher's turn too."""


@dataclass(frozen=True)
class _Reading:
    changed_at: int
    good_until: float
    samples: Mapping[str, Sample | None]


_kept: dict[Path, _Reading] = {}


def samples_of(root: Path) -> Sequence[Sample]:
    """The jobs finished last, newest first, read again when the folder has changed, and not all the time."""
    known = _kept.get(root)
    began = time.monotonic()
    if known and began < known.good_until:
        return [sample for sample in known.samples.values() if sample]
    changed_at = (root / layout.DONE).stat().st_mtime_ns
    if known and known.changed_at == changed_at:
        samples = known.samples
    else:
        before = known.samples if known else {}
        ids = heapq.nlargest(NEWEST, only(os.listdir(root / layout.DONE)))
        # A finished job changes no more, so each is read once.
        samples = {
            job_id: before[job_id] if job_id in before else _read(root / layout.DONE / job_id)
            for job_id in ids
        }
    now = time.monotonic()
    _kept.clear()
    _kept[root] = _Reading(changed_at, now + max(GOOD_FOR, PATIENCE * (now - began)), samples)
    return [sample for sample in samples.values() if sample]


def _read(job: Path) -> Sample | None:
    try:
        status = json.loads((job / layout.STATUS).read_bytes())
        quality = json.loads((job / layout.REQUEST).read_bytes())["quality"]
        device, finishing = status.get("device", {}), status.get("finishing", {})
        seconds = {str(stage): float(spent) for stage, spent in status["timings"].items()}
        spans = {
            stage: Span(float(device.get(stage, spent)), float(finishing.get(stage, 0.0)))
            for stage, spent in seconds.items()
        }
        return Sample(str(status["engine"]), str(quality), spans, seconds)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def medians(samples: Iterable[Sample]) -> Mapping[tuple[str, str], Span]:
    """What each stage takes at each quality that was finished, by the newest of them."""
    seen: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for sample in samples:
        for name, span in sample.spans.items():
            if len(seen[name, sample.quality]) < COUNTED:
                seen[name, sample.quality].append(span)
    return {key: _median(spans) for key, spans in seen.items()}


def spans_for(
    known: Mapping[tuple[str, str], Span], qualities: Iterable[str]
) -> Mapping[tuple[str, str], Span] | None:
    """What each stage takes at each of these qualities; None where a stage was never finished."""
    found: dict[tuple[str, str], Span] = {}
    for quality in qualities:
        for stage in layout.STAGES:
            told = known.get((stage.name, quality)) or _scaled(known, stage.name, quality)
            if told is None:
                return None
            found[stage.name, quality] = told
    return found


def _scaled(known: Mapping[tuple[str, str], Span], stage: str, quality: str) -> Span | None:
    """From the nearest quality that is known; removing the background takes the same at each."""
    others = [other for name, other in known if name == stage]
    if not others:
        return None
    order = layout.QUALITIES.index
    nearest = min(others, key=lambda other: abs(order(other) - order(quality)))
    share = 1.0 if stage == "cutout" else RELATIVE[quality] / RELATIVE[nearest]
    span = known[stage, nearest]
    return Span(span.device * share, span.finish * share)


def _median(spans: Sequence[Span]) -> Span:
    return Span(median(span.device for span in spans), median(span.finish for span in spans))
