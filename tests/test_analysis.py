"""The numbers about a mesh, against shapes whose numbers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh

from daemon.engines.analysis import analyse
from daemon.errors import EngineError


def test_a_box() -> None:
    assert analyse(trimesh.creation.box(extents=[1, 2, 3])) == {
        "watertight": True,
        "edge_manifold": True,
        "winding_consistent": True,
        "dimensions_m": [1.0, 2.0, 3.0],
        "volume_m3": pytest.approx(6),
        "area_m2": pytest.approx(22),
        "faces": 12,
        "faces_asked": None,
        "vertices": 8,
        "components": 1,
        "euler_number": 2,
        "overhang": {"share": 0.0, "degrees": 45.0, "up": "y"},
    }


@pytest.mark.parametrize(
    "mesh",
    [
        trimesh.creation.icosphere(subdivisions=4),
        trimesh.creation.torus(0.4, 0.1),
        trimesh.creation.annulus(0.2, 0.5, 0.3),
        trimesh.creation.capsule(),
    ],
)
def test_agrees_with_trimesh(mesh: trimesh.Trimesh) -> None:
    found = analyse(mesh)
    assert (found["watertight"], found["winding_consistent"]) == (True, True)
    assert found["volume_m3"] == pytest.approx(mesh.volume)
    assert found["area_m2"] == pytest.approx(mesh.area)
    assert found["euler_number"] == mesh.euler_number
    assert found["components"] == mesh.body_count


def test_a_texture_seam_does_not_open_the_surface() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3)
    split = trimesh.Trimesh(
        sphere.vertices[sphere.faces.ravel()], np.arange(sphere.faces.size).reshape(-1, 3), process=False
    )
    assert not split.is_watertight
    assert analyse(split) == analyse(sphere) | {"volume_m3": pytest.approx(analyse(sphere)["volume_m3"])}


def test_minus_zero_is_zero() -> None:
    box = trimesh.creation.box()
    box.apply_translation([0.5, 0.5, 0.5])
    split = trimesh.Trimesh(box.vertices[box.faces.ravel()], np.arange(36).reshape(-1, 3), process=False)
    points = np.array(split.vertices)
    points[:18][points[:18] == 0] = -0.0
    assert analyse(trimesh.Trimesh(points, split.faces, process=False))["watertight"] is True


def test_a_missing_face_leaves_no_volume() -> None:
    box = trimesh.creation.box()
    found = analyse(trimesh.Trimesh(box.vertices, np.asarray(box.faces)[1:], process=False))
    assert (found["watertight"], found["winding_consistent"], found["volume_m3"]) == (False, True, None)
    assert found["euler_number"] == 1


def test_a_flipped_face_is_noticed() -> None:
    box = trimesh.creation.box()
    faces = np.array(box.faces)
    faces[4] = faces[4][::-1]
    found = analyse(trimesh.Trimesh(box.vertices, faces, process=False))
    assert (found["watertight"], found["winding_consistent"], found["volume_m3"]) == (True, False, None)


def test_inside_out_is_a_negative_volume() -> None:
    box = trimesh.creation.box()
    turned = trimesh.Trimesh(box.vertices, np.asarray(box.faces)[:, ::-1], process=False)
    assert analyse(turned)["volume_m3"] == pytest.approx(-1)


def test_volume_far_from_the_origin_keeps_its_digits() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    here = analyse(sphere)["volume_m3"]
    sphere.apply_translation([4096, -4096, 4096])
    assert analyse(sphere)["volume_m3"] == pytest.approx(here, rel=1e-6)


def test_pieces_and_vertices_that_no_face_uses() -> None:
    two = trimesh.util.concatenate(
        [trimesh.creation.box(), trimesh.creation.box().apply_translation([4, 0, 0])]
    )
    assert isinstance(two, trimesh.Trimesh)
    loose = trimesh.Trimesh(
        np.vstack([[[50, 50, 50]], two.vertices]), np.asarray(two.faces) + 1, process=False
    )
    found = analyse(loose)
    assert (found["components"], found["vertices"], found["euler_number"]) == (2, 16, 4)
    assert found["dimensions_m"] == [5.0, 1.0, 1.0]


def test_a_collapsed_face_does_not_count_as_a_hole() -> None:
    box = trimesh.creation.box()
    split = np.vstack([box.vertices, box.vertices[[0]]])
    found = analyse(trimesh.Trimesh(split, np.vstack([box.faces, [[0, 8, 1]]]), process=False))
    assert (found["watertight"], found["faces"], found["euler_number"]) == (True, 13, 2)


@pytest.mark.parametrize(
    "mesh", [trimesh.Trimesh(), trimesh.Trimesh([[0, 0, 0]] * 3, [[0, 1, 2]], process=False)]
)
def test_nothing_is_still_json(mesh: trimesh.Trimesh) -> None:
    found = analyse(mesh)
    assert (found["watertight"], found["volume_m3"], found["area_m2"]) == (False, None, 0.0)
    assert (found["components"], found["dimensions_m"]) == (0, [0.0, 0.0, 0.0])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    box = trimesh.creation.box()
    box.vertices[2, 1] = bad
    with pytest.raises(EngineError, match="not finite"):
        analyse(box)
