"""Which engine runs here. The concrete engine is imported by `build` alone, inside the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.config import Config

if TYPE_CHECKING:
    from daemon.engines.base import Engine

SILHOUETTE = "silhouette"
DEVICES = {SILHOUETTE: ("cpu",)}
"""The kinds of device each engine can use."""


def chosen(config: Config) -> str:
    """The name of the engine that `ENGINE` means on this machine; found without importing it."""
    return SILHOUETTE


def build(config: Config, device: str) -> Engine:
    """The engine for a worker on `device`. Imports it, loads no model."""
    from daemon.engines.background import BackgroundRemover
    from daemon.engines.silhouette.engine import SilhouetteEngine

    return SilhouetteEngine(BackgroundRemover(config.rembg_model, config.u2net_home))
