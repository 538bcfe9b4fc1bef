"""STL, PLY and OBJ: formats that hold a surface and little else."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from trimesh import Trimesh

from daemon.engines.exports.rows import rows
from daemon.engines.exports.solid import Solid

_JPEG_QUALITY = 95
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can name: the same model gives the same bytes whenever it is packed."""


def stl(solid: Solid) -> bytes:
    """Binary STL, no colour."""
    return bytes(Trimesh(solid.positions, solid.faces, process=False).export(file_type="stl"))


def ply(solid: Solid) -> bytes:
    """Binary PLY with normals; the texture becomes a colour at each vertex, as PLY has no agreed textures."""
    positions, normals, uv, faces = solid.flat
    mesh = Trimesh(positions, faces, process=False, vertex_normals=normals)
    if "basecolor" in solid.textures:
        mesh.visual.vertex_colors = _sampled(solid.textures["basecolor"], uv)
    return bytes(mesh.export(file_type="ply", vertex_normal=True))


def _sampled(texture: Image.Image, uv: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The texel nearest to each coordinate, RGBA."""
    texels = np.asarray(texture)
    tall, wide = texels.shape[:2]
    across = np.clip((uv[:, 0] % 1.0001 * wide).astype(int), 0, wide - 1)
    down = np.clip(((1 - uv[:, 1] % 1.0001) * tall).astype(int), 0, tall - 1)
    return np.column_stack([texels[down, across], np.full(len(uv), 255, dtype=np.uint8)])


def obj(solid: Solid) -> bytes:
    """Wavefront OBJ, one unit a metre, with `model.mtl` for its material where it has a texture.

    Written here and not with trimesh's exporter, which splits the surface along texture seams and knows no
    PBR maps.
    """
    textured = solid.uv is not None and solid.corners is not None
    parts = ["# ProtoScale; one unit is one metre\n", "mtllib model.mtl\n" if textured else "", "o model\n"]
    parts.append(rows("v %.9g %.9g %.9g\n", solid.positions))
    if solid.uv is not None:
        parts.append(rows("vt %.7g %.7g\n", solid.uv))
    parts.append(rows("vn %.5g %.5g %.5g\n", solid.normals))
    at = solid.faces + 1
    if solid.corners is not None:
        parts.append("usemtl surface\n")
        parts.append(rows("f " + " ".join(["%d/%d/%d"] * 3) + "\n", woven(at, solid.corners + 1, at)))
    else:
        parts.append(rows("f " + " ".join(["%d//%d"] * 3) + "\n", woven(at, at)))
    return "".join(parts).encode()


def woven(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per face: all indices of corner one, then of corner two, then of corner three."""
    return np.stack(columns, axis=2).reshape(len(columns[0]), -1)


def mtl(solid: Solid) -> bytes:
    """The OBJ's material: base colour, and the PBR maps in the names that Blender and others read."""
    lines = ["newmtl surface", "Kd 1 1 1" if solid.textures else "Kd 0.7 0.7 0.7", "Ks 0 0 0", "d 1"]
    keys = {"basecolor": "map_Kd", "metallic": "map_Pm", "roughness": "map_Pr", "normal": "norm"}
    lines += [f"{keys[name]} model_{name}.jpg" for name in keys if name in solid.textures]
    return ("\n".join(lines) + "\n").encode()


def jpeg(picture: Image.Image) -> bytes:
    """A texture at full chroma."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def obj_zip(solid: Solid) -> bytes:
    """The OBJ with its material and textures in one file."""
    files = {"model.obj": obj(solid), "model.mtl": mtl(solid)}
    files |= {f"model_{name}.jpg": jpeg(picture) for name, picture in solid.textures.items()}
    return packed(files)


def packed(files: dict[str, bytes]) -> bytes:
    """A zip of these files in this order, the same bytes whenever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            stored = name.endswith((".jpg", ".png"))
            archive.writestr(entry, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
