"""Every format, read again by somebody else's reader: volume, extents in the right unit, textures."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image
from pxr import Usd, UsdGeom, UsdShade, UsdValidation
from trimesh import Trimesh

from daemon.errors import BadJob
from daemon.export import make
from spool.export import Export
from spool.job import Job
from tests.exports.models import BLUE, BOX, OFFSET, RED, box, finished

MM = np.array(BOX) * 1000
VOLUME = float(np.prod(BOX))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return finished(tmp_path_factory.mktemp("formats") / "spool", box())[1]


def export(job: Job, product: str, **wishes: str) -> Path:
    return make(job.path, Export.of(product, wishes.items()))


def is_box(mesh: Trimesh, sides: NDArray[np.float64], low: NDArray[np.float64]) -> None:
    """The mesh is one closed box of these sides with its lowest corner there, in any unit."""
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert len(mesh.faces) == 12
    np.testing.assert_allclose(mesh.extents, sides, rtol=1e-5)
    np.testing.assert_allclose(mesh.bounds[0], low, atol=1e-5 * sides.max())
    assert mesh.volume == pytest.approx(sides.prod(), rel=1e-4)


def test_an_stl_stands_on_the_bed_of_a_printer_100_mm_long(job: Job) -> None:
    mesh = trimesh.load_mesh(export(job, "model.stl"))
    sides = MM[[0, 2, 1]] / 10
    is_box(mesh, sides, np.array([-sides[0] / 2, -sides[1] / 2, 0]))


@pytest.mark.parametrize(
    ("wishes", "sides", "low"),
    [
        ({"height_mm": "50"}, MM[[0, 2, 1]] / 20, [-10, -5, 0]),
        ({"height_mm": "50", "origin": "centre"}, MM[[0, 2, 1]] / 20, [-10, -5, -25]),
        ({"longest_mm": "1000", "up": "y"}, MM, [-200, 0, -100]),
        ({"longest_mm": "1000", "up": "y", "origin": "centre"}, MM, [-200, -500, -100]),
        (
            {"longest_mm": "1000", "up": "y", "origin": "model"},
            MM,
            [1000 * OFFSET - 200, 1000 * OFFSET - 500, 1000 * OFFSET - 100],
        ),
    ],
)
@pytest.mark.parametrize("product", ["model.stl", "model.3mf"])
def test_size_axis_and_origin(
    job: Job, product: str, wishes: dict[str, str], sides: NDArray[np.float64], low: list[float]
) -> None:
    path = export(job, product, **wishes)
    mesh = trimesh.load_mesh(path) if product.endswith("stl") else read_3mf(path)[0]
    is_box(mesh, np.asarray(sides), np.array(low))


def test_scenes_count_in_metres_and_stay_where_the_model_is(job: Job) -> None:
    low = OFFSET - np.array(BOX) / 2
    for product in ("model.obj", "model.ply"):
        is_box(trimesh.load_mesh(export(job, product), process=False), np.array(BOX), low)
        sized = trimesh.load_mesh(
            export(job, product, height_mm="250", up="z", origin="ground"), process=False
        )
        is_box(sized, np.array(BOX)[[0, 2, 1]] / 4, np.array([-0.05, -0.025, 0]))


def read_3mf(path: Path) -> tuple[Trimesh, set[tuple[int, ...]]]:
    """Mesh and texture colours, by the consortium's own library in its strict mode."""
    lib3mf = pytest.importorskip("lib3mf", reason="lib3mf has no build for this machine")
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(path))
    assert [reader.GetWarning(at) for at in range(reader.GetWarningCount())] == []
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    meshes = model.GetMeshObjects()
    assert meshes.MoveNext()
    one = meshes.GetCurrentMeshObject()
    assert one.IsManifoldAndOriented()
    vertices = [list(vertex.Coordinates) for vertex in one.GetVertices()]
    faces = [list(triangle.Indices) for triangle in one.GetTriangleIndices()]
    colours: set[tuple[int, ...]] = set()
    groups = model.GetTexture2DGroups()
    while groups.MoveNext():
        group = groups.GetCurrentTexture2DGroup()
        buffer = bytes(group.GetTexture2D().GetAttachment().WriteToBuffer())
        with Image.open(io.BytesIO(buffer)) as texture:
            for at in range(one.GetTriangleCount()):
                corner = one.GetTriangleProperties(at)
                assert corner.ResourceID == group.GetResourceID()
                place = group.GetTex2Coord(corner.PropertyIDs[0])
                found = texture.getpixel((place.U * texture.width, (1 - place.V) * (texture.height - 1)))
                assert isinstance(found, tuple)
                colours.add((int(found[0]), int(found[1]), int(found[2])))
    return Trimesh(vertices, faces, process=False), colours


def is_red_and_blue(colours: set[tuple[int, ...]]) -> None:
    assert {min((RED, BLUE), key=lambda own: np.abs(np.subtract(own, seen)).sum()) for seen in colours} == {
        RED,
        BLUE,
    }
    assert all(min(np.abs(np.subtract(own, seen)).max() for own in (RED, BLUE)) < 16 for seen in colours)


def test_a_3mf_keeps_the_texture(job: Job) -> None:
    _, colours = read_3mf(export(job, "model.3mf"))
    is_red_and_blue(colours)


def test_a_ply_carries_the_texture_as_colours(job: Job) -> None:
    mesh = trimesh.load_mesh(export(job, "model.ply"), process=False)
    is_red_and_blue({tuple(map(int, colour[:3])) for colour in mesh.visual.vertex_colors})
    front = mesh.vertices[:, 2] > OFFSET
    assert len(np.unique(mesh.visual.vertex_colors[~front], axis=0)) == 1


def test_an_obj_keeps_texture_and_pbr_maps(job: Job, tmp_path: Path) -> None:
    with zipfile.ZipFile(export(job, "model.obj.zip")) as archive:
        archive.extractall(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.obj",
        "model.mtl",
        "model_basecolor.jpg",
        "model_metallic.jpg",
        "model_roughness.jpg",
        "model_normal.jpg",
    }
    for path in tmp_path.iterdir():
        assert path.read_bytes() == export(job, path.name).read_bytes(), path.name
    mesh = trimesh.load_mesh(tmp_path / "model.obj", process=False)
    is_red_and_blue({tuple(map(int, one[:3])) for one in mesh.visual.to_color().vertex_colors})
    assert "map_Pr model_roughness.jpg" in (tmp_path / "model.mtl").read_text()
    with (
        Image.open(tmp_path / "model_roughness.jpg") as rough,
        Image.open(tmp_path / "model_metallic.jpg") as metal,
    ):
        assert (rough.getpixel((3, 3)), metal.getpixel((3, 3))) == (180, 10)


@pytest.mark.parametrize(("up", "axis"), [("y", 1), ("z", 2)])
def test_a_usdz_is_what_quick_look_wants(job: Job, up: str, axis: int) -> None:
    path = export(job, "model.usdz", up=up, height_mm="250", origin="ground")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] == "model.usdc"
    stage = Usd.Stage.Open(str(path))
    # Every rule of Pixar's `usdchecker`, those of USDZ packages among them.
    checker = UsdValidation.ValidationContext(UsdValidation.ValidationRegistry().GetOrLoadAllValidators())
    assert [error.GetMessage() for error in checker.Validate(stage)] == []
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert UsdGeom.GetStageUpAxis(stage) == up.upper()
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/model/surface"))
    points = np.array(mesh.GetPointsAttr().Get())
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    sides = np.array(BOX)[[0, 2, 1] if axis == 2 else [0, 1, 2]] / 4
    low = -sides / 2
    low[axis] = 0
    is_box(Trimesh(points, faces, process=False), sides, low)
    bound, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    assert bound.GetPath() == "/model/material"
    texture = UsdShade.Shader(stage.GetPrimAtPath("/model/material/basecolor")).GetInput("file").Get()
    with (
        zipfile.ZipFile(path) as archive,
        archive.open(Path(texture.path).name) as file,
        Image.open(file) as image,
    ):
        assert image.size == (64, 32)


def test_a_model_without_texture_goes_into_every_format(tmp_path: Path) -> None:
    _, job = finished(tmp_path / "spool", trimesh.creation.box(BOX))
    for product in (
        "model.stl",
        "model.3mf",
        "model.obj",
        "model.obj.zip",
        "model.ply",
        "model.usdz",
        "model.web.glb",
    ):
        assert export(job, product).stat().st_size > 100
    assert "mtllib" not in export(job, "model.obj").read_text()
    is_box(read_3mf(export(job, "model.3mf"))[0], MM[[0, 2, 1]] / 10, np.array([-20, -10, 0]))
    with pytest.raises(BadJob, match="no basecolor texture"):
        export(job, "model_basecolor.jpg")


def test_a_flat_model_has_no_height_to_set(tmp_path: Path) -> None:
    flat = Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2]], process=False)
    _, job = finished(tmp_path / "spool", flat)
    with pytest.raises(BadJob, match="height_mm cannot be reached"):
        export(job, "model.stl", height_mm="20")
    assert trimesh.load_mesh(export(job, "model.stl")).extents.max() == pytest.approx(100)
