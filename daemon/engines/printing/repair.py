"""Making a surface printable where that can be done, and saying what was changed."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from numpy.typing import NDArray

from daemon.engines.printing.remake import CELLS, anew, united
from daemon.engines.printing.surface import Surface

SPECK_AREA, SPECK_SIZE = 0.001, 0.02
"""A loose piece with less than this share of the area and of the longest side is dirt, not a part."""
UNITED = "parts that ran into each other were united"
ANEW = f"the whole surface was made anew from {CELLS} cells along the longest side"


@dataclass(frozen=True)
class Repaired:
    """The surface after repair, sentences that say what was changed, and what could not be mended."""

    surface: Surface
    changes: tuple[str, ...]
    remaining: tuple[str, ...]


def repair(surface: Surface) -> Repaired:
    """The gentlest repair that makes the surface closed, manifold and free of crossings.

    Doubled faces and specks are removed, faces turned the same way, holes filled with a fan around their
    middle; then closed parts that run into each other are united; only where that is not enough is the whole
    surface made anew (`remake.py`). Nothing is changed in a surface that needs no repair.
    """
    changes: list[str] = []
    mended = surface
    for step in (_drop_doubles, _drop_specks, _turn, _fill):
        mended, change = step(mended)
        changes += [change] if change else []
    for remake, change in ((united, UNITED), (anew, ANEW)):
        why = faults(mended)
        made = remake(mended) if why else None
        if made is not None and len(after := faults(made)) < len(why):
            changes.append(f"{change}, because {' and '.join(why)}")
            mended, why = made, after
    return Repaired(mended, tuple(changes), tuple(faults(mended)))


def faults(surface: Surface) -> list[str]:
    """What keeps a slicer from knowing inside from outside, in words."""
    found = []
    if surface.open_edges:
        found.append(f"it has holes ({surface.open_edges} open edges)")
    if not surface.manifold:
        found.append(f"{surface.crowded_edges + surface.pinched} edges or points join more than one sheet")
    if surface.turned_edges:
        found.append("its faces disagree about which side is out")
    crossings = surface.self_intersections()
    if crossings is None:
        found.append("nobody knows whether it crosses itself: there was no time to find out")
    elif crossings:
        found.append(f"it crosses itself ({crossings} pairs of faces)")
    return found


def _drop_doubles(surface: Surface) -> tuple[Surface, str]:
    _, first = np.unique(np.sort(surface.faces, axis=1), axis=0, return_index=True)
    doubled = len(surface.faces) - len(first)
    if not doubled:
        return surface, ""
    return surface.with_faces(surface.faces[np.sort(first)]), f"{doubled} doubled faces were removed"


def _drop_specks(surface: Surface) -> tuple[Surface, str]:
    labels = surface.piece_of_face
    if labels.max() == 0:
        return surface, ""
    a, b, c = (surface.positions[surface.faces[:, corner]] for corner in range(3))
    area = np.bincount(labels, np.linalg.norm(np.cross(b - a, c - a), axis=1))
    share = area / area.sum()
    longest = np.ptp(surface.positions, axis=0).max()
    sizes = [
        np.ptp(surface.positions[np.unique(surface.faces[labels == label])], axis=0).max()
        if small
        else longest
        for label, small in enumerate(share < SPECK_AREA)
    ]
    speck = np.asarray(sizes) < SPECK_SIZE * longest
    if not speck.any():
        return surface, ""
    return surface.with_faces(surface.faces[~speck[labels]]), f"{int(speck.sum())} loose specks were removed"


def _turn(surface: Surface) -> tuple[Surface, str]:
    """Neighbours agree, and every piece that was in doubt has its outside out. Cavities keep their winding."""
    if surface.turned_edges:
        faces, _ = igl.bfs_orient(surface.faces)
        turned = Surface(surface.positions, np.asarray(faces, dtype=np.int64))
        labels = turned.piece_of_face
        inside_out = np.bincount(labels, _volumes(turned)) < 0
        faces = turned.faces.copy()
        faces[inside_out[labels]] = faces[inside_out[labels]][:, ::-1]
    elif surface.volume < 0:
        faces = surface.faces[:, ::-1].copy()
    else:
        return surface, ""
    count = _reversed(faces, surface.faces)
    return Surface(surface.positions, faces), f"{count} faces were turned over"


def _reversed(new: NDArray[np.int64], old: NDArray[np.int64]) -> int:
    """How many faces go round the other way: no rotation of the old corners is the new face."""
    same = np.zeros(len(old), dtype=bool)
    for shift in range(3):
        same |= (np.roll(old, shift, axis=1) == new).all(axis=1)
    return int((~same).sum())


def _volumes(surface: Surface) -> NDArray[np.float64]:
    """Signed volume between each face and the middle."""
    middle = (surface.positions.min(axis=0) + surface.positions.max(axis=0)) / 2
    a, b, c = (surface.positions[surface.faces[:, corner]] - middle for corner in range(3))
    return np.asarray(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6)


def _fill(surface: Surface) -> tuple[Surface, str]:
    """Close every rim with a fan around its middle."""
    if not surface.open_edges or surface.crowded_edges or surface.turned_edges:
        return surface, ""  # rims are not simple loops there
    # Rims that touch in one point are walked apart: split there, they become one long walk that meets it twice.
    split, original = igl.split_nonmanifold(surface.faces)
    walks = [np.asarray(original)[walk] for walk in igl.boundary_loop_all(np.asarray(split))]
    loops = [loop for walk in walks for loop in _simple(walk.tolist())]
    forth = surface.faces.ravel() * len(surface.positions) + np.roll(surface.faces, -1, axis=1).ravel()
    middles, fans = [], []
    for at, loop in enumerate(loops):
        after = np.roll(loop, -1)
        # The fan walks each rim edge against the face that is there.
        if np.isin(loop * len(surface.positions) + after, forth).all():
            loop, after = after, loop
        middles.append(surface.positions[loop].mean(axis=0))
        fans.append(np.column_stack([loop, after, np.full(len(loop), len(surface.positions) + at)]))
    filled = Surface(np.vstack([surface.positions, *middles]), np.vstack([surface.faces, *fans])).compact()
    if filled.volume < 0 and filled.closed:
        filled = Surface(filled.positions, filled.faces[:, ::-1].copy())
    return filled, f"{len(loops)} holes were closed"


def _simple(walk: list[int]) -> list[NDArray[np.int64]]:
    """A closed walk as loops that meet no place twice."""
    loops: list[list[int]] = []
    path: list[int] = []
    for place in walk:
        if place in path:
            at = path.index(place)
            loops.append(path[at:])
            path = path[:at]
        path.append(place)
    return [np.asarray(loop, dtype=np.int64) for loop in [*loops, path] if len(loop) > 2]
