"""How fine each quality is, and the constants of the method that every quality shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """`cells` lie along the object's longest side; `texture` is the longest side of a half-atlas, in texels."""

    cells: int
    texture: int


PRESETS = {
    "draft": Preset(cells=96, texture=512),
    "balanced": Preset(cells=192, texture=1024),
    "high": Preset(cells=384, texture=2048),
    "ultra": Preset(cells=640, texture=2048),
}

CREASE = 1.0
"""Strength with which luminance edges hold the surface down; 0 leaves a plain pillow."""

RELIEF = 0.004
"""Height of the relief in metres, for a contrast of about half the tonal range."""

FLATNESS = 0.00015
"""How far, in metres, a merged patch of the interior may lie from the surface it stands for."""

METALLIC = 0.0
ROUGHNESS = 0.7
