"""What each quality means: one table, and the limits that an operator may put on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from daemon.engines.base import JSON


@dataclass(frozen=True)
class Paint:
    """Texture settings.

    `views` are painted, each `resolution` pixels square; `steps` and `guidance` are the diffusion's. The views
    are projected at `render` pixels onto maps of `texture` texels a side.
    """

    views: int
    resolution: int
    steps: int
    guidance: float
    render: int
    texture: int


@dataclass(frozen=True)
class Preset:
    """Shape settings: `octree` cells along each side, decoded `chunks` points at a time, reduced to `faces`."""

    steps: int
    octree: int
    guidance: float
    chunks: int
    faces: int
    paint: Paint | None


_PBR = Paint(views=4, resolution=1024, steps=15, guidance=3.0, render=2048, texture=4096)

PRESETS: Mapping[str, Preset] = {
    "draft": Preset(steps=25, octree=256, guidance=5.0, chunks=8000, faces=20_000, paint=None),
    "balanced": Preset(steps=50, octree=384, guidance=5.0, chunks=8000, faces=40_000, paint=None),
    "high": Preset(steps=50, octree=384, guidance=5.0, chunks=8000, faces=40_000, paint=_PBR),
    "ultra": Preset(steps=100, octree=512, guidance=5.0, chunks=8000, faces=60_000, paint=_PBR),
}

Limits = tuple[tuple[str, int], ...]

LOWER: Mapping[str, tuple[Limits, ...]] = {
    "geometry": ((("octree", 384),), (("octree", 256),)),
    "texture": ((("resolution", 768),), (("resolution", 512),)),
}
"""What a stage that ran out of memory tries instead, one after the other, for a job that allows it: the settings
that its working memory grows with."""

LOWEST: Mapping[str, int] = {
    "steps": 1,
    "octree": 16,
    "chunks": 100,
    "faces": 100,
    "views": 1,
    "resolution": 64,
    "paint_steps": 1,
    "render": 64,
    "texture": 64,
}
"""What PROTOSCALE_HUNYUAN_LIMITS may limit, and how far down."""

_SHAPE = ("steps", "octree", "chunks", "faces")
_PAINT = {"views": "views", "resolution": "resolution", "paint_steps": "steps", "render": "render"}
_PAINT["texture"] = "texture"


RESOLUTION = 64
"""The paint model divides its views down to a 64th, and fails on what is no multiple of it."""


def limits(text: str) -> Limits:
    """`resolution=512,octree=256` as pairs. Raises ValueError."""
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in LOWEST or int(value) < LOWEST[name]:
            raise ValueError(text)
        if name == "resolution" and int(value) % RESOLUTION:
            raise ValueError(text)
        pairs.append((name, int(value)))
    return tuple(pairs)


def preset(quality: str, limited: Limits = (), *, texture: bool = True) -> Preset:
    """The settings of `quality` within the operator's limits; without a `paint` part where there is no texture."""
    base = PRESETS[quality]
    return _within(limited, base if texture else replace(base, paint=None))


def lower(settings: Preset, stage: str) -> Preset | None:
    """The next settings with which `stage` needs less memory than with these, or None where there are none."""
    tried = (_within(limited, settings) for limited in LOWER[stage])
    return next((lowered for lowered in tried if lowered != settings), None)


def _within(limited: Limits, base: Preset) -> Preset:
    caps = dict(limited)
    shape = {name: min(getattr(base, name), caps[name]) for name in _SHAPE if name in caps}
    paint = base.paint
    if paint:
        lowered = {
            field: min(getattr(paint, field), caps[name]) for name, field in _PAINT.items() if name in caps
        }
        paint = replace(paint, **lowered)
    return replace(base, **shape, paint=paint)


def as_json(settings: Preset) -> dict[str, JSON]:
    """For the result record."""
    told: dict[str, JSON] = {
        "steps": settings.steps,
        "octree_resolution": settings.octree,
        "guidance_scale": settings.guidance,
        "num_chunks": settings.chunks,
        "max_faces": settings.faces,
        "texture": settings.paint is not None,
    }
    if settings.paint:
        told |= {
            "max_num_view": settings.paint.views,
            "resolution": settings.paint.resolution,
            "paint_steps": settings.paint.steps,
            "paint_guidance": settings.paint.guidance,
            "render_size": settings.paint.render,
            "texture_size": settings.paint.texture,
        }
    return told
