"""What may be asked of an export, and the one file name each wish has."""

from __future__ import annotations

import pytest

from spool.errors import InvalidRequest
from spool.export import DEFAULTS, TYPES, Export


@pytest.mark.parametrize("product", DEFAULTS)
def test_every_product_is_its_own_file_name(product: str) -> None:
    export = Export.of(product, [])
    assert export.file_name == product
    assert Export.named(product) == export
    assert "." + product.rpartition(".")[2] in {*TYPES, ".png", ".glb", ".json"}


@pytest.mark.parametrize(
    ("product", "wishes", "name"),
    [
        ("model.stl", [("height_mm", "80.50")], "model--height_mm-80.5.stl"),
        ("model.stl", [("height_mm", "80.5"), ("up", "y")], "model--height_mm-80.5--up-y.stl"),
        (
            "model.obj.zip",
            [("origin", "ground"), ("longest_mm", "1e2")],
            "model.obj--longest_mm-100--origin-ground.zip",
        ),
        ("model.web.glb", [("origin", "centre")], "model.web--origin-centre.glb"),
        (
            "report.json",
            [("material", "petg"), ("min_wall_mm", "1.2")],
            "report--material-petg--min_wall_mm-1.2.json",
        ),
    ],
)
def test_a_set_of_options_has_one_name_that_says_it(
    product: str, wishes: list[tuple[str, str]], name: str
) -> None:
    export = Export.of(product, wishes)
    assert export.file_name == name
    assert Export.of(product, reversed(wishes)) == export == Export.named(name)


def test_what_is_the_default_anyway_changes_no_name() -> None:
    assert Export.of("model.stl", [("up", "z"), ("longest_mm", "100.0")]).file_name == "model.stl"


def test_a_height_takes_the_place_of_the_default_longest_side() -> None:
    options = Export.of("model.3mf", [("height_mm", "30")]).options
    assert (options["height_mm"], options["longest_mm"]) == ("30", "")


@pytest.mark.parametrize(
    ("product", "wishes", "words"),
    [
        ("model.fbx", [], "there is no export 'model.fbx'"),
        ("model.stl", [("size", "3")], "unknown parameter 'size'"),
        ("model.web.glb", [("up", "z")], "unknown parameter 'up'"),
        ("turntable.webp", [("height_mm", "3")], "accepted: none"),
        ("model.stl", [("up", "x")], "give y or z"),
        ("model.stl", [("height_mm", "nan")], "millimetres"),
        ("model.stl", [("height_mm", "inf")], "millimetres"),
        ("model.stl", [("height_mm", "")], "millimetres"),
        ("model.stl", [("height_mm", "0.5")], "millimetres"),
        ("model.stl", [("height_mm", "10.00001")], "3 decimals"),
        ("model.stl", [("height_mm", "50"), ("height_mm", "60")], "twice"),
        ("model.stl", [("height_mm", "50"), ("longest_mm", "60")], "one of them"),
        ("report.json", [("material", "lead")], "pla"),
    ],
)
def test_what_would_be_ignored_is_refused(product: str, wishes: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        Export.of(product, wishes)


@pytest.mark.parametrize(
    "name",
    [
        "model--height_mm-080.stl",
        "model--up-z.stl",
        "model--height_mm-80",
        "../model.stl",
        "model--.stl",
        "--.stl",
        "",
    ],
)
def test_other_spellings_are_no_names(name: str) -> None:
    with pytest.raises(InvalidRequest):
        Export.named(name)
