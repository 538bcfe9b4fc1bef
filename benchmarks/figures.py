"""What a benchmark says: figures with every sample, in sections. `python -m benchmarks` runs them all.

A benchmark is a module with `measure(full: bool) -> Section`. It starts what it needs, on free ports and in
folders of its own, and leaves nothing behind.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured thing: all its samples, and what it should reach."""

    what: str
    unit: str
    samples: Sequence[float]
    reach: float | None = None
    """In `unit`; what `median` is held against."""
    at_most: bool = True
    """Whether smaller is better."""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def percentile(self, share: float) -> float:
        """The smallest sample that `share` (0 to 1) of all samples do not exceed."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]

    @property
    def reached(self) -> bool | None:
        """Whether the median is where it should be; None where nothing was promised."""
        if self.reach is None:
            return None
        return self.median <= self.reach if self.at_most else self.median >= self.reach


@dataclass(frozen=True)
class Curve:
    """A line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Plot:
    """A picture for the report: curves over one axis."""

    name: str
    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Section:
    """One part of the report: what was measured, how, and every figure."""

    name: str
    title: str
    how: str
    figures: Sequence[Figure]
    plots: Sequence[Plot] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else a reader must know: versions of the others, what was left out and why."""
