"""The page in a real Chromium, before the real service with the real engine."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import trimesh
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.page.browser import (
    CHROMIUM,
    PATIENCE,
    choose,
    frozen,
    green,
    is_ready,
    keep,
    launch,
    opened,
    pixels,
    red,
    settle,
    tab,
)
from tests.service import ROOT, Service, running
from tests.support import picture, submit, until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]
COFFEE = ROOT / "examples" / "coffee.png"
SHAPE = "geometry-cpu"
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, u2net_home: Path) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("page") / "spool", u2net_home) as service:
        until(lambda: _answers(service), 60)
        yield service


@pytest.fixture
def address(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with tab(browser, address) as page:
        yield page


@pytest.fixture
def ellipse(tmp_path: Path) -> Path:
    path = tmp_path / "ellipse.png"
    path.write_bytes(picture((320, 280)))
    return path


def _answers(service: Service) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{service.port}/health").status_code == 200
    except httpx.TransportError:
        return False


def row(page: Page, name: str) -> Any:
    return page.locator("#jobs li", has_text=name).first


def test_a_photo_becomes_a_model_that_is_really_drawn(page: Page, service: Service, address: str) -> None:
    with frozen(service, SHAPE):
        choose(page, COFFEE, quality="balanced")
        # Live: the cut-out is made, then the shape waits for the frozen worker, and the page says both.
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        assert 4 < float(page.locator("#bar").get_attribute("value") or 0) < 50
        expect(row(page, "coffee.png")).to_have_attribute("data-status", "processing")
        expect(page.locator("#devices")).to_contain_text(SHAPE)
    is_ready(page)
    offered = "/api/events" in {route["path"] for route in httpx.get(address).json()["routes"]}
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
    for image in page.locator("#strip img").all():
        expect(image).to_be_visible()
        assert image.evaluate("image => image.complete && image.naturalWidth") >= 256
    expect(page.locator("#made-by")).to_contain_text("silhouette")
    expect(page.locator("#made-by")).to_contain_text("inferred")
    expect(page.locator("#facts")).to_contain_text("watertight")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download GLB").click()
    assert download.value.suggested_filename == "coffee.glb"
    assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
    keep(page, "desktop")


def test_cancel_retry_and_delete(page: Page, service: Service, ellipse: Path, address: str) -> None:
    with frozen(service, SHAPE):
        choose(page, ellipse)
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-state")).to_have_text("Cancelled")
    expect(row(page, "ellipse.png")).to_contain_text("Cancelled")
    page.get_by_role("button", name="Try again").click()
    is_ready(page, "ellipse.png")
    job = page.url.partition("#")[2]
    page.locator("#delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#job-name")).to_have_text("ellipse.png")
    page.locator("#delete").click()
    page.locator("#confirm-yes").click()
    expect(page.locator(f"#jobs li[data-job='{job}']")).to_have_count(0)
    expect(page.locator("#job")).to_be_hidden()
    assert httpx.get(f"{address}/api/jobs/{job}").status_code == 404


def test_reload_second_tab_lost_connection_and_killed_server(
    page: Page, service: Service, ellipse: Path
) -> None:
    with frozen(service, SHAPE):
        choose(page, ellipse)
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        job = page.url.partition("#")[2]
        page.reload()
        expect(page.locator("#job-name")).to_have_text("ellipse.png")
        expect(page.locator("#steps [data-step=now]")).to_have_text("Shape")
        other = opened(page.context)
        expect(row(other, "ellipse.png")).to_have_attribute("data-status", "processing")
        other.goto(f"/#{job}")
        expect(other.locator("#job-name")).to_have_text("ellipse.png")

        page.context.set_offline(True)
        expect(other.get_by_role("alert").first).to_contain_text("does not answer")
        page.context.set_offline(False)
        expect(other.locator("#trouble")).to_be_hidden()

        (web,) = [child for child in service.children() if "httpd" in child.cmdline()]
        web.kill()
        until(lambda: _answers(service), 60)
    is_ready(other, "ellipse.png")  # nobody reloaded it
    page.bring_to_front()
    is_ready(page, "ellipse.png")
    page.locator("#delete").click()
    page.locator("#confirm-yes").click()
    other.bring_to_front()
    expect(other.locator(f"#jobs li[data-job='{job}']")).to_have_count(0)


def test_keyboard_only(page: Page, service: Service, ellipse: Path) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"the Tab key never reaches {selector}")

    # From the start: a chooser that opens before the browser is told to hand it over is closed unseen.
    page.on("filechooser", lambda chooser: chooser.set_files(ellipse))
    # Forwards only: at the end of the page the focus leaves it for the browser's own bar.
    tab_to("#quality input")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#quality input:checked").get_attribute("value") == "draft"
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#files")).to_be_focused()
    page.keyboard.press("Enter")
    is_ready(page, "ellipse.png")
    expect(page.locator("#job-about")).to_contain_text("Draft")
    tab_to("#canvas")
    before = pixels(page.locator("#canvas"))
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "+", "+"):
        page.keyboard.press(key)
    settle(page)
    assert np.abs(pixels(page.locator("#canvas")) - before).mean() > 1
    page.keyboard.press("0")
    settle(page)
    assert np.abs(pixels(page.locator("#canvas")) - before).mean() < 0.5
    tab_to("#delete")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#delete")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#confirm-yes")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row(page, "ellipse.png")).to_have_count(0)
    expect(page.locator("#jobs-heading")).to_be_focused()


def test_a_question_asked_again_at_once_is_answered_for_itself(page: Page, address: str) -> None:
    """A dialog tells of its end a moment later: what was Escape for the first question is no answer to the second."""
    held = httpx.post(f"{address}/api/upload", files={"file": ("held.png", picture())}, timeout=60).json()
    page.goto(f"/#{held['job_id']}")
    # The page shows the newest job at first, and that one can be deleted too.
    expect(page.locator("#job-name")).to_have_text("held.png")
    expect(row(page, "held.png")).to_be_visible()
    page.evaluate("""() => {
        document.getElementById("delete").click();
        document.getElementById("confirm").close();
        document.getElementById("delete").click();
    }""")
    expect(page.locator("#confirm")).to_be_visible()
    settle(page)
    page.locator("#confirm-yes").click()
    expect(row(page, "held.png")).to_have_count(0)


def test_older_jobs_are_shown_when_they_are_asked_for(page: Page, service: Service) -> None:
    held = [submit(service.spool, "held", views=False, model=False).id for _ in range(51)]
    expect(page.locator("#older")).to_be_visible()
    expect(page.locator("#jobs li")).to_have_count(50)
    page.locator("#older").click()
    expect(page.locator(f"#jobs li[data-job='{held[0]}']")).to_be_visible()
    expect(page.locator("#older")).to_be_hidden()
    for job in held:
        service.spool.remove(job)
    expect(page.locator(f"#jobs li[data-job='{held[0]}']")).to_have_count(0)


def test_many_photos_dropped_and_pasted_and_what_is_no_photo(
    page: Page, service: Service, tmp_path: Path
) -> None:
    """Also: a job that fails says why, and a name is text and never markup."""
    event = """([kind, names]) => {
        const files = new DataTransfer();
        const bytes = Uint8Array.from(atob(PHOTO), (c) => c.charCodeAt(0));
        for (const name of names) files.items.add(new File([bytes], name, { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        const key = kind === "paste" ? "clipboardData" : "dataTransfer";
        const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
        document.body.dispatchEvent(new Kind(kind, { ...options, [key]: files }));
    }"""
    photo = base64.b64encode(picture((200, 160))).decode()
    page.locator("#quality input[value=draft]").check(force=True)
    page.evaluate(f"globalThis.PHOTO = '{photo}'")
    page.evaluate(event, ["dragenter", ["a"]])
    expect(page.locator("#curtain")).to_be_visible()
    page.evaluate(event, ["drop", ["one.png", "<img src=x onerror=alert(1)>.png"]])
    expect(page.locator("#curtain")).to_be_hidden()
    page.evaluate(event, ["paste", ["pasted.png"]])
    for name in ("one.png", "<img src=x onerror=alert(1)>.png", "pasted.png"):
        expect(row(page, name)).to_have_attribute("data-status", "completed")
    # The first of the batch is looked at, or what was pasted after it.
    expect(page.locator("#job-name")).to_have_text(re.compile(r"one|pasted"))

    text = tmp_path / "notes.png"
    text.write_text("this is no picture")
    page.locator("#files").set_input_files(text)
    refused = page.locator("#sending .refused")
    expect(refused).to_contain_text("not a picture")
    refused.get_by_role("button").click()
    expect(refused).to_have_count(0)
    for job in page.locator("#jobs li").filter(has_not_text="coffee").all():
        service.spool.remove(str(job.get_attribute("data-job")))


@pytest.fixture(scope="module")
def model(service: Service) -> str:
    """A finished job of the example photo, for looking at it in other ways."""
    answer = httpx.post(
        f"http://127.0.0.1:{service.port}/api/upload",
        files={"file": ("coffee.png", COFFEE.read_bytes())},
        data={"quality": "balanced", "start": "true"},
        timeout=60,
    )
    job = str(answer.json()["job_id"])
    assert service.finished(job, 120)["status"] == "completed"
    return job


def test_other_formats_and_the_print_report(browser: Browser, address: str, model: str) -> None:
    if "/api/jobs/{job_id}/report" not in {route["path"] for route in httpx.get(address).json()["routes"]}:
        pytest.skip("this server makes no exports")
    with tab(browser, address) as page:
        page.goto(f"/#{model}")
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


def test_tags_names_priorities_and_estimates(
    browser: Browser, service: Service, address: str, model: str, ellipse: Path
) -> None:
    with tab(browser, address) as page:
        assert model in service.spool.waiting("done")  # the history that estimates are learned from
        with frozen(service, SHAPE):
            page.locator("#more summary").click()
            page.locator("#upload-tags").fill("oak, chairs")
            page.locator("#upload-name").fill("the chair")
            page.locator("#upload-priority").select_option("low")
            page.locator("#allow-lower").check()
            choose(page, ellipse)
            expect(page.locator("#job-name")).to_have_text("the chair")
            expect(page.locator("#upload-name")).to_have_value("")
            expect(page.locator("#message")).to_contain_text("ready in")
            expect(row(page, "the chair")).to_contain_text("ready in")
            expect(row(page, "the chair")).to_contain_text("low priority")
            expect(page.locator("#waiting")).to_contain_text("all ready in")
            job = page.url.partition("#")[2]
            assert service.spool.find(job).job.request.allow_lower
            expect(page.locator("#priority")).to_have_value("low")
            page.locator("#priority").select_option("high")
            expect(row(page, "the chair")).to_contain_text("high priority")
            assert httpx.get(f"{address}/api/jobs/{job}").json()["priority"] == "high"
            keep(page, "queue")
        is_ready(page, "the chair")
        expect(page.locator("#priority-of")).to_be_hidden()
        expect(row(page, "the chair")).to_contain_text("oak, chairs")
        page.get_by_role("button", name="oak", exact=True).click()
        expect(page.locator("#jobs li")).to_have_count(1)
        page.locator("#tag-shown").focus()
        page.keyboard.press("Enter")
        expect(page.locator(f"#jobs li[data-job='{model}']")).to_be_visible()
        expect(page.locator("#tag-shown")).to_be_hidden()
    service.spool.remove(job)


def test_the_queue_is_paused_and_resumed(
    browser: Browser, service: Service, address: str, ellipse: Path
) -> None:
    with tab(browser, address) as page:
        page.locator("#pause").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#paused")).to_contain_text("paused since")
        expect(page.locator("#pause")).to_be_hidden()
        choose(page, ellipse)
        expect(page.locator("#message")).to_contain_text("Waiting, number 1 for the cut-out")
        other = opened(page.context)
        expect(other.locator("#paused")).to_be_visible()
        assert service.spool.waiting("inbox")
        other.get_by_role("button", name="Resume").click()
        expect(other.locator("#paused")).to_be_hidden()
        page.bring_to_front()
        is_ready(page, "ellipse.png")
        expect(page.locator("#paused")).to_be_hidden()
        service.spool.remove(page.url.partition("#")[2])


def test_on_a_phone(browser: Browser, address: str, model: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with tab(browser, address, **phone) as page:
        expect(page.locator("#job")).to_be_hidden()
        page.locator(f"#jobs li[data-job='{model}'] a").tap()
        is_ready(page)
        expect(page.locator("#drop")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for button in page.locator("#job button:visible, #job a.primary:visible").all():
            box = button.bounding_box()
            assert box and box["height"] >= 40 and box["width"] >= 40, button
        assert red(pixels(page.locator("#canvas"))) > 0.05
        keep(page, "phone")
        page.get_by_role("link", name="All models").tap()
        expect(page.locator("#drop")).to_be_visible()
        expect(page.locator("#job")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_in_the_dark(browser: Browser, address: str, model: str) -> None:
    with tab(browser, address, color_scheme="dark") as page:
        page.goto(f"/#{model}")
        is_ready(page)
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
        expect(page.locator("#still")).to_be_visible()
        assert page.locator("#still").evaluate("image => image.naturalWidth") >= 256
        expect(page.get_by_role("link", name="Download GLB")).to_be_visible()


def test_a_key_is_asked_for_and_remembered(browser: Browser, address: str, model: str) -> None:
    """The service may want a key for everything of a job, pictures and the model included."""

    def guard(route: Route) -> None:
        headers = dict(route.request.headers)
        if headers.pop("x-api-key", None) == "open sesame":
            route.continue_(headers=headers)  # the service behind knows no such key
        else:
            route.fulfill(status=401, json={"detail": "send an API key in X-API-Key"})

    with tab(browser, address) as page:
        page.context.route("**/api/**", guard)
        page.goto(f"/#{model}")
        page.reload()
        page.get_by_role("button", name="Not now").click()
        expect(page.locator("#trouble")).to_contain_text("API key")
        page.get_by_role("button", name="Enter an API key").click()
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_have_value("")
        page.locator("#key").fill("open sesame")
        page.keyboard.press("Enter")
        is_ready(page)
        expect(page.locator("#ask-key")).to_be_hidden()
        image = page.locator("#strip img").nth(1)
        expect(image).to_be_visible()
        assert image.evaluate("image => image.src.startsWith('blob:') && image.naturalWidth") >= 256
        assert red(pixels(page.locator("#canvas"))) > 0.05
        with page.expect_download() as download:
            page.get_by_role("link", name="Download GLB").click()
        assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
        page.reload()
        is_ready(page)
