"""Where a mesh lies over its photo: written by geometry into the mesh's metadata, read back by texture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from daemon.engines.silhouette import texture
from daemon.engines.silhouette.body import Body
from daemon.engines.silhouette.grid import Floats
from daemon.engines.silhouette.sheet import Ints
from daemon.engines.silhouette.subject import Subject
from daemon.errors import EngineError

if TYPE_CHECKING:
    from trimesh import Trimesh


@dataclass(frozen=True)
class Placement:
    """Metre (x, y) shows photo pixel `(centre_x + x * pixels_per_metre, centre_y - y * pixels_per_metre)`.

    The first `front_faces` faces are the photo's side; 0 where that is to be told by the faces' normals.
    `mirrored` says that the back shows the same picture.
    """

    centre_x: float
    centre_y: float
    pixels_per_metre: float
    front_faces: int
    mirrored: bool

    @classmethod
    def of(cls, shape: Body, seen: Subject, mirrored: bool) -> tuple[Placement, Floats]:
        """Scale `shape` to a longest side of 1 m about the origin, y up; the vertices in metres come with it."""
        low, high = shape.points.min(axis=0), shape.points.max(axis=0)
        centre, span = (low + high) / 2, float((high - low).max())
        points = (shape.points - centre) / span * (1, -1, 1)
        placement = cls(
            centre_x=float(centre[0]) * seen.shrink + seen.left,
            centre_y=float(centre[1]) * seen.shrink + seen.top,
            pixels_per_metre=span * seen.shrink,
            front_faces=len(shape.faces) // 2,
            mirrored=mirrored,
        )
        return placement, points

    @classmethod
    def read(cls, mesh: Trimesh, seen: Subject) -> Placement:
        """From the mesh's metadata; for another engine's mesh, its front view laid over the object's frame.

        Raises `EngineError` where the mesh has no extent or the metadata does not belong to it.
        """
        stored = mesh.metadata.get("silhouette")
        if stored is None:
            return cls._fitted(mesh, seen)
        try:
            placement = cls(**{name: stored[name] for name in cls.__dataclass_fields__})
        except (KeyError, TypeError) as error:
            raise EngineError(
                f"the mesh's silhouette record cannot be read ({error}); make the geometry again"
            ) from None
        if not 0 <= placement.front_faces <= len(mesh.faces):
            raise EngineError("the mesh's silhouette record belongs to another mesh; make the geometry again")
        return placement

    @classmethod
    def _fitted(cls, mesh: Trimesh, seen: Subject) -> Placement:
        if len(mesh.faces) == 0 or float(np.max(mesh.extents[:2])) <= 0:
            raise EngineError("the mesh has no surface to lay a texture on; make the geometry again")
        rows, columns = np.nonzero(seen.alpha >= 128)
        width, height = columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
        (left, bottom), (right, top) = mesh.bounds[:, :2]
        scale = float(min(width / max(right - left, 1e-9), height / max(top - bottom, 1e-9))) * seen.shrink
        centre_x = seen.left + (columns.min() + width / 2) * seen.shrink
        centre_y = seen.top + (rows.min() + height / 2) * seen.shrink
        return cls(
            centre_x=float(centre_x - (left + right) / 2 * scale),
            centre_y=float(centre_y + (bottom + top) / 2 * scale),
            pixels_per_metre=scale,
            front_faces=0,
            mirrored=texture.is_profile(seen),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_photo(self, points: Floats) -> Floats:
        """Photo pixel coordinates (n, 2) of `points` (n, 3, metres)."""
        return np.asarray(
            points[:, :2] * (self.pixels_per_metre, -self.pixels_per_metre) + (self.centre_x, self.centre_y)
        )

    def sides(self, mesh: Trimesh) -> tuple[Ints, Ints]:
        """The faces of the photo's side and those of the back."""
        faces = np.asarray(mesh.faces)
        if self.front_faces:
            return faces[: self.front_faces], faces[self.front_faces :]
        toward = mesh.face_normals[:, 2] >= 0
        return faces[toward], faces[~toward]
