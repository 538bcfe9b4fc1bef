"""`model.web.glb`: valid by Khronos' own validator, and the same model once unpacked."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import DracoPy
import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh import Trimesh

from daemon.export import make
from spool.export import Export
from tests.exports.models import BLUE, BOX, OFFSET, RED, box, finished

VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
BUILD = Path(__file__).parents[2] / "build" / "gltf-validator"
SCRIPT = """
const validator = require("gltf-validator"), fs = require("fs");
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


@pytest.fixture(scope="module")
def validate() -> Any:
    """Khronos' validator, fetched once into build/."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the Khronos validator runs on node, which is not here")
    if not (BUILD / "node_modules" / "gltf-validator").exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(BUILD), VALIDATOR]
        fetched = subprocess.run(command, capture_output=True, text=True, check=False)
        if fetched.returncode:
            pytest.skip(f"the Khronos validator could not be fetched: {fetched.stderr[-300:]}")

    def run(path: Path) -> Any:
        told = subprocess.run(
            ["node", "-e", SCRIPT, str(path)], cwd=BUILD, capture_output=True, text=True, check=True
        )
        return json.loads(told.stdout)

    return run


def test_the_validator_finds_no_fault(validate: Any, tmp_path: Path) -> None:
    for name, mesh in (("textured", box()), ("bare", trimesh.creation.icosphere(3))):
        _, job = finished(tmp_path / name, mesh)
        told = validate(
            make(job.path, Export.of("model.web.glb", [("height_mm", "90"), ("origin", "ground")]))
        )
        # A normal map without tangents is read with those that the reader makes, in every known reader.
        faults = {one["code"] for one in told["issues"]["messages"] if one["severity"] < 2}
        assert faults <= {"MESH_PRIMITIVE_GENERATED_TANGENT_SPACE"}, told["issues"]
        assert told["issues"]["numErrors"] == 0
        assert told["info"]["totalTriangleCount"] == len(mesh.faces)
    damaged = tmp_path / "damaged.glb"
    damaged.write_bytes(b"glTF" + bytes(40))
    assert validate(damaged)["issues"]["numErrors"] > 0


def unpacked(path: Path) -> tuple[dict[str, Any], Any, list[Image.Image]]:
    """The JSON, the decoded geometry, and the pictures."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    tree, body = json.loads(content[20 : 20 + length]), content[28 + length :]
    views = [body[one["byteOffset"] :][: one["byteLength"]] for one in tree["bufferViews"]]
    extension = tree["meshes"][0]["primitives"][0]["extensions"]["KHR_draco_mesh_compression"]
    pictures: list[Image.Image] = [
        Image.open(io.BytesIO(views[image["bufferView"]])) for image in tree.get("images", [])
    ]
    return tree, DracoPy.decode(views[extension["bufferView"]]), pictures


def test_it_is_the_same_model(tmp_path: Path) -> None:
    _, job = finished(tmp_path / "spool", box())
    tree, decoded, pictures = unpacked(make(job.path, Export.of("model.web.glb", [])))
    mesh = Trimesh(decoded.points, decoded.faces)
    assert mesh.is_watertight and len(mesh.faces) == 12
    np.testing.assert_allclose(mesh.bounds, OFFSET + np.outer([-0.5, 0.5], BOX), atol=1 / 16384)
    assert mesh.volume == pytest.approx(np.prod(BOX), rel=1e-3)
    assert [picture.format for picture in pictures] == ["WEBP"] * 3
    primitive = tree["meshes"][0]["primitives"][0]
    ids = primitive["extensions"]["KHR_draco_mesh_compression"]["attributes"]
    uv = decoded.get_attribute_by_unique_id(ids["TEXCOORD_0"])["data"]
    normals = decoded.get_attribute_by_unique_id(ids["NORMAL"])["data"]
    assert (np.abs(np.linalg.norm(normals, axis=1) - 1) < 0.02).all()
    accessors = [tree["accessors"][at] for at in primitive["attributes"].values()]
    assert {accessor["count"] for accessor in accessors} == {len(decoded.points)}
    front = (decoded.points[decoded.faces][:, :, 2] > OFFSET).all(axis=1)
    assert front.sum() == 2
    assert not (uv[decoded.faces[front]][:, :, 0] > 0.5).any()
    assert (uv[decoded.faces[~front]][:, :, 0] > 0.5).all()
    with pictures[0].convert("RGB") as base:
        for at, own in ((8, RED), (56, BLUE)):
            assert np.abs(np.subtract(np.asarray(base)[16, at].astype(int), own)).max() < 16


def test_it_is_much_smaller(tmp_path: Path) -> None:
    _, job = finished(tmp_path / "spool", trimesh.creation.icosphere(5))
    packed = make(job.path, Export.of("model.web.glb", []))
    assert packed.stat().st_size * 5 < (job.path / "model.glb").stat().st_size
    assert extras(packed) == extras(job.path / "model.glb")


def extras(path: Path) -> Any:
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length])["asset"]["extras"]
