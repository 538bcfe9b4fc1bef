"""The print report and the repair, on shapes whose every number is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from trimesh import Trimesh

from daemon.engines import glb
from daemon.engines.analysis import analyse, overhang_share
from daemon.engines.printing import repair as repairing
from daemon.engines.printing import surface as surfaces
from daemon.engines.printing.remake import anew
from daemon.engines.printing.repair import faults, repair
from daemon.engines.printing.report import report
from daemon.engines.printing.surface import Surface
from daemon.export import make
from spool.export import Export
from tests.exports.models import box, finished


def told(mesh: Trimesh, **wishes: str) -> Any:
    return report(Surface.of(mesh), Export.of("report.json", wishes.items()).options)


def overlapping() -> Trimesh:
    one, two = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1))
    two.apply_translation((0.5, 0.3, 0.2))
    return trimesh.util.concatenate([one, two])


def torn(*gone: int) -> Trimesh:
    ball = trimesh.creation.icosphere(3)
    return Trimesh(ball.vertices, np.delete(ball.faces, gone, axis=0), process=False)


def test_the_report_of_a_box_at_a_height() -> None:
    found = told(box(), height_mm="50", material="petg", min_wall_mm="1.2")
    assert (found["printable"], found["problems"]) == (True, [])
    np.testing.assert_allclose(found["size_mm"], [20, 50, 10], rtol=1e-4)
    assert found["volume_cm3"] == pytest.approx(10, rel=1e-5)
    assert found["area_cm2"] == pytest.approx(2 * (10 + 5 + 2), rel=1e-5)
    assert found["material"] == {
        "name": "petg",
        "density_g_cm3": 1.27,
        "grams_solid": pytest.approx(12.7, rel=1e-5),
    }
    assert (found["watertight"], found["manifold"], found["components"]) == (True, True, 1)
    assert found["self_intersections"]["pairs"] == 0
    assert found["faces"] == {"asked": None, "got": 12}
    assert found["overhang"]["share"] == 0.0
    walls = found["walls"]
    assert walls["thin_share"] == 0.0
    assert walls["percentile_1_mm"] == pytest.approx(10, rel=1e-4)
    assert walls["samples"] == 20_000


def test_a_wall_is_thin_only_at_the_size_where_it_is() -> None:
    plate = trimesh.creation.box((1, 1, 0.01))
    thick, thin = told(plate, height_mm="200"), told(plate, height_mm="50")
    assert thick["printable"] and thick["walls"]["percentile_50_mm"] == pytest.approx(2, rel=1e-3)
    assert not thin["printable"] and thin["walls"]["percentile_50_mm"] == pytest.approx(0.5, rel=1e-3)
    assert thin["walls"]["thin_share"] > 0.9
    assert "thinner than 0.8 mm" in thin["problems"][-1]


def test_overhangs_are_what_leans_out_beyond_45_degrees() -> None:
    cube = trimesh.creation.box((1, 1, 1))
    assert overhang_share(cube.vertices, cube.faces) == 0.0
    raised = trimesh.util.concatenate([cube, cube.copy().apply_translation((3, 4, 0))])
    assert overhang_share(raised.vertices, raised.faces) == pytest.approx(1 / 12)
    for degrees, share in ((44.9, 0.0), (45.1, 1.0)):
        # A wall alone, leaning out by so much from the vertical, its outside below.
        out = np.tan(np.radians(degrees))
        wall = np.array([[0, 0, 0], [1, 0, 0], [1, 1, out], [0, 1, out]])
        assert overhang_share(wall, np.array([[0, 1, 2], [0, 2, 3]])) == share
        assert overhang_share(wall, np.array([[0, 2, 1], [0, 3, 2]])) == 0.0


def test_the_analysis_says_the_cheap_things() -> None:
    found = analyse(box(), faces_asked=500)
    assert (found["edge_manifold"], found["faces_asked"], found["faces"]) == (True, 500, 12)
    assert found["overhang"] == {"share": 0.0, "degrees": 45.0, "up": "y"}
    fin = Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0]], [[0, 1, 2], [0, 1, 3], [1, 0, 4]])
    assert analyse(fin)["edge_manifold"] is False


def test_every_defect_is_named() -> None:
    assert any("cross" in problem for problem in told(overlapping())["problems"])
    assert told(overlapping())["self_intersections"]["pairs"] > 0
    holes = told(torn(1, 200))
    assert (holes["open_edges"], holes["watertight"], holes["volume_cm3"], holes["walls"]) == (
        6,
        False,
        None,
        None,
    )
    ball = trimesh.creation.icosphere(2)
    inside_out = told(Trimesh(ball.vertices, ball.faces[:, ::-1], process=False))
    assert any("inside out" in problem for problem in inside_out["problems"])
    turned = ball.faces.copy()
    turned[7] = turned[7][::-1]
    assert told(Trimesh(ball.vertices, turned, process=False))["winding_consistent"] is False
    two = trimesh.util.concatenate([box(), box().apply_translation((0.4, 1.0, 0.2))])
    touching = told(two)
    assert touching["watertight"] and not touching["manifold"] and touching["pinched_vertices"] == 1


def test_neighbours_and_parts_that_keep_apart_do_not_cross() -> None:
    apart = trimesh.util.concatenate([box(), box().apply_translation((0.4001, 0, 0))])
    assert Surface.of(apart).self_intersections() == 0
    assert Surface.of(trimesh.creation.torus(1, 0.3)).self_intersections() == 0


def test_a_search_that_takes_too_long_is_stopped_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = Surface.of(trimesh.creation.icosphere(6))
    assert surface.self_intersections(seconds=0) is None
    monkeypatch.setattr(surfaces.Surface, "self_intersections", lambda self: None)
    assert "could not be found out in time" in told(box())["problems"][0]


def test_a_sound_model_is_not_touched() -> None:
    made = repair(Surface.of(box()))
    assert (made.changes, made.remaining) == ((), ())
    np.testing.assert_array_equal(made.surface.faces, Surface.of(box()).faces)


def test_holes_are_closed_and_said() -> None:
    ball = trimesh.creation.icosphere(3)
    made = repair(Surface.of(torn(1, 200, 201)))
    assert made.remaining == () and made.surface.closed
    assert len(made.changes) == 1 and made.changes[0].endswith("holes were closed")
    assert made.surface.volume == pytest.approx(ball.volume, rel=0.01)


def test_specks_doubles_and_turned_faces_are_mended() -> None:
    ball = trimesh.creation.icosphere(3)
    faces = np.vstack([ball.faces, ball.faces[:3]])
    faces[100:150] = faces[100:150][:, ::-1]
    speck = trimesh.creation.icosphere(0, radius=0.005).apply_translation((3, 0, 0))
    mesh = trimesh.util.concatenate([Trimesh(ball.vertices, faces, process=False), speck])
    made = repair(Surface.of(mesh))
    assert made.changes == (
        "3 doubled faces were removed",
        "1 loose specks were removed",
        "50 faces were turned over",
    )
    assert made.remaining == () and made.surface.volume == pytest.approx(ball.volume)


def test_parts_that_run_into_each_other_become_one_exactly() -> None:
    made = repair(Surface.of(overlapping()))
    assert made.remaining == () and len(made.changes) == 1 and repairing.UNITED in made.changes[0]
    assert made.surface.volume == pytest.approx(2 - 0.5 * 0.7 * 0.8)
    assert made.surface.components == 1


def test_what_crosses_itself_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.engines.printing.remake.CELLS", 48)
    ball = trimesh.creation.icosphere(3)
    vertices = ball.vertices.copy()
    vertices[10] *= -2
    made = repair(Surface.of(Trimesh(vertices, ball.faces, process=False)))
    assert made.remaining == () and repairing.ANEW in made.changes[-1]
    assert made.surface.closed and faults(made.surface) == []
    assert made.surface.volume == pytest.approx(ball.volume, rel=0.05)


def test_made_anew_the_surface_lies_where_it_lay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.engines.printing.remake.CELLS", 64)
    made = anew(Surface.of(torn(1, 2, 3)))
    assert made is not None and faults(made) == []
    assert np.abs(np.linalg.norm(made.positions, axis=1) - 1).max() < 2 / 64
    assert made.volume == pytest.approx(trimesh.creation.icosphere(3).volume, rel=0.005)


def test_the_repaired_model_is_a_product_of_its_own(tmp_path: Path) -> None:
    _, job = finished(tmp_path / "spool", torn(5))
    before = (job.path / "model.glb").read_bytes()
    made = make(job.path, Export.of("model.repaired.glb", []))
    assert analyse(glb.read_glb(made))["watertight"] and (job.path / "model.glb").read_bytes() == before
    assert glb.read_extras(made)["repair"] == {"changes": ["1 holes were closed"], "remaining": []}
    assert glb.read_extras(made)["engine"] == "test"
    plain = json.loads(make(job.path, Export.of("report.json", [])).read_bytes())
    mended = json.loads(make(job.path, Export.of("report.json", [("repaired", "true")])).read_bytes())
    assert (plain["of"], plain["printable"], plain["repair"]) == ("model.glb", False, None)
    assert (mended["of"], mended["printable"]) == ("model.repaired.glb", True)
    assert mended["repair"]["changes"] == ["1 holes were closed"]


def test_a_sound_model_keeps_its_texture_when_repaired(tmp_path: Path) -> None:
    _, job = finished(tmp_path / "spool", box())
    made = make(job.path, Export.of("model.repaired.glb", []))
    assert glb.read_extras(made)["repair"] == {"changes": [], "remaining": []}
    assert glb.read_glb(made).visual.material.baseColorTexture.size == (64, 32)
