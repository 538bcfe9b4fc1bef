"""GLB files: valid, exact, the same bytes every time, and everything comes back."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from trimesh.visual.material import PBRMaterial

from daemon.engines.base import JSON
from daemon.engines.glb import read_extras, read_glb, write_glb
from daemon.errors import EngineError

EXTRAS: dict[str, JSON] = {
    "engine": "silhouette",
    "settings": {"cells": 384, "seed": 7},
    "list": [1, 2.5, None, True, "ü"],
}


def photo(width: int, height: int) -> Image.Image:
    """Smooth colours with a little texture, as JPEG is made for."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [127 + 100 * np.sin(x / 40 + k) * np.cos(y / 55 - k) + 12 * np.sin(x / 3) for k in range(3)]
    return Image.fromarray(np.clip(np.stack(channels, axis=2), 0, 255).astype(np.uint8))


def textured_sphere(base: Image.Image, **more: Any) -> trimesh.Trimesh:
    mesh: trimesh.Trimesh = trimesh.creation.icosphere(subdivisions=3, radius=0.3)
    uv = np.asarray(mesh.vertices)[:, :2] / 0.6 + 0.5
    material = PBRMaterial(baseColorTexture=base, metallicFactor=0.0, roughnessFactor=0.7, **more)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def look(mesh: trimesh.Trimesh) -> tuple[NDArray[np.float64], PBRMaterial]:
    """UV coordinates and material, certain to be there."""
    visual = mesh.visual
    assert isinstance(visual, trimesh.visual.TextureVisuals) and visual.uv is not None
    assert isinstance(visual.material, PBRMaterial)
    return visual.uv, visual.material


def saved(path: Path, mesh: trimesh.Trimesh, extras: dict[str, Any] | None = None) -> Path:
    path.write_bytes(write_glb(mesh, extras or {}))
    return path


def tree_and_body(glb: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, total, length, kind = struct.unpack("<4sIIII", glb[:20])
    assert (magic, version, total, kind) == (b"glTF", 2, len(glb), 0x4E4F534A)
    body_length, body_kind = struct.unpack("<II", glb[20 + length : 28 + length])
    assert body_kind == 0x004E4942 and 28 + length + body_length == total
    assert length % 4 == 0 and body_length % 4 == 0
    return json.loads(glb[20 : 20 + length]), glb[28 + length :]


def test_geometry_comes_back_exactly_and_in_order(tmp_path: Path) -> None:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.123456789)
    order = np.random.default_rng(3).permutation(len(mesh.faces))
    mesh = trimesh.Trimesh(mesh.vertices, np.asarray(mesh.faces)[order], process=False)
    back = read_glb(saved(tmp_path / "m.glb", mesh))
    assert np.array_equal(np.asarray(back.vertices), np.asarray(mesh.vertices, dtype=np.float32))
    assert np.array_equal(back.faces, mesh.faces)


def test_vertices_split_by_a_seam_stay_split(tmp_path: Path) -> None:
    quad = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [9, 9, 9]],
        [[0, 1, 2], [3, 4, 5]],
        process=False,
    )
    back = read_glb(saved(tmp_path / "m.glb", quad))
    assert np.array_equal(back.vertices, quad.vertices)
    assert np.array_equal(back.faces, quad.faces)


def test_material_and_uv_come_back(tmp_path: Path) -> None:
    base, orm, normal = photo(512, 256), photo(300, 300), photo(320, 320)
    mesh = textured_sphere(base, metallicRoughnessTexture=orm, occlusionTexture=orm, normalTexture=normal)
    uv, material = look(read_glb(saved(tmp_path / "m.glb", mesh)))
    assert np.abs(uv - look(mesh)[0]).max() < 1e-7
    assert (material.metallicFactor, material.roughnessFactor) == (0.0, 0.7)
    for name, original in (
        ("baseColorTexture", base),
        ("metallicRoughnessTexture", orm),
        ("occlusionTexture", orm),
        ("normalTexture", normal),
    ):
        image = getattr(material, name)
        assert image.format == "JPEG" and image.size == original.size
        error = np.asarray(image.convert("RGB"), dtype=float) - np.asarray(original, dtype=float)
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
        assert JpegImagePlugin.get_sampling(image) == 0, "colour edges must stay as sharp as grey ones"


def test_a_texture_used_twice_is_stored_once() -> None:
    shared = photo(300, 300)
    tree, _ = tree_and_body(write_glb(textured_sphere(shared, occlusionTexture=shared), {}))
    assert len(tree["images"]) == 1
    material = tree["materials"][0]
    assert (
        material["occlusionTexture"] == material["pbrMetallicRoughness"]["baseColorTexture"] == {"index": 0}
    )


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
def test_small_and_transparent_textures_are_lossless(tmp_path: Path, mode: str) -> None:
    picture = photo(400, 300) if mode == "RGBA" else photo(32, 16)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    _, material = look(read_glb(saved(tmp_path / "m.glb", textured_sphere(picture))))
    back = material.baseColorTexture
    assert back is not None
    assert (back.format, back.mode) == ("PNG", mode)
    assert np.array_equal(np.asarray(back), np.asarray(picture))


def test_extras_and_json_metadata_come_back(tmp_path: Path) -> None:
    mesh = trimesh.creation.box()
    mesh.metadata.clear()
    silhouette = {"cells": 96, "origin": [0.1, -0.2], "mirrored": True, "note": None}
    mesh.metadata.update(silhouette=silhouette, array=np.zeros(3), nan=float("nan"), path=Path("x"))
    path = saved(tmp_path / "m.glb", mesh, EXTRAS)
    assert read_extras(path) == EXTRAS
    assert read_glb(path).metadata == {"silhouette": silhouette}
    assert tree_and_body(path.read_bytes())[0]["asset"]["generator"] == "ProtoScale"


def test_writing_what_was_read_changes_nothing(tmp_path: Path) -> None:
    mesh = textured_sphere(photo(64, 64))
    mesh.metadata["silhouette"] = {"cells": 96}
    first = saved(tmp_path / "somewhere.glb", mesh, EXTRAS)
    second = saved(tmp_path / "else.glb", read_glb(first), EXTRAS)
    third = saved(tmp_path / "third.glb", read_glb(second), EXTRAS)
    assert second.read_bytes() == third.read_bytes()
    assert len(first.read_bytes()) == len(second.read_bytes())


@pytest.mark.parametrize("count", [65_534, 65_535, 65_536])
def test_every_view_is_aligned_and_inside_and_indices_are_in_range(count: int, tmp_path: Path) -> None:
    points = np.random.default_rng(count).normal(size=(count, 3))
    faces = np.array([[0, 1, count - 1], [2, 3, 4], [5, 6, 7]])
    mesh = trimesh.Trimesh(points, faces, process=False)
    glb = write_glb(mesh, EXTRAS)
    tree, body = tree_and_body(glb)
    assert tree["buffers"] == [{"byteLength": len(body)}]
    end = 0
    for view in tree["bufferViews"]:
        assert view["byteOffset"] % 4 == 0 and view["byteOffset"] >= end
        end = view["byteOffset"] + view["byteLength"]
        assert end <= len(body)
    surface = tree["meshes"][0]["primitives"][0]
    indices = tree["accessors"][surface["indices"]]
    assert indices["componentType"] == (5123 if count < 65_535 else 5125)
    position = tree["accessors"][surface["attributes"]["POSITION"]]
    assert np.array_equal(position["max"], points.astype(np.float32).max(axis=0))
    assert np.array_equal(position["min"], points.astype(np.float32).min(axis=0))
    (tmp_path / "m.glb").write_bytes(glb)
    assert np.array_equal(read_glb(tmp_path / "m.glb").faces, faces)


def test_normals_are_unit_and_smooth_over_a_seam() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    # Every face with vertices of its own: as if a seam ran along each edge.
    split = trimesh.Trimesh(
        sphere.vertices[sphere.faces.ravel()], np.arange(sphere.faces.size).reshape(-1, 3), process=False
    )
    tree, body = tree_and_body(write_glb(split, {}))
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]]
    view = tree["bufferViews"][accessor["bufferView"]]
    normals = np.frombuffer(body, "<f4", accessor["count"] * 3, view["byteOffset"]).reshape(-1, 3)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert ((normals * split.vertices).sum(axis=1)).min() > 0.9999


def test_the_same_bytes_from_two_processes() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests'); import test_glb as t, hashlib;"
        "mesh = t.textured_sphere(t.photo(512, 256)); mesh.metadata['b'] = {'z': 1, 'a': 2};"
        "print(hashlib.sha256(t.write_glb(mesh, t.EXTRAS)).hexdigest())"
    )
    root = Path(__file__).parent.parent
    sums = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    mesh = textured_sphere(photo(512, 256))
    mesh.metadata["b"] = {"a": 2, "z": 1}
    assert sums == [hashlib.sha256(write_glb(mesh, EXTRAS)).hexdigest()] * 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    mesh = trimesh.creation.box()
    mesh.vertices[0, 0] = bad
    with pytest.raises(EngineError, match="not finite"):
        write_glb(mesh, {})
    mesh = textured_sphere(photo(8, 8))
    look(mesh)[0][3, 1] = bad
    with pytest.raises(EngineError, match="not finite"):
        write_glb(mesh, {})


def test_a_mesh_without_faces_is_refused() -> None:
    with pytest.raises(EngineError, match="no faces"):
        write_glb(trimesh.Trimesh(), {})


@pytest.mark.parametrize("keep", [0, 10, 19, 25, 300, -1])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path / "broken.glb", trimesh.creation.box())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EngineError, match=r"broken\.glb"):
        read_glb(path)


def test_a_foreign_file_of_several_moved_meshes_comes_back_as_one(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box())
    scene.add_geometry(
        trimesh.creation.box(), transform=trimesh.transformations.translation_matrix([3, 0, 0])
    )
    (tmp_path / "two.glb").write_bytes(scene.export(file_type="glb"))
    back = read_glb(tmp_path / "two.glb")
    assert len(back.faces) == 24
    assert np.allclose(back.bounds, [[-0.5, -0.5, -0.5], [3.5, 0.5, 0.5]])


def test_an_untextured_mesh_gets_a_material_that_is_not_a_mirror() -> None:
    tree, _ = tree_and_body(write_glb(trimesh.creation.box(), {}))
    assert tree["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] == 0.0
    assert "images" not in tree
