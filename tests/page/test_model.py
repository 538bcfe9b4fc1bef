"""A finished model in a real Chromium: drawn, turned, downloaded; on a phone, in the dark, without the viewer."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import trimesh
from playwright.sync_api import Browser, Page, expect

from tests.page.browser import (
    COFFEE,
    MARKS,
    SHAPE,
    choose,
    frozen,
    green,
    is_loaded,
    is_ready,
    is_shown,
    keep,
    look_at,
    pixels,
    red,
    row,
    settle,
    tab,
)
from tests.service import Service

pytestmark = MARKS


def test_a_photo_becomes_a_model_that_is_really_drawn(page: Page, service: Service, address: str) -> None:
    with frozen(service, SHAPE):
        job = choose(page, COFFEE, quality="balanced")
        is_shown(page, job)
        # Live: the cut-out is made, then the shape waits for the frozen worker, and the page says both.
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        assert 4 < float(page.locator("#bar").get_attribute("value") or 0) < 50
        expect(row(page, job)).to_have_attribute("data-status", "processing")
        expect(page.locator("#devices")).to_contain_text(SHAPE)
    is_ready(page, job)
    offered = "/api/events" in {route["path"] for route in httpx.get(address, timeout=60).json()["routes"]}
    expect(page.locator("body")).to_have_attribute("data-heard", "events" if offered else "polling")

    canvas = page.locator("#canvas")
    textured = pixels(canvas)
    assert red(textured) > 0.05
    corner = textured[:20, :20].mean()
    assert (np.abs(textured.mean(axis=-1) - corner) > 60).mean() > 0.05
    page.locator("input[value=clay]").check(force=True)
    settle(page)
    clay = pixels(canvas)
    assert red(clay) < 0.002
    assert np.abs(clay - textured).mean() > 2
    page.locator("input[value=wireframe]").check(force=True)
    settle(page)
    assert green(pixels(canvas)) > 0.02 > green(clay)
    page.locator("input[value=textured]").check(force=True)
    page.get_by_role("button", name="Back").click()
    settle(page)
    back = pixels(canvas)
    assert np.abs(back - textured).mean() > 2
    page.get_by_role("button", name="Reset the view").click()
    settle(page)
    assert np.abs(pixels(canvas) - textured).mean() < 0.5

    # The photo and the four views are pictures, and it says who made it and what was never seen.
    expect(page.locator("#strip img")).to_have_count(5)
    for image in page.locator("#strip img").all():
        is_loaded(image)
    expect(page.locator("#made-by")).to_contain_text("silhouette")
    expect(page.locator("#made-by")).to_contain_text("inferred")
    expect(page.locator("#facts")).to_contain_text("watertight")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download GLB").click()
    assert download.value.suggested_filename == "coffee.glb"
    assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
    keep(page, "desktop")


def test_on_a_phone(browser: Browser, address: str, model: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with tab(browser, address, **phone) as page:
        expect(page.locator("#job")).to_be_hidden()
        row(page, model).locator("a").tap()
        is_ready(page, model)
        expect(page.locator("#drop")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        expect(page.locator("#exports")).to_be_visible()  # the last that comes
        sizes = page.locator("#job button:visible, #job a.primary:visible").evaluate_all(
            "all => all.map((one) => [one.textContent, one.offsetWidth, one.offsetHeight])"
        )
        assert sizes and not [size for size in sizes if min(size[1:]) < 40]
        assert red(pixels(page.locator("#canvas"))) > 0.05
        keep(page, "phone")
        page.get_by_role("link", name="All models").tap()
        expect(page.locator("#drop")).to_be_visible()
        expect(page.locator("#job")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_in_the_dark(browser: Browser, address: str, model: str) -> None:
    with tab(browser, address, color_scheme="dark") as page:
        look_at(page, model)
        is_ready(page, model)
        assert pixels(page.locator("#job-name")).mean() < 90
        assert pixels(page.locator("#scene"))[:20, :20].mean() < 90
        assert red(pixels(page.locator("#canvas"))) > 0.05
        keep(page, "dark")


def test_without_the_viewer_it_says_so_and_shows_the_front(
    browser: Browser, address: str, model: str
) -> None:
    with tab(browser, address) as page:
        page.route("**/page/three/**", lambda route: route.fulfill(status=404))
        page.goto(f"/#{model}")
        page.reload()
        expect(page.locator("#scene-note")).to_contain_text("not installed")
        is_loaded(page.locator("#still"))
        expect(page.get_by_role("link", name="Download GLB")).to_be_visible()


def test_other_formats_and_the_print_report(browser: Browser, address: str, model: str) -> None:
    if "/api/jobs/{job_id}/report" not in {
        route["path"] for route in httpx.get(address, timeout=60).json()["routes"]
    }:
        pytest.skip("this server makes no exports")
    with tab(browser, address) as page:
        look_at(page, model)
        page.locator("#height").fill("0.5")
        page.get_by_role("button", name="Can it be printed?").click()
        expect(page.locator("#report .refusal")).to_contain_text("height_mm")
        page.locator("#height").fill("80")
        with page.expect_download() as download:
            page.get_by_role("button", name="STL").click()
        assert download.value.suggested_filename == "coffee.stl"
        tall = trimesh.load_mesh(download.value.path(), file_type="stl").extents[2]
        assert tall == pytest.approx(80, rel=1e-3)
        page.get_by_role("button", name="Can it be printed?").click()
        expect(page.locator("#report")).to_contain_text("cm³")
