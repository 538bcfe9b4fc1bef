"""`model.web.glb`: the model for web pages, its geometry packed with Draco and its textures as WebP."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import DracoPy
import numpy as np
from PIL import Image

from daemon.engines.exports.solid import Solid
from daemon.errors import EngineError

_DRACO, _WEBP = "KHR_draco_mesh_compression", "EXT_texture_webp"
_POSITION_BITS, _UV_BITS, _NORMAL_BITS = 14, 14, 10
"""A place is off by at most 1/32768 of the longest side, a coordinate by an eighth of a texel of a 2048 atlas."""
_WEBP_QUALITY = 90
_KINDS = {0: ("POSITION", "VEC3"), 1: ("NORMAL", "VEC3"), 3: ("TEXCOORD_0", "VEC2")}
_JSON_CHUNK, _BIN_CHUNK = 0x4E4F534A, 0x004E4942
_FLOAT, _UINT = 5126, 5125


def web_glb(model: Path, solid: Solid) -> bytes:
    """`solid` (metres, y-up) with the materials and extras of the GLB at `model`. Both extensions are required."""
    tree, binary = _chunks(model)
    body = bytearray()
    views: list[dict[str, int]] = []

    def add(content: bytes) -> int:
        views.append({"buffer": 0, "byteOffset": len(body), "byteLength": len(content)})
        body.extend(content + bytes(-len(content) % 4))
        return len(views) - 1

    primitive = {"mode": 4, "material": 0, **_geometry(solid, add, tree)}
    extensions = [_DRACO]
    for image in tree.get("images", []):
        old = tree["bufferViews"][image["bufferView"]]
        start = old.get("byteOffset", 0)
        content = _webp(binary[start : start + old["byteLength"]])
        image |= {"bufferView": add(content), "mimeType": "image/webp"}
    for texture in tree.get("textures", []):
        texture["extensions"] = {_WEBP: {"source": texture.pop("source")}}
    if tree.get("images"):
        extensions.append(_WEBP)
    tree["meshes"][0]["primitives"] = [primitive]
    tree |= {"bufferViews": views, "buffers": [{"byteLength": len(body)}]}
    tree |= {"extensionsUsed": extensions, "extensionsRequired": extensions}
    return _container(tree, bytes(body))


def _geometry(solid: Solid, add: Any, tree: dict[str, Any]) -> dict[str, Any]:
    """Pack the surface; the accessors are said of what a reader decodes, which Draco orders and rounds anew."""
    positions, normals, uv, faces = solid.flat
    packed = DracoPy.encode(
        np.ascontiguousarray(positions, dtype=np.float32),
        faces.astype(np.uint32),
        quantization_bits=_POSITION_BITS,
        compression_level=7,
        normals=normals,
        normal_quantization_bits=_NORMAL_BITS,
        # glTF's texture coordinates begin at the upper left corner.
        tex_coord=None if solid.uv is None else uv * (1.0, -1.0) + (0.0, 1.0),
        tex_coord_quantization_bits=None if solid.uv is None else _UV_BITS,
    )
    decoded = DracoPy.decode(packed)
    accessors: list[dict[str, Any]] = [
        {"componentType": _UINT, "count": int(np.asarray(decoded.faces).size), "type": "SCALAR"}
    ]
    attributes, ids = {}, {}
    for attribute in decoded.attributes:
        name, kind = _KINDS[attribute["attribute_type"]]
        content = attribute["data"]
        attributes[name], ids[name] = len(accessors), attribute["unique_id"]
        accessors.append({"componentType": _FLOAT, "count": len(content), "type": kind})
        if name == "POSITION":
            accessors[-1] |= {"min": content.min(axis=0).tolist(), "max": content.max(axis=0).tolist()}
    tree["accessors"] = accessors
    extension = {"bufferView": add(packed), "attributes": ids}
    return {"indices": 0, "attributes": attributes, "extensions": {_DRACO: extension}}


def _webp(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.save(buffer, "WEBP", quality=_WEBP_QUALITY, method=4)
    return buffer.getvalue()


def _chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    if content[:4] != b"glTF":
        raise EngineError(f"{path.name} is not a GLB file")
    (length,) = struct.unpack_from("<I", content, 12)
    tree: dict[str, Any] = json.loads(content[20 : 20 + length])
    return tree, content[20 + length + 8 :]


def _container(tree: Mapping[str, Any], body: bytes) -> bytes:
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(body), len(text), _JSON_CHUNK)
    return b"".join([head, text, struct.pack("<II", len(body), _BIN_CHUNK), body])
