"""A bare surface with its defects counted: what report and repair agree on."""

from __future__ import annotations

import multiprocessing
import warnings
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection

import igl
import igl.predicates
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from trimesh import Trimesh

from daemon.engines.analysis import edges_of, pieces, volume_and_area
from daemon.engines.weld import weld

INTERSECTION_SECONDS = 60.0


@dataclass(frozen=True)
class Surface:
    """Places (count, 3) float64 and faces (faces, 3) that index them, no face collapsed, every place used."""

    positions: NDArray[np.float64]
    faces: NDArray[np.int64]

    @classmethod
    def of(cls, mesh: Trimesh) -> Surface:
        """The mesh with texture seams closed and collapsed faces left out."""
        count, place, welded = weld(mesh)
        positions = np.zeros((count, 3))
        positions[place] = mesh.vertices
        return cls(positions, welded).compact()

    def compact(self) -> Surface:
        """Without collapsed faces and without places that no face uses."""
        a, b, c = self.faces.T
        faces = self.faces[(a != b) & (b != c) & (c != a)]
        used, renumbered = np.unique(faces, return_inverse=True)
        return Surface(self.positions[used], renumbered.reshape(-1, 3).astype(np.int64))

    def with_faces(self, faces: NDArray[np.int64]) -> Surface:
        """The same places with other faces, compacted."""
        return Surface(self.positions, faces).compact()

    @property
    def mesh(self) -> Trimesh:
        """As a mesh without texture."""
        return Trimesh(self.positions, self.faces, process=False)

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        return edges_of(self.faces, len(self.positions))

    @property
    def open_edges(self) -> int:
        """Edges with one face only: the rims of holes."""
        return int((self._edges[1] == 1).sum())

    @property
    def crowded_edges(self) -> int:
        """Edges with more than two faces."""
        return int((self._edges[1] > 2).sum())

    @property
    def turned_edges(self) -> int:
        """Edges whose two faces disagree about which side is out."""
        return int(((self._edges[1] == 2) & (self._edges[2] != 0)).sum())

    @property
    def watertight(self) -> bool:
        return bool(len(self.faces)) and not (self.open_edges or self.crowded_edges)

    @property
    def closed(self) -> bool:
        """Watertight, and in and out are told apart everywhere: it has a volume."""
        return self.watertight and not self.turned_edges

    @cached_property
    def pinched(self) -> int:
        """Places where parts of the surface touch in that one point only."""
        return int((~np.asarray(igl.is_vertex_manifold(self.faces))).sum())

    @property
    def manifold(self) -> bool:
        """No edge has more than two faces and no place is pinched."""
        return not (self.crowded_edges or self.pinched)

    @property
    def components(self) -> int:
        return pieces(self._edges[0], np.ones(len(self.positions), dtype=bool))

    @cached_property
    def piece_of_face(self) -> NDArray[np.int32]:
        """The number of the piece that each face belongs to."""
        start, end = self.faces[:, [0, 1]].ravel(), self.faces[:, [1, 2]].ravel()
        count = len(self.positions)
        graph = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(count, count))
        labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
        return labels[self.faces[:, 0]]

    @property
    def volume(self) -> float:
        """In the unit of the positions, cubed; it means something where the surface is closed."""
        return volume_and_area(self.positions, self.faces)[0]

    @property
    def area(self) -> float:
        return volume_and_area(self.positions, self.faces)[1]

    def self_intersections(self, seconds: float = INTERSECTION_SECONDS) -> int | None:
        """Pairs of faces that cross or overlap without being neighbours there; None when time ran out.

        An exact test: a tree of boxes finds the candidates, and each pair is decided by Shewchuk's adaptive
        predicates (libigl's `find_self_intersections`), so rounding neither invents nor hides one. It runs in a
        process of its own, because native code can only be stopped from outside.
        """
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_count, args=(self.positions, self.faces, sender), daemon=True)
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside threads (BLAS has some). This child calls one native function.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        sender.close()
        try:
            return int(receiver.recv()) if receiver.poll(seconds) else None
        except EOFError:
            return None  # it died, of too little memory for example: nothing is known
        finally:
            child.kill()
            child.join()
            receiver.close()


def _count(positions: NDArray[np.float64], faces: NDArray[np.int64], sender: Connection) -> None:
    _, pairs, _ = igl.predicates.find_self_intersections(positions, faces, False)
    sender.send(len(pairs))
