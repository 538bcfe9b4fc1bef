"""Meshes in and out of binary glTF 2.0 files (GLB).

Written here instead of with trimesh's exporter because a result must be the same bytes for the same mesh,
textures must be JPEG (2 MB in 35 ms for a 4096 x 2048 atlas; PNG takes 2 s and 7 MB), and normals must run
smoothly over texture seams. Reading is trimesh's.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh import Trimesh
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from daemon.engines.base import JSON
from daemon.engines.weld import smooth_normals
from daemon.errors import EngineError

GENERATOR = "ProtoScale"
LOSSLESS_PIXELS = 256 * 256
"""Up to this many pixels a texture is kept as PNG: exact, and too small for its size to matter."""

_JSON_CHUNK, _BIN_CHUNK = 0x4E4F534A, 0x004E4942
_ARRAY, _INDICES = 34962, 34963
_COMPONENT = {"float32": 5126, "uint32": 5125, "uint16": 5123}
_KIND = {1: "SCALAR", 2: "VEC2", 3: "VEC3"}
_FACTORS = ("metallicFactor", "roughnessFactor")
_SURFACE_TEXTURES = ("baseColorTexture", "metallicRoughnessTexture")
_OTHER_TEXTURES = ("normalTexture", "occlusionTexture", "emissiveTexture")
_BARE = {"baseColorFactor": [0.7, 0.7, 0.7, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}


def write_glb(mesh: Trimesh, extras: Mapping[str, JSON]) -> bytes:
    """One mesh (metres, y-up) as a GLB; the same mesh and extras give the same bytes, in any process.

    Positions are float32 in their order, faces keep theirs, normals are computed (smooth, also over texture
    seams), UV and PBR material are those of `mesh.visual`; a mesh without a material gets a clay one.
    Textures become JPEG (quality 95, full chroma), or PNG where they are small or transparent. `extras` go
    into `asset.extras`, the JSON entries of `mesh.metadata` into the glTF mesh's extras; other entries and
    vertex colours are not written.

    Raises `EngineError` for a mesh that has no faces or numbers that are not finite.
    """
    _refuse_broken(mesh)
    body = _Body()
    positions = np.ascontiguousarray(mesh.vertices, dtype=np.float32)
    # The largest index of a type is the "primitive restart" mark, so 16 bits hold one vertex less.
    index_type = np.uint16 if len(positions) < np.iinfo(np.uint16).max else np.uint32
    indices = body.add_array(np.asarray(mesh.faces).reshape(-1, 1).astype(index_type), _INDICES)
    attributes = {
        "POSITION": body.add_array(positions, _ARRAY, bounds=True),
        "NORMAL": body.add_array(smooth_normals(mesh), _ARRAY),
    }
    uv = _uv(mesh)
    if uv is not None:
        attributes["TEXCOORD_0"] = body.add_array(uv, _ARRAY)
    material = _material(getattr(mesh.visual, "material", None), body, textured=uv is not None)
    surface = {"attributes": attributes, "indices": indices, "material": 0, "mode": 4}
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": GENERATOR, "extras": dict(extras)},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "model"}],
        "meshes": [{"name": "model", "primitives": [surface], "extras": _json_entries(mesh.metadata)}],
        "materials": [material],
    }
    if body.images:
        # Mirrored or tiled coordinates need repetition; an atlas must not bleed over its border.
        wrap = 33071 if uv is not None and uv.min() >= 0 and uv.max() <= 1 else 10497
        tree["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": wrap, "wrapT": wrap}]
        tree["images"] = body.images
        tree["textures"] = [{"sampler": 0, "source": source} for source in range(len(body.images))]
    tree |= {"accessors": body.accessors, "bufferViews": body.views, "buffers": [{"byteLength": body.size}]}
    return _container(tree, body)


def read_glb(path: Path) -> Trimesh:
    """The mesh of a GLB: vertices and faces in the file's order, nothing merged, metadata as it was written.

    A file with several meshes (not one of ours) comes back as one, placed by its scene.
    Raises `EngineError` where `path` is not a readable GLB with a surface in it.
    """
    header = _header(path)
    try:
        scene = trimesh.load_scene(path, process=False)
        mesh = next(iter(scene.geometry.values())) if len(scene.geometry) == 1 else None
        if mesh is None or len(scene.graph.nodes_geometry) != 1 or _is_moved(scene):
            mesh = scene.to_mesh()
    except (ValueError, LookupError, TypeError, AssertionError, NotImplementedError) as error:
        raise EngineError(f"{path.name} is damaged and cannot be read as a mesh: {error}") from error
    if not isinstance(mesh, Trimesh) or len(mesh.faces) == 0:
        raise EngineError(f"{path.name} holds no surface")
    mesh.metadata.clear()
    mesh.metadata.update(header.get("meshes", [{}])[0].get("extras", {}))
    return mesh


def read_extras(path: Path) -> dict[str, JSON]:
    """What `write_glb` was given as extras. Reads the header only, not the mesh. Raises `EngineError`."""
    extras = _header(path).get("asset", {}).get("extras", {})
    return cast("dict[str, JSON]", extras) if isinstance(extras, dict) else {}


class _Body:
    """The binary chunk under construction, with the JSON lists that describe it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self._sources: dict[int, int] = {}

    def add_array(self, array: NDArray[Any], target: int, bounds: bool = False) -> int:
        """Append an array of shape (count, components); returns its accessor."""
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        accessor: dict[str, Any] = {
            "bufferView": self._add_view(little.tobytes(), {"target": target}),
            "componentType": _COMPONENT[array.dtype.name],
            "count": len(array),
            "type": _KIND[array.shape[1]],
        }
        if bounds:
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_image(self, image: Image.Image) -> int:
        """Append a texture, once however often it is used; returns its index."""
        if id(image) not in self._sources:
            encoded, mime = _encode(image)
            self.images.append({"bufferView": self._add_view(encoded, {}), "mimeType": mime})
            self._sources[id(image)] = len(self.images) - 1
        return self._sources[id(image)]

    def _add_view(self, content: bytes, more: dict[str, int]) -> int:
        self.views.append({"buffer": 0, "byteOffset": self.size, "byteLength": len(content), **more})
        # Every view starts at a multiple of four, as the widest component type wants it.
        padded = content + bytes(-len(content) % 4)
        self.parts.append(padded)
        self.size += len(padded)
        return len(self.views) - 1


def _refuse_broken(mesh: Trimesh) -> None:
    if len(mesh.faces) == 0:
        raise EngineError("the mesh has no faces, so there is nothing to write")
    if not _fits_float32(np.asarray(mesh.vertices)):
        raise EngineError("the mesh has positions that are not finite numbers")


def _fits_float32(numbers: NDArray[Any]) -> bool:
    # Written so that NaN, which compares as false, is refused too.
    return bool((np.abs(numbers) <= np.finfo(np.float32).max).all())


def _uv(mesh: Trimesh) -> NDArray[np.float32] | None:
    """Texture coordinates with glTF's origin, the upper left corner; trimesh has it at the lower left."""
    uv = getattr(mesh.visual, "uv", None)
    if uv is None or len(uv) != len(mesh.vertices):
        return None
    flipped = np.asarray(uv, dtype=np.float64)[:, :2] * (1.0, -1.0) + (0.0, 1.0)
    if not _fits_float32(flipped):
        raise EngineError("the mesh has texture coordinates that are not finite numbers")
    return np.ascontiguousarray(flipped, dtype=np.float32)


def _material(own: PBRMaterial | SimpleMaterial | None, body: _Body, textured: bool) -> dict[str, Any]:
    if own is None:
        return {"name": "clay", "pbrMetallicRoughness": _BARE}
    pbr: PBRMaterial = own if isinstance(own, PBRMaterial) else own.to_pbr()
    surface: dict[str, Any] = {}
    if pbr.baseColorFactor is not None:
        surface["baseColorFactor"] = (np.asarray(pbr.baseColorFactor, dtype=np.float64) / 255).tolist()
    surface |= {key: float(value) for key in _FACTORS if (value := getattr(pbr, key)) is not None}
    material: dict[str, Any] = {"name": str(pbr.name or "surface"), "pbrMetallicRoughness": surface}
    for part, keys in ((surface, _SURFACE_TEXTURES), (material, _OTHER_TEXTURES)) if textured else ():
        for key in keys:
            if (image := getattr(pbr, key)) is not None:
                part[key] = {"index": body.add_image(image)}
    if pbr.emissiveFactor is not None:
        material["emissiveFactor"] = np.asarray(pbr.emissiveFactor, dtype=np.float64).tolist()
    for key in ("alphaMode", "alphaCutoff", "doubleSided"):
        if getattr(pbr, key) is not None:
            material[key] = getattr(pbr, key)
    return material


def _encode(image: Image.Image) -> tuple[bytes, str]:
    """PNG where JPEG would lose too much for nothing (few pixels, real transparency), else JPEG."""
    opaque = not image.has_transparency_data or image.convert("RGBA").getchannel("A").getextrema() == (
        255,
        255,
    )
    exact = image.convert("RGB" if opaque else "RGBA")
    encoded = io.BytesIO()
    if not opaque or image.width * image.height <= LOSSLESS_PIXELS:
        exact.save(encoded, "PNG")
        return encoded.getvalue(), "image/png"
    exact.save(encoded, "JPEG", quality=95, subsampling=0)
    return encoded.getvalue(), "image/jpeg"


def _json_entries(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if isinstance(key, str) and _is_json(value)}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _container(tree: dict[str, Any], body: _Body) -> bytes:
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + body.size
    head = struct.pack("<4sIIII", b"glTF", 2, total, len(text), _JSON_CHUNK)
    return b"".join([head, text, struct.pack("<II", body.size, _BIN_CHUNK), *body.parts])


def _header(path: Path) -> dict[str, Any]:
    """The JSON chunk of a GLB, which the format puts first."""
    with path.open("rb") as file:
        start = file.read(20)
        if len(start) < 20 or start[:4] != b"glTF":
            raise EngineError(f"{path.name} is not a GLB file")
        length, kind = struct.unpack("<II", start[12:])
        text = file.read(length)
    try:
        header = json.loads(text) if kind == _JSON_CHUNK else None
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise EngineError(f"{path.name} is a damaged GLB file: its header is not JSON")
    return header


def _is_moved(scene: trimesh.Scene) -> bool:
    transform, _ = scene.graph[scene.graph.nodes_geometry[0]]
    return not np.array_equal(transform, np.eye(4))
