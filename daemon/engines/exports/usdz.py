"""USDZ: the package that Apple's AR Quick Look opens; made and checked by Pixar's own library."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdUtils, Vt

from daemon.engines.exports.meshes import jpeg
from daemon.engines.exports.solid import Solid
from daemon.errors import EngineError

_PLACES = {
    "basecolor": ("diffuseColor", "rgb", Sdf.ValueTypeNames.Color3f, "sRGB"),
    "metallic": ("metallic", "r", Sdf.ValueTypeNames.Float, "raw"),
    "roughness": ("roughness", "r", Sdf.ValueTypeNames.Float, "raw"),
    "normal": ("normal", "rgb", Sdf.ValueTypeNames.Normal3f, "raw"),
}


def usdz(solid: Solid, up: str) -> bytes:
    """The package as bytes; positions in metres, `up` is "y" or "z"."""
    with tempfile.TemporaryDirectory(prefix="protoscale-") as folder:
        layer, package = Path(folder) / "model.usdc", Path(folder) / "model.usdz"
        for name, picture in solid.textures.items():
            (Path(folder) / f"{name}.jpg").write_bytes(jpeg(picture))
        _stage(str(layer), solid, up)
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(package)):
            raise EngineError("the USD library could not pack the model")
        return package.read_bytes()


def _stage(path: str, solid: Solid, up: str) -> None:
    stage = Usd.Stage.CreateNew(path)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z if up == "z" else UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/model")
    stage.SetDefaultPrim(root.GetPrim())
    mesh = UsdGeom.Mesh.Define(stage, "/model/surface")
    positions = np.ascontiguousarray(solid.positions, dtype=np.float32)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(positions))
    mesh.CreateExtentAttr(
        [Gf.Vec3f(*map(float, edge)) for edge in (positions.min(axis=0), positions.max(axis=0))]
    )
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(solid.faces), 3, dtype=np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(solid.faces.astype(np.int32).ravel()))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(solid.normals, dtype=np.float32)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    if solid.uv is not None and solid.corners is not None:
        made = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
        )
        made.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(solid.uv, dtype=np.float32)))
        made.SetIndices(Vt.IntArray.FromNumpy(solid.corners.astype(np.int32).ravel()))
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(_material(stage, solid))
    stage.GetRootLayer().Save()


def _material(stage: Usd.Stage, solid: Solid) -> UsdShade.Material:
    material = UsdShade.Material.Define(stage, "/model/material")
    surface = UsdShade.Shader.Define(stage, "/model/material/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.7)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    if not solid.textures:
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(0.7))
    reader = UsdShade.Shader.Define(stage, "/model/material/coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    coordinates = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    for name in solid.textures:
        place, channel, kind, space = _PLACES[name]
        texture = UsdShade.Shader.Define(stage, f"/model/material/{name}")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(f"./{name}.jpg"))
        texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(space)
        texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates)
        if name == "normal":
            texture.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(2, 2, 2, 1))
            texture.CreateInput("bias", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
        out = texture.CreateOutput(channel, Sdf.ValueTypeNames.Float3 if channel == "rgb" else kind)
        surface.CreateInput(place, kind).ConnectToSource(out)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    return material
