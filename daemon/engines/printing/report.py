"""The print report: what a slicer's user wants to know before the plastic is warm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from daemon.engines.analysis import OVERHANG_DEGREES, overhang_share
from daemon.engines.base import JSON
from daemon.engines.exports.solid import scale
from daemon.engines.printing.surface import INTERSECTION_SECONDS, Surface
from daemon.engines.printing.walls import thicknesses
from spool.export import MATERIALS

THIN_SHARE = 0.02
"""Up to this share of thin points is the edges and tips that every object has."""


def report(surface: Surface, options: Mapping[str, str], faces_asked: JSON = None) -> dict[str, JSON]:
    """Everything about printing `surface` (metres, y-up) at the size of the options; see docs/exports.md.

    Lengths are millimetres, volumes cubic centimetres. Raises `BadJob` where the size cannot be reached.
    """
    factor = 1000 * scale(surface.positions, options)
    sized = Surface(surface.positions * factor, surface.faces)
    told: dict[str, JSON] = {
        "size_mm": [round(float(side), 4) for side in np.ptp(sized.positions, axis=0)],
        "scale_mm_per_m": factor,
        **_shape(sized),
        "faces": {"asked": faces_asked, "got": len(sized.faces)},
        "overhang": {
            "share": overhang_share(sized.positions, sized.faces),
            "degrees": OVERHANG_DEGREES,
            "up": "y",
        },
        "area_cm2": sized.area / 100,
        "volume_cm3": sized.volume / 1000 if sized.closed else None,
        "material": _material(sized, options["material"]),
        "walls": _walls(sized, float(options["min_wall_mm"])),
    }
    problems = find_problems(told)
    return {"printable": not problems, "problems": list(problems), **told}


def _shape(surface: Surface) -> dict[str, JSON]:
    return {
        "watertight": surface.watertight,
        "manifold": surface.manifold,
        "winding_consistent": not surface.turned_edges,
        "open_edges": surface.open_edges,
        "crowded_edges": surface.crowded_edges,
        "pinched_vertices": surface.pinched,
        "components": surface.components,
        "self_intersections": {
            "pairs": surface.self_intersections(),
            "method": "every pair of faces whose boxes meet, by exact predicates (libigl)",
            "limit_s": INTERSECTION_SECONDS,
        },
    }


def _material(surface: Surface, name: str) -> dict[str, JSON]:
    density = MATERIALS[name]
    grams = surface.volume / 1000 * density if surface.closed else None
    return {"name": name, "density_g_cm3": density, "grams_solid": grams}


def _walls(surface: Surface, wanted: float) -> JSON:
    """None for an open surface: it has no inside to measure."""
    if not surface.closed:
        return None
    measured = thicknesses(surface)
    if not len(measured):
        return None
    percent = {f"percentile_{share}_mm": float(np.percentile(measured, share)) for share in (1, 5, 50)}
    return {
        "min_wall_mm": wanted,
        "thin_share": float((measured < wanted).mean()),
        **percent,
        "samples": len(measured),
        "method": "one ray straight in from points spread evenly over the surface",
    }


def find_problems(told: Mapping[str, JSON]) -> list[str]:
    """What stands in the way of a print, in words; nothing where nothing does."""
    problems = [
        text.format(told[key])
        for key, text in (
            ("open_edges", "the surface has holes: {} edges have one face only"),
            ("crowded_edges", "{} edges have more than two faces"),
            ("pinched_vertices", "parts of the surface touch in single points: {} of them"),
        )
        if told[key]
    ]
    if not told["winding_consistent"]:
        problems.append("faces disagree about which side is out")
    crossing, walls, volume = told["self_intersections"], told["walls"], told["volume_cm3"]
    assert isinstance(crossing, dict)
    if crossing["pairs"] is None:
        problems.append("whether the surface crosses itself could not be found out in time")
    elif crossing["pairs"]:
        problems.append(f"the surface crosses itself: {crossing['pairs']} pairs of faces")
    if isinstance(volume, float) and volume < 0:
        problems.append("the surface is turned inside out")
    if isinstance(walls, dict):
        thin = walls["thin_share"]
        assert isinstance(thin, float)
        if thin > THIN_SHARE:
            problems.append(
                f"{thin:.0%} of the walls are thinner than {walls['min_wall_mm']} mm at this size"
            )
    return problems
