"""3MF (core specification 1.3, materials extension 1.2): millimetres, one closed mesh, its texture.

Written here because the consortium's library, lib3mf, has no build for ARM (a test reads our files with it), and
trimesh's writer knows no textures. The format is a zip of a few small XML files around the mesh.
"""

from __future__ import annotations

from daemon.engines.exports.meshes import jpeg, packed, woven
from daemon.engines.exports.rows import rows
from daemon.engines.exports.solid import Solid

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
_RELATION = "http://schemas.microsoft.com/3dmanufacturing/2013/01"
_MODEL, _TEXTURE = "3D/3dmodel.model", "3D/Textures/basecolor.jpg"
_TYPES = (
    f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>'
    '<Default Extension="jpg" ContentType="image/jpeg"/></Types>'
)


def threemf(solid: Solid) -> bytes:
    """The package as bytes; positions in millimetres."""
    files = {
        "[Content_Types].xml": _TYPES.encode(),
        "_rels/.rels": _relation(_MODEL, "3dmodel"),
        _MODEL: _model(solid).encode(),
    }
    if solid.uv is not None:
        files["3D/_rels/3dmodel.model.rels"] = _relation(_TEXTURE, "3dtexture")
        files[_TEXTURE] = jpeg(solid.textures["basecolor"])
    return packed(files)


def _relation(target: str, kind: str) -> bytes:
    relation = f'<Relationship Target="/{target}" Id="rel0" Type="{_RELATION}/{kind}"/>'
    return f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{relation}</Relationships>'.encode()


def _model(solid: Solid) -> str:
    triangle = '<triangle v1="%d" v2="%d" v3="%d"'
    resources = ""
    if solid.uv is not None and solid.corners is not None:
        coordinates = rows('<m:tex2coord u="%.7g" v="%.7g"/>\n', solid.uv)
        resources = (
            f'<m:texture2d id="2" path="/{_TEXTURE}" contenttype="image/jpeg"/>\n'
            f'<m:texture2dgroup id="3" texid="2">\n{coordinates}</m:texture2dgroup>\n'
        )
        corners = woven(solid.faces, solid.corners).reshape(-1, 3, 2).transpose(0, 2, 1).reshape(-1, 6)
        triangles = rows(triangle + ' pid="3" p1="%d" p2="%d" p3="%d"/>\n', corners)
    else:
        triangles = rows(triangle + "/>\n", solid.faces)
    vertices = rows('<vertex x="%.9g" y="%.9g" z="%.9g"/>\n', solid.positions)
    default = ' pid="3" pindex="0"' if resources else ""
    return (
        f'{_XML}<model unit="millimeter" xml:lang="en-US" xmlns="{_CORE}" xmlns:m="{_MATERIAL}">\n'
        f'<metadata name="Application">ProtoScale</metadata>\n<resources>\n{resources}'
        f'<object id="1" type="model"{default}><mesh>\n<vertices>\n{vertices}</vertices>\n'
        f"<triangles>\n{triangles}</triangles>\n</mesh></object>\n</resources>\n"
        '<build><item objectid="1"/></build>\n</model>\n'
    )
