"""Photos in, in a real Chromium: chosen by keyboard, dropped, pasted, with wishes."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, Route, expect

from tests.page.browser import (
    MARKS,
    SHAPE,
    choose,
    frozen,
    held_back,
    is_loaded,
    is_ready,
    is_shown,
    keep,
    pixels,
    row,
    settle,
    tab,
)
from tests.service import Service
from tests.support import picture

pytestmark = MARKS


def test_keyboard_only(page: Page, ellipse: Path) -> None:
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
    with page.expect_response("**/api/upload") as answer:
        page.keyboard.press("Enter")
    job = str(answer.value.json()["job_id"])
    is_ready(page, job)
    expect(row(page, job)).to_be_visible()
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
    expect(row(page, job)).to_have_count(0)
    expect(page.locator("#jobs-heading")).to_be_focused()


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
        expect(page.locator("#jobs li", has_text=name)).to_have_attribute("data-status", "completed")
    # The first of the batch is looked at, or what was pasted after it.
    expect(page.locator("#job-name")).to_have_text(re.compile(r"^(one|pasted)\.png$"))

    text = tmp_path / "notes.png"
    text.write_text("this is no picture")
    page.locator("#files").set_input_files(text)
    refused = page.locator("#sending .refused")
    expect(refused).to_contain_text("not a picture")
    refused.get_by_role("button").click()
    expect(refused).to_have_count(0)
    # Read at once: the list changes with the first that goes.
    made = page.locator("#jobs li").filter(has_not_text="coffee")
    for job in made.evaluate_all("rows => rows.map((row) => row.dataset.job)"):
        service.spool.remove(job)


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
            job = choose(page, ellipse)
            is_shown(page, job)
            expect(page.locator("#job-name")).to_have_text("the chair")
            expect(page.locator("#upload-name")).to_have_value("")
            expect(page.locator("#message")).to_contain_text("ready in")
            expect(row(page, job)).to_contain_text("ready in")
            expect(row(page, job)).to_contain_text("low priority")
            expect(page.locator("#waiting")).to_contain_text("all ready in")
            assert service.spool.find(job).job.request.allow_lower
            expect(page.locator("#priority")).to_have_value("low")
            page.locator("#priority").select_option("high")
            expect(row(page, job)).to_contain_text("high priority")
            assert httpx.get(f"{address}/api/jobs/{job}", timeout=60).json()["priority"] == "high"
            is_loaded(page.locator("#still"))
            is_loaded(row(page, job).locator("img"))
            keep(page, "queue")
        is_ready(page, job)
        expect(page.locator("#priority-of")).to_be_hidden()
        expect(row(page, job)).to_contain_text("oak, chairs")
        page.get_by_role("button", name="oak", exact=True).click()
        expect(page.locator("#jobs li")).to_have_count(1)
        page.locator("#tag-shown").focus()
        page.keyboard.press("Enter")
        expect(row(page, model)).to_be_visible()
        expect(page.locator("#tag-shown")).to_be_hidden()
    service.spool.remove(job)


def drag(page: Page, *paths: Path) -> None:
    """Drop real files and folders, as a file manager does."""
    devtools = page.context.new_cdp_session(page)
    thing = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": thing})
    devtools.detach()


def test_a_folder_is_dropped(page: Page, service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "more").mkdir(parents=True)
    (folder / "one.png").write_bytes(picture((200, 160)))
    (folder / "more" / "two.PNG").write_bytes(picture((160, 200)))
    (folder / ".hidden.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    (empty := tmp_path / "nothing").mkdir()
    drag(page, folder, empty)
    refused = page.locator("#sending .refused")
    expect(refused).to_have_text(re.compile("^nothing: there is no photo in this folder"))
    for name in ("one.png", "two.PNG"):
        made = page.locator("#jobs li", has_text=name)
        expect(made).to_have_attribute("data-status", "completed")
        service.spool.remove(str(made.get_attribute("data-job")))
    expect(refused).to_have_count(1)


def test_an_upload_that_hangs_is_sent_again_and_is_one_job(
    browser: Browser, service: Service, address: str, tmp_path: Path
) -> None:
    photo = tmp_path / "hangs.png"
    photo.write_bytes(picture((200, 160)))
    with tab(browser, address) as page:
        page.clock.install()
        with held_back(page, "**/api/upload"):
            with page.expect_request("**/api/upload"):
                page.locator("#files").set_input_files(photo)
            page.clock.fast_forward(31_000)
            expect(page.locator("#sending li")).to_contain_text("does not answer, trying again")
        made = page.locator("#jobs li", has_text=photo.name)
        expect(made).to_have_attribute("data-status", "completed")
        expect(page.locator("#sending li")).to_have_count(0)
        service.spool.remove(str(made.get_attribute("data-job")))


def test_what_cannot_be_sent_is_told_at_once(page: Page, service: Service, tmp_path: Path) -> None:
    """A file that went away after it was chosen, and one that the service would refuse for its size."""
    photos = [tmp_path / f"{name}.png" for name in ("one", "two", "gone")]
    for photo in photos:
        photo.write_bytes(picture((200, 160)))
    with held_back(page, "**/api/upload"):
        page.locator("#files").set_input_files(photos)
        expect(page.locator("#sending li")).to_have_count(3)
        photos[-1].unlink()  # it waits for its turn: two are sent at a time
    refused = page.locator("#sending .refused")
    expect(refused).to_contain_text("gone.png: it is empty or cannot be read")
    refused.get_by_role("button").click()
    expect(page.locator("#files")).to_be_focused()
    for name in ("one.png", "two.png"):
        made = page.locator("#jobs li", has_text=name)
        expect(made).to_have_attribute("data-status", "completed")
        service.spool.remove(str(made.get_attribute("data-job")))

    def small(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "max_upload_bytes": 3 << 19})

    page.route("**/health", small)
    with page.expect_response("**/health"):
        page.reload()
    page.locator("#devices li").first.wait_for()
    large = tmp_path / "large, with a name that is long enough for two lines of the list.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2 << 20))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "upload" in request.url else None)
    page.locator("#files").set_input_files(large)
    expect(refused).to_contain_text("2.1 MiB; this service takes at most 1.5 MiB")
    assert not sent
    place = refused.get_by_role("button").bounding_box()
    assert place and place["height"] < 50  # one line: OK, and not O above K
