"""The embedded engine: a photo's outline inflated into a closed, textured mesh, on the CPU and without weights."""

from daemon.engines.silhouette.engine import SilhouetteEngine

__all__ = ["SilhouetteEngine"]
