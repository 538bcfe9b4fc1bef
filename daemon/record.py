"""What a result is made with: carried by every product, so that it travels with the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from daemon.engines.base import JSON, Engine, Order
from spool.job import Request

KEY = "protoscale"


def order_of(request: Request) -> Order:
    """What a job asks of the engine."""
    return Order(quality=request.quality, seed=request.seed, allow_lower=request.allow_lower)


def made_with(engine: Engine, request: Request, cutout: Mapping[str, JSON]) -> dict[str, JSON]:
    """Engine, effective settings, seed and versions. No times, ids or paths: same work, same bytes."""
    order = order_of(request)
    return {
        "engine": engine.name,
        "quality": request.quality,
        "seed": request.seed,
        "settings": engine.settings(order),
        "remove_bg": request.remove_bg,
        "cutout": dict(cutout),
        "versions": cast("dict[str, JSON]", dict(sorted(engine.versions().items()))),
    }
